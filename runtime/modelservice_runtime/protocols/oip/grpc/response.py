"""Outputs to ModelInferResponse and ModelStreamInferResponse; pure.

Outputs go back as raw contents, whatever form the inputs had: so does Triton, and clients know it. The
message is written here and not by protobuf, so that a large output is sent from the array's own memory.
"""

from collections.abc import Sequence

from modelservice_runtime.protocols.oip.grpc.contents import encode_contents
from modelservice_runtime.protocols.oip.grpc.request import BoundHead
from modelservice_runtime.protocols.tensors.binary_codec import encode_buffer
from modelservice_runtime.protocols.tensors.pieces import COPIED_BYTES, join_small
from modelservice_runtime.protocols.tensors.protobuf_wire import encode_field, encode_varint, field_head
from modelservice_runtime.tensors import BYTES, Array, count_elements
from modelservice_runtime.transport.http import Buffer

# Shapes of answers to one head: a few, unless the model's output has a size of its own each time.
_MAX_FRAMES = 64

_ID, _PARAMETERS, _OUTPUTS, _RAW_OUTPUT_CONTENTS = 3, 4, 5, 6
_SHAPE, _CONTENTS = 3, 5
_ERROR_MESSAGE, _INFER_RESPONSE = 1, 2

# Triton marks the last answer to each request of a stream; here every answer is the only one.
_FINAL_RESPONSE = encode_field(
    _PARAMETERS, encode_field(1, b"triton_final_response") + encode_field(2, b"\x08\x01")
)


def encode_response(bound: BoundHead, request_id: bytes, outputs: Sequence[Array]) -> list[Buffer]:
    """Encode the outputs, in the requested order, with raw contents; a small answer is one buffer."""
    shapes = tuple([array.shape for array in outputs])
    frames = bound.frames.get(shapes) or _build_frames(bound, shapes)
    buffers: list[Buffer] = []
    small = b""
    for frame, tensor, array in zip(frames, bound.outputs, outputs, strict=True):
        if tensor.datatype is BYTES:
            content: Buffer = encode_buffer(tensor, array)
            small += frame + field_head(_RAW_OUTPUT_CONTENTS, len(content))
        elif array.nbytes < COPIED_BYTES:
            small += frame + array.tobytes()
            continue
        else:
            content = encode_buffer(tensor, array)
            small += frame
        buffers += (small, content)
        small = b""
    if request_id:
        small += encode_field(_ID, request_id)
    if small:
        buffers.append(small)
    return buffers if len(buffers) == 1 else join_small(buffers)


def _build_frames(bound: BoundHead, shapes: tuple[tuple[int, ...], ...]) -> list[bytes]:
    """What comes before each output's contents: at first all but the contents, then their tag and length.

    The length of BYTES contents differs from answer to answer, so their tag is left out.
    """
    described = bytearray(bound.response_prefix)
    for prefix, shape in zip(bound.output_prefixes, shapes, strict=True):
        output = prefix + _encode_shape(shape)
        described += field_head(_OUTPUTS, len(output)) + output
    frames = [
        b""
        if tensor.datatype is BYTES
        else field_head(_RAW_OUTPUT_CONTENTS, count_elements(shape) * tensor.datatype.item_bytes)
        for tensor, shape in zip(bound.outputs, shapes, strict=True)
    ]
    frames[0] = bytes(described) + frames[0]
    if len(bound.frames) >= _MAX_FRAMES:
        bound.frames.clear()
    bound.frames[shapes] = frames
    return frames


def encode_typed_response(bound: BoundHead, request_id: bytes, outputs: Sequence[Array]) -> list[Buffer]:
    """Encode the outputs, in the requested order, with typed contents; a small answer is one buffer."""
    buffers: list[Buffer] = [bound.response_prefix + encode_field(_ID, request_id)]
    for prefix, tensor, array in zip(bound.output_prefixes, bound.outputs, outputs, strict=True):
        contents = encode_contents(tensor, array)
        size_bytes = sum([len(buffer) for buffer in contents])
        described = prefix + _encode_shape(array.shape) + field_head(_CONTENTS, size_bytes)
        buffers += (field_head(_OUTPUTS, len(described) + size_bytes) + described, *contents)
    return join_small(buffers)


def encode_stream_response(response: Sequence[Buffer]) -> list[Buffer]:
    """Wrap an encoded ModelInferResponse for a stream."""
    size_bytes = sum([len(buffer) for buffer in response]) + len(_FINAL_RESPONSE)
    return [field_head(_INFER_RESPONSE, size_bytes), *response, _FINAL_RESPONSE]


def encode_stream_error(request_id: bytes, sentence: str) -> bytes:
    """An error of one request of a stream; the id says which one it was."""
    response = encode_field(_ID, request_id)
    return encode_field(_ERROR_MESSAGE, sentence.encode("utf-8")) + encode_field(_INFER_RESPONSE, response)


def _encode_shape(shape: Sequence[int]) -> bytes:
    """The packed field `shape`; nothing for a scalar."""
    if not shape:
        return b""
    packed = bytes(shape) if max(shape) < 0x80 else b"".join([encode_varint(size) for size in shape])
    return field_head(_SHAPE, len(packed)) + packed
