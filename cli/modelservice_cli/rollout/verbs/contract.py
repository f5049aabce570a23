"""Inputs and outputs of revisions, as far as the status knows them. Pure."""

import json

from modelservice_cli.rollout.facts import Facts
from modelservice_operator.facts.signature import Tensor, signature_in


def contract_lines(facts: Facts, before: str, after: str) -> list[str]:
    """Return the contracts of two revisions as lines of a diff; none where nothing is known of either."""
    known = [_contract(facts, one) for one in (before, after)]
    if known == [[], []]:
        return []
    lines = [
        f"{mark} {line}" for mark, said in zip("-+", known, strict=True) for line in said or ["not known"]
    ]
    return ["contract", *lines]


def _contract(facts: Facts, revision: str) -> list[str]:
    """Of the stable revision its tensors; of another one what the operator said when it compared the two."""
    if revision == facts.stable:
        signature = signature_in(facts.status.get("model") or {})
        sides = (("input", signature.inputs), ("output", signature.outputs)) if signature else ()
        return [_tensor_line(side, one) for side, tensors in sides for one in tensors]
    if revision != facts.rollout.get("revision"):
        return []
    verdicts = [one for one in facts.rollout.get("verdicts") or () if one.get("gate") == "Contract"]
    words = [facts.rollout.get("contract"), *(one.get("message") for one in verdicts[-1:])]
    said = ": ".join(str(one) for one in words if one)
    return [said] if said else []


def _tensor_line(side: str, tensor: Tensor) -> str:
    name = json.dumps(tensor.name, ensure_ascii=False)
    shape = "of any shape" if tensor.shape is None else str(list(tensor.shape))
    return f"{side} {name} {tensor.datatype} {shape}{', optional' if tensor.optional else ''}"
