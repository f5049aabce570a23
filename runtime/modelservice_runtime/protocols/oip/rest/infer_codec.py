"""OIP V2 infer requests to `InferRequest` and results back to bodies; pure.

Sources: Open Inference Protocol `inference_rest.md`; Triton `extension_binary_data.md`,
`extension_parameters.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import orjson

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.execution.offload import LARGE_VALUES
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.parameters import (
    flag_parameter,
    priority_parameter,
    refuse_output_extensions,
    refuse_shared_memory,
    timeout_parameter,
)
from modelservice_runtime.protocols.signature import (
    check_complete,
    check_output_count,
    describe_tensors,
    find_input,
    find_output,
)
from modelservice_runtime.protocols.tensors.binary_codec import decode_buffer, decode_text, encode_buffer
from modelservice_runtime.protocols.tensors.json_codec import (
    decode_tensor,
    decode_value,
    encode_values,
)
from modelservice_runtime.protocols.tensors.json_tokens import decode_object_with_tokens
from modelservice_runtime.protocols.tensors.large_arrays import (
    LargeArrays,
    decode_large_array,
    decode_with_arrays_cut,
)
from modelservice_runtime.protocols.tensors.pieces import as_body, encode_in_pieces, join_small
from modelservice_runtime.tensors import (
    BYTES,
    Array,
    InferRequest,
    TensorSpec,
    check_datatype,
    fit_shape,
    parse_shape,
)
from modelservice_runtime.transport.http import OCTET_STREAM, Buffer, HttpResponse

_NO_BINARY = memoryview(b"")
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
# An input's array from its shape and its "data" member.
_DecodeData: TypeAlias = Callable[[TensorSpec, list[int], object], Array]


@dataclass(slots=True)
class DecodedInfer:
    """A request and, for each wanted output, whether it goes back as binary data.

    `is_plain` and `is_all_binary` tell of an answer that is the model's alone, but for a plain id in JSON:
    all JSON, or all binary. `plan` belongs to `planned_codec`: what decoded it.
    """

    request: InferRequest
    binary_outputs: Sequence[bool]
    is_plain: bool = False
    is_all_binary: bool = False
    plan: Any = None


def decode_infer(spec: ModelSpec, body: Buffer, header_length: bytes | None) -> DecodedInfer:
    """Decode an infer body.

    `header_length` is the Inference-Header-Content-Length header. Raises InvalidRequestError and its kin.
    """
    if header_length is None:
        return _decode_document(spec, bytes(body) if isinstance(body, memoryview) else body, _NO_BINARY)
    length = _parse_header_length(header_length, len(body))
    if length == 0:
        return _decode_raw(spec, memoryview(body))
    return _decode_document(spec, bytes(body[:length]), memoryview(body)[length:])


def encode_infer(spec: ModelSpec, decoded: DecodedInfer, outputs: Sequence[Array]) -> HttpResponse:
    """Build the response: JSON, or JSON followed by the outputs that were wanted as binary data.

    A large one comes in many buffers; safe on any thread.
    """
    tensors = [spec.output_by_name[name] for name in decoded.request.output_names]
    buffers: list[Buffer] = []
    as_json: list[tuple[TensorSpec, Array]] = []
    for tensor, array, binary in zip(tensors, outputs, decoded.binary_outputs, strict=True):
        if binary:
            buffers.append(encode_buffer(tensor, array))
        else:
            as_json.append((tensor, array.ravel()))
    *texts, end = describe_answer(
        spec, decoded, outputs, [len(buffer) for buffer in buffers], decoded.request.id
    )
    parts: list[Buffer] = []
    for text, (tensor, values) in zip(texts, as_json, strict=True):
        parts += (text, *encode_in_pieces(values, partial(encode_values, tensor)))
    document = join_small([*parts, end])
    if buffers:
        headers = header_length_headers(sum([len(part) for part in document]))
        return HttpResponse(200, [*document, *buffers], OCTET_STREAM, headers)
    return HttpResponse(200, as_body(document))


def describe_answer(
    spec: ModelSpec,
    decoded: DecodedInfer,
    outputs: Sequence[Array],
    sizes_bytes: Sequence[int],
    request_id: str | None,
) -> list[bytes]:
    """The answer's JSON, cut where the data of each output belongs that is not binary data.

    `sizes_bytes` are those of the outputs that are.
    """
    document: dict[str, Any] = {"model_name": spec.name, "model_version": spec.version}
    if request_id is not None:
        document["id"] = request_id
    entries = document["outputs"] = []
    sizes = iter(sizes_bytes)
    for name, array, binary in zip(
        decoded.request.output_names, outputs, decoded.binary_outputs, strict=True
    ):
        datatype = spec.output_by_name[name].datatype
        entry: dict[str, Any] = {"name": name, "datatype": datatype.name, "shape": array.shape}
        if binary:
            entry["parameters"] = {"binary_data_size": next(sizes)}
        else:
            entry["data"] = []
        entries.append(entry)
    # A quote within a name is escaped, so nothing else looks like an empty "data".
    *before, end = orjson.dumps(document).split(b'"data":[]')
    return [*[text + b'"data":' for text in before], end]


def header_length_headers(size_bytes: int) -> Headers:
    """The headers of an answer with so many bytes of JSON in front of binary data."""
    return ((b"Inference-Header-Content-Length", b"%d" % size_bytes),)


def takes_long_to_encode(spec: ModelSpec, decoded: DecodedInfer, outputs: Sequence[Array]) -> bool:
    """Whether there are many values that become JSON or, as texts, are joined."""
    count = 0
    for name, array, binary in zip(
        decoded.request.output_names, outputs, decoded.binary_outputs, strict=True
    ):
        if not binary or spec.output_by_name[name].datatype is BYTES:
            count += array.size
    return count >= LARGE_VALUES


def _decode_document(spec: ModelSpec, head: bytes | bytearray, binary: memoryview) -> DecodedInfer:
    decoded = decode_with_arrays_cut(head, partial(_decode_large, spec, binary))
    if decoded is not None:
        return decoded
    return _decode_members(spec, decode_object_with_tokens(head), binary, partial(_decode_data, head))


def _decode_large(
    spec: ModelSpec, binary: memoryview, large: LargeArrays, document: dict[str, Any]
) -> DecodedInfer:
    return _decode_members(spec, document, binary, partial(_decode_cut_data, large))


def _decode_data(head: bytes | bytearray, tensor: TensorSpec, shape: list[int], data: object) -> Array:
    return decode_tensor(tensor, shape, data, head)


def _decode_cut_data(large: LargeArrays, tensor: TensorSpec, shape: list[int], data: object) -> Array:
    text = large.find(data)
    if text is None:
        return decode_tensor(tensor, shape, data, large.rest)
    array = decode_large_array(tensor, shape, text)
    if array is None:
        copied = bytes(text)
        return decode_tensor(tensor, shape, decode_value(copied), copied)
    return array


def _decode_members(
    spec: ModelSpec, document: dict[str, Any], binary: memoryview, decode_data: _DecodeData
) -> DecodedInfer:
    inputs = _decode_inputs(spec, document.get("inputs"), binary, decode_data)
    parameters = document.get("parameters")
    if parameters is not None:
        _check_is_object(parameters, "the request")
    names, binary_outputs = _decode_outputs(spec, document.get("outputs"), parameters)
    request_id = document.get("id")
    if request_id is not None and type(request_id) is not str:
        raise InvalidRequestError("'id' must be a string")
    request = InferRequest(
        inputs, names, request_id, timeout_parameter(parameters), priority_parameter(parameters)
    )
    return DecodedInfer(
        request,
        binary_outputs,
        is_plain=request_id is None and True not in binary_outputs,
        is_all_binary=request_id is None and False not in binary_outputs,
    )


def _decode_inputs(
    spec: ModelSpec, entries: object, binary: memoryview, decode_data: _DecodeData
) -> dict[str, Array]:
    if type(entries) is not list:
        raise InvalidRequestError(
            f"the request needs 'inputs', an array; the model takes {describe_tensors(spec.inputs)}"
        )
    arrays: dict[str, Array] = {}
    position = 0
    for entry in entries:
        if type(entry) is not dict:
            raise InvalidRequestError("every element of 'inputs' must be an object")
        tensor = find_input(spec, entry.get("name"), arrays)
        check_datatype(tensor, entry.get("datatype"))
        shape = fit_shape(tensor, parse_shape(entry.get("shape"), tensor.name))
        data = entry.get("data")
        size = _binary_size(tensor, entry) if "parameters" in entry else None
        if size is not None:
            arrays[tensor.name] = decode_buffer(tensor, shape, _take(tensor, binary, position, size))
            position += size
        elif data is not None:
            arrays[tensor.name] = decode_data(tensor, shape, data)
        else:
            raise InvalidRequestError(f"input '{tensor.name}' has neither 'data' nor 'binary_data_size'")
    check_complete(spec, arrays)
    if position != binary.nbytes:
        raise InvalidRequestError(f"the body has {binary.nbytes - position} bytes that belong to no input")
    return arrays


def _take(tensor: TensorSpec, binary: memoryview, position: int, size: int) -> memoryview:
    if size > binary.nbytes - position:
        raise InvalidRequestError(
            f"input '{tensor.name}' announces {size} bytes of binary data, "
            f"but {binary.nbytes - position} are left in the body"
        )
    return binary[position : position + size]


def _binary_size(tensor: TensorSpec, entry: dict[str, Any]) -> int | None:
    parameters = entry["parameters"]
    if parameters is None:
        return None
    _check_is_object(parameters, f"input '{tensor.name}'")
    refuse_shared_memory(parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidRequestError(
            f"input '{tensor.name}' needs 'binary_data_size' as an integer of at least 0"
        )
    if entry.get("data") is not None:
        raise InvalidRequestError(f"input '{tensor.name}' has both 'data' and 'binary_data_size'")
    return size


def _decode_outputs(
    spec: ModelSpec, entries: object, parameters: dict[str, Any] | None
) -> tuple[Sequence[str], Sequence[bool]]:
    default = parameters is not None and flag_parameter(parameters, "binary_data_output", False)
    if not entries and (entries is None or type(entries) is list):
        return spec.output_names, (default,) * len(spec.output_names)
    if type(entries) is not list:
        raise InvalidRequestError("'outputs' must be an array")
    check_output_count(spec, len(entries))
    wanted: dict[str, bool] = {}
    for entry in entries:
        name = find_output(spec, entry.get("name") if type(entry) is dict else None, wanted)
        output_parameters = entry.get("parameters")
        if output_parameters is not None:
            _check_is_object(output_parameters, f"output '{name}'")
            refuse_output_extensions(output_parameters)
        wanted[name] = flag_parameter(output_parameters, "binary_data", default)
    return tuple(wanted), list(wanted.values())


def _decode_raw(spec: ModelSpec, body: memoryview) -> DecodedInfer:
    """A body that is nothing but the one input's data; its shape follows from the size."""
    if len(spec.inputs) != 1:
        raise InvalidRequestError(
            f"a raw request needs a model with one input; this one takes {describe_tensors(spec.inputs)}"
        )
    if not body:
        raise InvalidRequestError("the body is empty; a raw request is the one input's data")
    tensor = spec.inputs[0]
    if tensor.datatype is BYTES:
        shape = [1 if dimension == -1 else dimension for dimension in tensor.shape or (1,)]
        if any(dimension != 1 for dimension in shape):
            raise InvalidRequestError(
                f"a raw BYTES request needs an input of one element, not {tensor.describe()}"
            )
        array: Array = np.empty(1, dtype=object)
        array[0] = decode_text(tensor, body)
        array = array.reshape(shape)
    else:
        array = decode_buffer(tensor, _raw_shape(tensor, body.nbytes), body)
    names = spec.output_names
    return DecodedInfer(InferRequest({tensor.name: array}, names), [True] * len(names), is_all_binary=True)


