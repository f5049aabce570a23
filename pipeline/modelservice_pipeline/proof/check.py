"""Whether a proof that was read can prove anything: one that compares nothing would hold for every model."""

from modelservice_pipeline.proof.cover import find_empty
from modelservice_pipeline.proof.proof import Array, Case, Proof, Tolerance

MAX_TOLERANCE = 0.1
"""With more than a tenth, the answers of another model would pass, those of most classifiers first."""


def check_proof_is_sound(proof: Proof) -> None:
    """Raise ValueError where a proof compares nothing, or allows everything."""
    outputs = set(proof.cases[0].outputs)
    if not outputs or any(set(case.outputs) != outputs for case in proof.cases):
        raise ValueError("every case needs outputs, and all cases the same")
    check_tolerance(proof.tolerance)
    for case in proof.cases:
        _check_labels(proof, case)
    _check_marks(proof)


def check_tolerance(tolerance: Tolerance) -> None:
    """Raise ValueError where a tolerance is no number from 0 to the largest that still proves something."""
    for name, value in (("relative", tolerance.relative), ("absolute", tolerance.absolute)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= MAX_TOLERANCE:
            raise ValueError(
                f"the {name} tolerance is {value!r} instead of a number from 0 to {MAX_TOLERANCE}"
            )


def check_kind(array: Array) -> Array:
    """Return an array of numbers or truth values; raises ValueError for any other kind."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array is of {array.dtype} instead of numbers")
    return array


def _check_marks(proof: Proof) -> None:
    """Raise ValueError where a proof keeps silent about an output that it does not prove."""
    empty = find_empty(proof)
    if len(empty) == len(proof.cases[0].outputs):
        raise ValueError("its outputs have no values, or none that could be another")
    for name, reason in empty.items():
        if name not in proof.unproven:
            raise ValueError(f"the output {name!r} is not proven and not marked so: {reason}")
    for name, reason in proof.unproven.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"the mark of the output {name!r} does not say why it is not proven")


def _check_labels(proof: Proof, case: Case) -> None:
    for name, decision in proof.labels.items():
        is_decision = isinstance(decision.scores, str) and isinstance(decision.lowest, bool)
        if not is_decision:
            raise ValueError(
                f"what decides the label {name!r} is not an output's name and whether it is lowest"
            )
        scores = case.outputs.get(decision.scores)
        if scores is not None and (scores.ndim == 0 or scores.dtype.kind not in "iuf"):
            raise ValueError(f"the scores {decision.scores!r} of the label {name!r} are not rows of numbers")
