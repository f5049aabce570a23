"""Outputs to ModelInferResponse and ModelStreamInferResponse; pure.

Outputs go back as raw contents, whatever form the inputs had: so does Triton, and clients know it. The
message is written here and not by protobuf, so that a large output is sent from the array's own memory.
"""

from collections.abc import Sequence

from modelservice_runtime.protos import inference_pb2
from modelservice_runtime.server.binary_codec import encode_buffer
from modelservice_runtime.server.grpc.oip_contents import encode_contents
from modelservice_runtime.server.grpc.oip_request import BoundHead
from modelservice_runtime.server.grpc.protobuf_wire import encode_field, encode_varint, field_head
from modelservice_runtime.server.http import Buffer
from modelservice_runtime.tensors import BYTES, Array

# Below this a copy costs less than a buffer of its own.
_COPIED_BYTES = 16 * 1024

_ID, _PARAMETERS, _OUTPUTS, _RAW_OUTPUT_CONTENTS = 3, 4, 5, 6
_SHAPE = 3
_ERROR_MESSAGE, _INFER_RESPONSE = 1, 2

# Triton marks the last answer to each request of a stream; here every answer is the only one.
_FINAL_RESPONSE = encode_field(
    _PARAMETERS, encode_field(1, b"triton_final_response") + encode_field(2, b"\x08\x01")
)


def encode_response(bound: BoundHead, request_id: bytes, outputs: Sequence[Array]) -> list[Buffer]:
    """Encode the outputs, in the requested order, with raw contents; a small answer is one buffer."""
    small = bytearray(bound.response_prefix)
    if request_id:
        small += encode_field(_ID, request_id)
    for prefix, array in zip(bound.output_prefixes, outputs, strict=True):
        output = prefix + _encode_shape(array.shape)
        small += field_head(_OUTPUTS, len(output))
        small += output
    buffers: list[Buffer] = []
    for name, array in zip(bound.output_names, outputs, strict=True):
        tensor = bound.spec.output_by_name[name]
        if array.nbytes < _COPIED_BYTES and tensor.datatype is not BYTES:
            content: Buffer = array.tobytes()
        else:
            content = encode_buffer(tensor, array)
        small += field_head(_RAW_OUTPUT_CONTENTS, len(content))
        if len(content) < _COPIED_BYTES:
            small += content
        else:
            buffers += (bytes(small), content)
            small = bytearray()
    if small:
        buffers.append(bytes(small))
    return buffers


def encode_typed_response(bound: BoundHead, request_id: bytes, outputs: Sequence[Array]) -> list[Buffer]:
    """Encode the outputs, in the requested order, with typed contents."""
    response = inference_pb2.ModelInferResponse(
        model_name=bound.spec.name, model_version=bound.spec.version, id=request_id.decode("utf-8")
    )
    for name, array in zip(bound.output_names, outputs, strict=True):
        tensor = bound.spec.output_by_name[name]
        response.outputs.add(
            name=name,
            datatype=tensor.datatype.name,
            shape=array.shape,
            contents=encode_contents(tensor, array),
        )
    return [response.SerializeToString()]


def encode_stream_response(response: Sequence[Buffer]) -> list[Buffer]:
    """Wrap an encoded ModelInferResponse for a stream."""
    size_bytes = sum([len(buffer) for buffer in response]) + len(_FINAL_RESPONSE)
    return [field_head(_INFER_RESPONSE, size_bytes), *response, _FINAL_RESPONSE]


def encode_stream_error(request_id: bytes, sentence: str) -> bytes:
    """An error of one request of a stream; the id says which one it was."""
    response = encode_field(_ID, request_id)
    return encode_field(_ERROR_MESSAGE, sentence.encode("utf-8")) + encode_field(_INFER_RESPONSE, response)


def _encode_shape(shape: Sequence[int]) -> bytes:
    """The packed field ``shape``; nothing for a scalar."""
    if not shape:
        return b""
    packed = bytes(shape) if max(shape) < 0x80 else b"".join([encode_varint(size) for size in shape])
    return field_head(_SHAPE, len(packed)) + packed
