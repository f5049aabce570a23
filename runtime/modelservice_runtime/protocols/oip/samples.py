"""Reads a sample of a request as `/infer` takes it: what `models.samples` is handed."""

from collections.abc import Mapping

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import Array


def decode_sample(spec: ModelSpec, body: bytes) -> Mapping[str, Array]:
    """The inputs, by their names. Raises InvalidRequestError and its kin."""
    # Imported here: nothing else that is loaded for a trial needs it.
    from modelservice_runtime.protocols.oip.rest.infer_codec import decode_infer

    return decode_infer(spec, body, None).request.inputs
