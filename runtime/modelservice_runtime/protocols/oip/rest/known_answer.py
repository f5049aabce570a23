"""Answers like one before: the same outputs of the same shapes, so that only their data is new."""

from collections.abc import Sequence

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.rest.infer_codec import (
    DecodedInfer,
    describe_answer,
    header_length_headers,
)
from modelservice_runtime.protocols.tensors.binary_codec import encode_buffer
from modelservice_runtime.protocols.tensors.json_codec import encode_values
from modelservice_runtime.protocols.tensors.pieces import COPIED_BYTES
from modelservice_runtime.tensors import BYTES, Array
from modelservice_runtime.transport.http import OCTET_STREAM, Buffer, HttpResponse

_OUTPUTS = b',"outputs":'


class KnownAnswer:
    """What answers to requests like `example`, with outputs of such shapes, have around the data.

    All is JSON, or all is binary data without BYTES, whose length is not in their shape.
    """

    __slots__ = ("_end", "_headers", "_is_small", "_tensors", "_texts")

    def __init__(self, spec: ModelSpec, example: DecodedInfer, outputs: Sequence[Array]) -> None:
        self._tensors = [spec.output_by_name[name] for name in example.request.output_names]
        sizes_bytes = [array.nbytes for array in outputs] if example.is_all_binary else ()
        *texts, self._end = describe_answer(spec, example, outputs, sizes_bytes, None)
        self._headers = header_length_headers(len(self._end)) if example.is_all_binary else ()
        self._is_small = sum(sizes_bytes) < COPIED_BYTES
        self._texts = texts

    @staticmethod
    def suits(spec: ModelSpec, decoded: DecodedInfer) -> bool:
        """Whether answers to a request can be known before their data."""
        if decoded.is_all_binary:
            names = decoded.request.output_names
            return all(spec.output_by_name[name].datatype is not BYTES for name in names)
        return decoded.is_plain

    def encode(self, outputs: Sequence[Array], request_id: str | None = None) -> HttpResponse:
        """The answer that `encode_infer` would make; JSON repeats an id in which it escapes nothing.

        Outputs that become JSON have one dimension here.
        """
        if self._headers:
            return HttpResponse(200, self._encode_binary(outputs), OCTET_STREAM, self._headers)
        body = b""
        for text, tensor, output in zip(self._texts, self._tensors, outputs, strict=True):
            body += text + encode_values(tensor, output)
        body += self._end
        if request_id is not None:
            body = body.replace(_OUTPUTS, b',"id":"%b"%b' % (request_id.encode("ascii"), _OUTPUTS), 1)
        return HttpResponse(200, body)

    def _encode_binary(self, outputs: Sequence[Array]) -> bytes | list[Buffer]:
        if self._is_small:
            return b"".join([self._end, *[output.tobytes() for output in outputs]])
        return [self._end, *map(encode_buffer, self._tensors, outputs)]
