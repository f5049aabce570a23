"""Whether clients of the stable revision can go on with another one: by inputs and outputs. Pure.

A client sends what the stable revision takes and reads what it gives. So a candidate has to take all of that,
and may give nothing that the stable one could not have given.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelservice_operator.facts.signature import Signature, Tensor

_ANY_SIZE = -1
_SHOWN_NAME = 100


def find_breaks(stable: Signature, candidate: Signature) -> tuple[str, ...]:
    """Return a sentence for each tensor with which clients of `stable` fail; none where all go on.

    The order of tensors does not matter: clients name them.
    """
    return (*_input_breaks(stable, candidate), *_output_breaks(stable, candidate))


def _input_breaks(stable: Signature, candidate: Signature) -> Iterator[str]:
    taken = {one.name: one for one in candidate.inputs}
    for sent in stable.inputs:
        takes = taken.pop(sent.name, None)
        subject = f"input {_quoted(sent)}: clients"
        if takes is None:
            yield f"{subject} send {_described(sent)}, the candidate has no such input"
        elif not _fits(sent, takes):
            yield f"{subject} send {_described(sent)}, the candidate takes {_described(takes)}"
        elif sent.optional and not takes.optional:
            yield f"{subject} may leave it out, the candidate needs {_described(takes)}"
    for further in taken.values():
        if not further.optional:
            yield (
                f"input {_quoted(further)}: clients do not send it, the candidate needs {_described(further)}"
            )


def _output_breaks(stable: Signature, candidate: Signature) -> Iterator[str]:
    given = {one.name: one for one in candidate.outputs}
    for read in stable.outputs:
        gives = given.get(read.name)
        subject = f"output {_quoted(read)}: clients read {_described(read)}, the candidate"
        if gives is None:
            yield f"{subject} has no such output"
        elif not _fits(gives, read):
            yield f"{subject} gives {_described(gives)}"


def _fits(sent: Tensor, expected: Tensor) -> bool:
    """Whether everything that is `sent` is something that is `expected`."""
    if sent.datatype != expected.datatype:
        return False
    if sent.shape is None or expected.shape is None:
        return expected.shape is None
    pairs = zip(sent.shape, expected.shape, strict=False)
    return len(sent.shape) == len(expected.shape) and all(want in (_ANY_SIZE, got) for got, want in pairs)


def _described(tensor: Tensor) -> str:
    shape = "of any shape" if tensor.shape is None else str(list(tensor.shape))
    return f"{tensor.datatype} {shape}"


def _quoted(tensor: Tensor) -> str:
    """The name as JSON has it, for it may hold anything; cut where it is long."""
    cut = "..." if len(tensor.name) > _SHOWN_NAME else ""
    return json.dumps(tensor.name[:_SHOWN_NAME] + cut, ensure_ascii=False)
