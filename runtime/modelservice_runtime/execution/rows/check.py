"""Whether a row's outputs stay the same whoever shares its run: asked by running.

Two things are compared. A row in a batch with the same row alone: within the rounding that another number of
rows may bring, for kernels add up in another order. And a row in a batch with the same row at the same place
in a batch of the same size with other neighbours: there every kernel does the same for it, so next to nothing
may differ. The neighbours are larger and smaller by far, which shows what is scaled by a maximum or a mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import Model, Run
from modelservice_runtime.tensors import BF16, Array, TensorSpec, fp32_from_bf16

# One row of every input, by its name.
Row: TypeAlias = Mapping[str, Array]

# Of the largest value of the row: a thousand times the datatype's rounding where there are bits to spare.
_ROUNDING = {"FP64": 1e-11, "FP32": 2e-4, "FP16": 2e-2, "BF16": 1e-1}
# Accelerators multiply FP32 with the ten bits of TF32 where a kernel chooses so, by the number of rows.
_COARSE_ROUNDING = {**_ROUNDING, "FP32": 1e-2, "FP16": 5e-2}
# What a model may make of rounding where its inputs make no sense: more than that is no rounding.
_MAGNIFIED = {"FP64": 0.05, "FP32": 0.05, "FP16": 0.1, "BF16": 0.2}
# What neighbours may change: nothing but the order in which a device adds up.
_NEIGHBOURS = {"FP64": 2e-15, "FP32": 1e-6, "FP16": 8e-3, "BF16": 6e-2}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`obstacle`: how rows were seen to depend on others, None where they were not.

    `convincing`: outputs of rows that shared a run differed, so that an exchange would have shown.
    `magnified`: a row alone and the same row in a batch differed by more than rounding, but so little that
    it may come from rounding: rows of another kind are to decide.
    """

    obstacle: str | None
    convincing: bool = True
    magnified: bool = False


class _MixedError(Exception):
    """Rows depend on each other; the sentence says how it showed."""


def check_rows(
    model: Model,
    rows: Sequence[Row],
    strangers: Sequence[Sequence[Row]],
    sizes: Sequence[int],
    handle: Run | None,
    *,
    coarse: bool = False,
) -> CheckResult:
    """Run `rows` alone and in batches of `sizes`, among each other and among `strangers`.

    Of these the first kind is taken that the model runs. All have equal shapes and one row each. `coarse`
    tells that an accelerator takes part. Raises ServingError where a row does not run alone.
    """
    check = _RowCheck(model, strangers, handle)
    check.rounding = _COARSE_ROUNDING if coarse else _ROUNDING
    alone = [check.run([row]) for row in rows]
    check.convincing = any(check.differ(alone[0], other, _NEIGHBOURS) for other in alone[1:])
    try:
        for outputs in alone:
            check.compare_shapes(outputs, alone[0], 1)
        for size in sizes:
            check.compare_batch(rows, alone, size)
    except _MixedError as mixed:
        return CheckResult(str(mixed), check.convincing)
    return CheckResult(None, check.convincing, check.magnified)


class _RowCheck:
    """Runs of one check."""

    def __init__(self, model: Model, strangers: Sequence[Sequence[Row]], handle: Run | None) -> None:
        self._model = model
        self._strangers = list(strangers)
        self._handle = handle
        self._outputs = model.spec.outputs
        self.rounding: Mapping[str, float] = _ROUNDING
        self.convincing = False
        self.magnified = False

    def run(self, rows: Sequence[Row]) -> list[Array]:
        inputs = {
            spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in self._model.spec.inputs
        }
        return self._model.run(inputs, self._model.spec.output_names, self._handle)

    def compare_batch(self, rows: Sequence[Row], alone: Sequence[list[Array]], size: int) -> None:
        order = [position % len(rows) for position in range(size)]
        try:
            together = self.run([rows[index] for index in order])
        except ServingError as error:
            # What it says may be of a caller's request, and everybody can read an obstacle.
            raise _MixedError(f"each of {size} rows ran alone, but not all together") from error
        self.compare_shapes(together, alone[0], size)
        for position, index in enumerate(order):
            row = _cut(together, position)
            if self.differ(row, alone[index], _MAGNIFIED):
                raise _MixedError(f"a row in a run of {size} rows came out other than alone")
            self.magnified = self.magnified or self.differ(row, alone[index], self.rounding)
        for place in (0, size - 1):
            changed = self._run_among_strangers(rows[order[place]], place, size)
            self.compare_shapes(changed, alone[0], size)
            kept = _cut(together, place)
            if self.differ(_cut(changed, place), kept, _NEIGHBOURS):
                raise _MixedError(f"a row in a run of {size} rows changed with the rows beside it")
            beside = _cut(changed, size - 1 - place)
            self.convincing = self.convincing or self.differ(beside, kept, _NEIGHBOURS)

    def _run_among_strangers(self, row: Row, place: int, size: int) -> list[Array]:
        """Neighbours that a model refuses are left out from then on: such a batch is run again row by row."""
        while True:
            strangers = self._strangers[0]
            neighbours = [strangers[position % len(strangers)] for position in range(size)]
            neighbours[place] = row
            try:
                return self.run(neighbours)
            except ServingError as error:
                if len(self._strangers) == 1:
                    raise _MixedError(f"each of {size} rows ran alone, but not all together") from error
                del self._strangers[0]

    def compare_shapes(self, outputs: Sequence[Array], alone: Sequence[Array], rows: int) -> None:
        for spec, output, one in zip(self._outputs, outputs, alone, strict=True):
            expected = (rows, *one.shape[1:])
            if not one.ndim or output.shape != expected:
                raise _MixedError(
                    f"output '{spec.name}' of {rows} {'row' if rows == 1 else 'rows'} has the shape "
                    f"{list(output.shape)}, not {list(expected)}"
                )

    def differ(self, ones: Sequence[Array], others: Sequence[Array], tolerances: Mapping[str, float]) -> bool:
        return any(
            _differ(spec, one, other, tolerances.get(spec.datatype.name))
            for spec, one, other in zip(self._outputs, ones, others, strict=True)
        )


def _cut(outputs: Sequence[Array], position: int) -> list[Array]:
    return [output[position : position + 1] for output in outputs]


def _differ(spec: TensorSpec, one: Array, other: Array, tolerance: float | None) -> bool:
    """Whether two arrays are not the same: exactly, or for floating point numbers within `tolerance`."""
    if one.shape != other.shape:
        return True
    if tolerance is None:
        return not np.array_equal(one, other)
    wide = [fp32_from_bf16(array) if spec.datatype is BF16 else array for array in (one, other)]
    first, second = (array.astype(np.float64) for array in wide)
    finite = np.isfinite(first)
    if not np.array_equal(finite, np.isfinite(second)) or not np.array_equal(
        first[~finite], second[~finite], equal_nan=True
    ):
        return True
    first, second = first[finite], second[finite]
    largest = max(np.abs(first).max(initial=0.0), np.abs(second).max(initial=0.0))
    return bool((np.abs(first - second) > tolerance * largest).any())