def _raw_shape(tensor: TensorSpec, size_bytes: int) -> list[int]:
    """One row where the size does not tell how many; whether requests share runs makes no difference."""
    shape = list(tensor.shape) if tensor.shape is not None else [-1]
    if shape[0:1] == [-1] and -1 in shape[1:]:
        shape[0] = 1
    variable = [index for index, dimension in enumerate(shape) if dimension == -1]
    if len(variable) > 1:
        raise InvalidRequestError(
            "a raw request needs at most one variable dimension behind the first; "
            f"the model takes {tensor.describe()}"
        )
    if variable:
        known = tensor.datatype.item_bytes
        for dimension in shape:
            known *= dimension if dimension != -1 else 1
        shape[variable[0]] = size_bytes // known if known else 0
    return shape


def _parse_header_length(value: bytes, body_bytes: int) -> int:
    if not value.isdigit() or len(value) > 19 or int(value) > body_bytes:
        raise InvalidRequestError(
            f"Inference-Header-Content-Length is {value[:40].decode('latin-1')!r}; "
            f"it must be a number from 0 to the body's {body_bytes} bytes"
        )
    return int(value)


def _check_is_object(parameters: object, where: str) -> None:
    if type(parameters) is not dict:
        raise InvalidRequestError(f"'parameters' of {where} must be an object")
