"""What clients of a model send and get: names, datatypes and shapes of its tensors. Pure.

Datatypes and shapes are those of the model metadata of the Open Inference Protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_TENSORS = 256
MOST_TENSORS_IN_STATUS = 64
LONGEST_NAME = 253

Dimension = Annotated[int, msgspec.Meta(ge=-1, le=2**53)]


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """An input or output of a model.

    `shape`: -1 for a dimension of any size, None where the model does not even state how many there are.
    `optional`: an input that clients may leave out.
    """

    name: str
    datatype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=32)] | None = None
    optional: bool = False


class Signature(msgspec.Struct, frozen=True):
    """Inputs and outputs of a model; every name is there once."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def make_signature(inputs: tuple[Tensor, ...] | None, outputs: tuple[Tensor, ...] | None) -> Signature | None:
    """Return what a server says of its tensors, None where it does not say it or says more than is of use.

    A name that is too long is not cut: two of them might become one.
    """
    if inputs is None or outputs is None or not (_is_sound(inputs) and _is_sound(outputs)):
        return None
    return Signature(inputs, outputs)


def signature_in(model: Mapping[str, Any]) -> Signature | None:
    """Return what `status.model` has recorded, None where that is nothing."""
    try:
        return msgspec.convert({side: model.get(side) for side in ("inputs", "outputs")}, Signature)
    except msgspec.ValidationError:
        return None


def signature_status(signature: Signature | None) -> dict[str, Any]:
    """Return the reverse of `signature_in`, nothing for more tensors than a status has room for."""
    if signature is None or max(len(signature.inputs), len(signature.outputs)) > MOST_TENSORS_IN_STATUS:
        return {}
    # Through JSON: a status is compared with what the API server gives back, and that has lists.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(signature))
    return plain


def _is_sound(tensors: tuple[Tensor, ...]) -> bool:
    names = {one.name for one in tensors}
    return len(names) == len(tensors) <= MOST_TENSORS and max(map(len, names), default=0) <= LONGEST_NAME
