"""Runs a model in batches of several sizes and orders, and row by row, and compares the answers."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

Array = npt.NDArray[np.generic]
# Each is one batch: the places of the rows in it.
BATCHES: Sequence[Sequence[int]] = ((0, 1), (1, 0), (2, 0, 1), (0, 1, 2, 3, 4), (4, 3, 1, 2, 0))
ROWS = 5
# Of every size some in which a row has other neighbours, and another place.
NEIGHBOURS: Sequence[Sequence[int]] = (
    (0,), (1,), (2,), (0, 1), (1, 0), (2, 0), (0, 1, 2), (2, 1, 0), (0, 3, 4), (0, 1, 2, 3), (3, 2, 1, 4),
    (0, 1, 2, 3, 4), (4, 3, 2, 1, 0),
)  # fmt: skip


def open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def find_difference(session: ort.InferenceSession, inputs: Mapping[str, Array]) -> str | None:
    """What a row's answer is besides others that it is not alone; None where nothing is.

    `inputs` have `ROWS` rows each. Rows with which the model does not run at all are left out. Raises
    ValueError where none is left.
    """
    alone: dict[int, list[Array]] = {}
    for row in range(ROWS):
        found = run(session, {name: value[row : row + 1] for name, value in inputs.items()})
        if found is not None:
            alone[row] = found
    if len(alone) < 2:
        raise ValueError("the model does not run on single rows")
    compared = 0
    for batch in BATCHES:
        rows = [row for row in batch if row in alone]
        together = run(session, {name: value[rows] for name, value in inputs.items()})
        if together is None:
            continue
        compared += 1
        for at, output in enumerate(together):
            expected = [alone[row][at] for row in rows]
            difference = _compare(output, expected)
            if difference is not None:
                return f"output {at} for the rows {rows}: {difference}"
    if not compared:
        raise ValueError("the model does not run on several rows")
    return None


def find_dependence(session: ort.InferenceSession, inputs: Mapping[str, Array]) -> str | None:
    """What a row's answer owes to its neighbours, its place or their number; None where nothing.

    `inputs` have `ROWS` rows each, which need not run in batches of every size.
    """
    seen: dict[tuple[int, int], Array] = {}
    for batch in NEIGHBOURS:
        together = run(session, {name: value[list(batch)] for name, value in inputs.items()})
        for at, output in enumerate(together or ()):
            if output.ndim == 0 or output.shape[0] != len(batch):
                return f"{len(batch)} rows gave the shape {output.shape}"
            for place, row in enumerate(batch):
                found = output[place : place + 1]
                difference = _compare(found, [seen.setdefault((at, row), found)])
                if difference is not None:
                    return f"output {at} for the row {row} within {batch}: {difference}"
    return None


def run(session: ort.InferenceSession, inputs: Mapping[str, Array]) -> list[Array] | None:
    try:
        outputs: list[Array] = session.run(None, dict(inputs))
    except Exception:  # noqa: BLE001 - whatever ONNX Runtime raises, such a batch is run again singly
        return None
    return outputs


def _compare(output: object, expected: Sequence[object]) -> str | None:
    if isinstance(output, list):  # maps, one for each row
        alone = [entry for one in expected if isinstance(one, list) for entry in one]
        return None if _are_close_maps(output, alone) else f"the maps are {alone} alone and {output} together"
    assert isinstance(output, np.ndarray)
    if output.ndim == 0 or output.shape[0] != len(expected):
        return f"{len(expected)} rows gave the shape {output.shape}"
    for row, one in enumerate(expected):
        assert isinstance(one, np.ndarray)
        if one.shape[:1] != (1,) or output.shape[1:] != one.shape[1:]:
            return f"alone {one.shape}, together {output.shape}"
        if not _is_close(output[row : row + 1], one):
            return f"row {row} is {one[0]!r} alone and {output[row]!r} together"
    return None


def _is_close(one: Array, other: Array) -> bool:
    if not np.issubdtype(one.dtype, np.floating):
        return bool(np.array_equal(one, other))
    loose = 2e-2 if one.dtype.itemsize == 2 else 2e-4
    return bool(np.allclose(one.astype(float), other.astype(float), loose, loose, equal_nan=True))


def _are_close_maps(maps: Sequence[Mapping[object, float]], others: Sequence[Mapping[object, float]]) -> bool:
    if [list(one) for one in maps] != [list(one) for one in others]:
        return False
    pairs = zip(maps, others, strict=True)
    return all(np.allclose(list(one.values()), list(other.values()), 2e-4, 2e-4) for one, other in pairs)
