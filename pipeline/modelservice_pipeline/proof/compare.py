"""Whether an answer is the expected one: numbers within a tolerance, classes unless tied, texts exactly."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.proof.proof import Array, Case, Decision, Proof

# Numbers of half precision have 11 bits; a thousandth is what a single operation loses.
_LOSS_OF_HALF = 10.0


@dataclass(frozen=True)
class Difference:
    """Where an answer is not the expected one.

    `row` is None where the output has no row for each row of the input. `excess` is how many times the
    tolerance it is off; infinite for what has to be exact.
    """

    case: int
    row: int | None
    output: str
    expected: object
    actual: object
    excess: float


def find_scales(proof: Proof) -> dict[str, float]:
    """The scale of each floating-point output; see `Tolerance`."""
    scales = {}
    for name in proof.cases[0].outputs:
        parts = [case.outputs[name].ravel() for case in proof.cases if name in case.outputs]
        if all(part.dtype.kind == "f" for part in parts):
            values = np.concatenate(parts).astype(np.float64)
            values = values[np.isfinite(values)]
            scales[name] = max(1.0, float(np.sqrt(np.mean(values**2)))) if values.size else 1.0
    return scales


def compare(
    proof: Proof, index: int, case: Case, actual: Mapping[str, Array], scales: Mapping[str, float]
) -> Iterator[Difference]:
    """Yield a difference for each row of each output of a case that is not as expected."""
    rows = count_rows(case)
    for name, expected in case.outputs.items():
        if name not in actual:
            yield Difference(index, None, name, "an output of this name", "none", np.inf)
            continue
        found = np.asarray(actual[name])
        if found.shape != expected.shape:
            yield Difference(index, None, name, f"shape {expected.shape}", f"shape {found.shape}", np.inf)
            continue
        excess = _excess(proof, case, name, expected, found, scales)
        yield from _differences(index, name, expected, found, excess, rows)


def count_rows(case: Case) -> int | None:
    """How many rows every input and output of a case has; None where they do not share their first size."""
    sizes = {
        array.shape[0] if array.ndim else None for array in (*case.inputs.values(), *case.outputs.values())
    }
    return sizes.pop() if len(sizes) == 1 else None


def _excess(
    proof: Proof, case: Case, name: str, expected: Array, found: Array, scales: Mapping[str, float]
) -> Array:
    """How many times the tolerance each element is off."""
    if expected.dtype.kind == "f" and found.dtype.kind == "f":
        allowed = _allowed(proof, expected, found, scales.get(name, 1.0))
        with np.errstate(invalid="ignore"):
            off = np.abs(found.astype(np.float64) - expected.astype(np.float64)) / allowed
        same = (np.isnan(found) & np.isnan(expected)) | (found == expected)
        off = np.where(np.isnan(off), np.inf, off)
        return np.where(same, 0.0, off)
    wrong = np.where(found == expected, 0.0, np.inf)
    decision = proof.labels.get(name)
    if decision is not None and decision.scores in case.outputs:
        scores = case.outputs[decision.scores]
        ties = are_ties(proof, scores, scales.get(decision.scores, 1.0), decision)
        if len(ties) == len(wrong):
            wrong[ties] = 0.0
    return wrong


def _allowed(proof: Proof, expected: Array, found: Array, scale: float) -> Array:
    loss = _LOSS_OF_HALF if np.float16 in (expected.dtype.type, found.dtype.type) else 1.0
    values = np.abs(expected.astype(np.float64))
    tolerance = proof.tolerance
    return np.asarray(loss * (tolerance.relative * values + tolerance.absolute * scale))


def are_ties(proof: Proof, scores: Array, scale: float, decision: Decision) -> Array:
    """Return the rows whose class is decided by less than the tolerance, or by a single score's sign."""
    table = scores.reshape(len(scores), -1).astype(np.float64)
    ordered = np.sort(-table if decision.lowest else table, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if table.shape[1] > 1 else np.abs(table[:, 0])
    return np.asarray(lead <= 2 * _allowed(proof, ordered[:, -1], ordered[:, -1], scale))


def _differences(
    index: int, name: str, expected: Array, found: Array, excess: Array, rows: int | None
) -> Iterator[Difference]:
    if rows is None or not excess.ndim or len(excess) != rows:
        if excess.size and excess.max() > 1:
            yield Difference(index, None, name, expected, found, float(excess.max()))
        return
    by_row = excess.reshape(rows, -1).max(axis=1) if excess.size else np.zeros(rows)
    for row in np.flatnonzero(by_row > 1):
        yield Difference(index, int(row), name, expected[row], found[row], float(by_row[row]))
