"""Whether a proof speaks of a whole model: of each input and output, and with values that can be wrong."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from modelservice_pipeline.proof.compare import are_ties, find_scales
from modelservice_pipeline.proof.proof import Proof

_EMPTY = "it has no values in any run"
_TIED = "its classes are tied in every row, so that each other one would do"


def find_empty(proof: Proof) -> dict[str, str]:
    """Return the outputs of the runs that no answer could contradict, and why."""
    scales = find_scales(proof)
    reasons = {}
    for name in proof.cases[0].outputs:
        if not any(case.outputs[name].size for case in proof.cases):
            reasons[name] = _EMPTY
        elif all(_is_tied(proof, index, name, scales) for index in range(len(proof.cases))):
            reasons[name] = _TIED
    return reasons


def _is_tied(proof: Proof, index: int, name: str, scales: dict[str, float]) -> bool:
    outputs = proof.cases[index].outputs
    labels, decision = outputs[name], proof.labels.get(name)
    if not labels.size:
        return True
    if decision is None or decision.scores not in outputs or not labels.ndim or labels.dtype.kind == "f":
        return False
    ties = are_ties(proof, outputs[decision.scores], scales.get(decision.scores, 1.0), decision)
    return len(ties) == len(labels) and bool(ties.all())


def mark_unproven(proof: Proof) -> Proof:
    """Return the proof with a mark on each output that it cannot prove."""
    return replace(proof, unproven=find_empty(proof))


def find_gaps(proof: Proof, inputs: Collection[str], outputs: Collection[str]) -> list[str]:
    """Return what keeps a proof from being one of a model with these inputs and outputs, as sentences."""
    return [*_find_unknown(proof, inputs, outputs), *_find_missing(proof, inputs, outputs)]


def _find_unknown(proof: Proof, inputs: Collection[str], outputs: Collection[str]) -> Iterator[str]:
    given = {name for case in proof.cases for name in case.inputs}
    if unknown := given - set(inputs):
        yield f"it gives {_list(unknown, 'input')}, which the model lacks"
    if unknown := {*proof.cases[0].outputs, *proof.unproven} - set(outputs):
        yield f"it speaks of {_list(unknown, 'output')}, which the model lacks"


def _find_missing(proof: Proof, inputs: Collection[str], outputs: Collection[str]) -> Iterator[str]:
    if missing := {name for case in proof.cases for name in set(inputs) - set(case.inputs)}:
        yield f"it gives no {_list(missing, 'input')}"
    if missing := set(outputs) - {*proof.cases[0].outputs, *proof.unproven}:
        yield f"it does not prove {_list(missing, 'output')}"


def _list(names: Collection[str], kind: str) -> str:
    return f"{kind}{'s' if len(names) > 1 else ''} " + ", ".join(map(repr, sorted(names)))
