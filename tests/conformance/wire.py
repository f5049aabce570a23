"""Operator test cases as requests of the Open Inference Protocol, and answers as arrays again.

Written for the tests alone, from the protocol's text: it shares no code with the server.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from tritonclient.grpc import service_pb2

HEADER_LENGTH = "Inference-Header-Content-Length"
_NAMES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16",
    "bfloat16": "BF16", "float32": "FP32", "float64": "FP64", "object": "BYTES",
}  # fmt: skip
_DTYPES = {
    name: np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype) for dtype, name in _NAMES.items()
}


@dataclass(frozen=True)
class Body:
    """A request's body and headers."""

    content: bytes
    headers: Mapping[str, str]


def datatype(array: np.ndarray) -> str:
    """The protocol's name of the array's type; KeyError where it has none."""
    return _NAMES[array.dtype.name]


def json_body(inputs: Mapping[str, np.ndarray]) -> Body:
    """All tensors as JSON, nested as the shapes say."""
    entries = [{**_head(name, array), "data": _json_values(array)} for name, array in inputs.items()]
    return Body(json.dumps({"inputs": entries}, allow_nan=False).encode(), {})


def binary_body(inputs: Mapping[str, np.ndarray]) -> Body:
    """All tensors as binary data, and all outputs wanted so."""
    buffers = [_to_bytes(array) for array in inputs.values()]
    entries = [
        {**_head(name, array), "parameters": {"binary_data_size": len(buffer)}}
        for (name, array), buffer in zip(inputs.items(), buffers, strict=True)
    ]
    document = {"inputs": entries, "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    return Body(b"".join([head, *buffers]), {HEADER_LENGTH: str(len(head))})


def grpc_request(model: str, inputs: Mapping[str, np.ndarray]) -> service_pb2.ModelInferRequest:
    """All tensors as raw contents of a gRPC request."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, array in inputs.items():
        request.inputs.add(**_head(name, array))
        request.raw_input_contents.append(_to_bytes(array))
    return request


def grpc_outputs(response: service_pb2.ModelInferResponse) -> dict[str, np.ndarray]:
    """The output tensors of a gRPC answer, by name."""
    assert len(response.outputs) == len(response.raw_output_contents)
    return {
        tensor.name: _from_bytes(tensor.datatype, content).reshape(list(tensor.shape))
        for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def outputs(content: bytes, headers: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The output tensors of an answer, by name."""
    length = int(headers.get(HEADER_LENGTH, len(content)))
    position, arrays = length, {}
    for entry in json.loads(content[:length])["outputs"]:
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            flat = _from_json(entry["datatype"], entry["data"])
        else:
            flat = _from_bytes(entry["datatype"], content[position : position + size])
            position += size
        arrays[entry["name"]] = flat.reshape(entry["shape"])
    assert position == len(content), "bytes behind the last output"
    return arrays


def is_exact_in_json(inputs: Mapping[str, np.ndarray]) -> bool:
    """JSON requests carry no NaN and no infinity."""
    return all(array.dtype.kind not in "fV" or np.isfinite(_wide(array)).all() for array in inputs.values())


def _head(name: str, array: np.ndarray) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": datatype(array)}


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array


def _json_values(array: np.ndarray) -> Any:
    values = _wide(array).tolist()
    return values if array.ndim else [values]


def _to_bytes(array: np.ndarray) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    encoded = [str(text).encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _from_bytes(name: str, content: bytes) -> np.ndarray:
    if name != "BYTES":
        return np.frombuffer(content, _DTYPES[name])
    texts: list[str] = []
    position = 0
    while position < len(content):
        (length,) = struct.unpack_from("<I", content, position)
        position += 4 + length
        texts.append(content[position - length : position].decode())
    return np.array(texts, object)


def _from_json(name: str, values: Sequence[Any]) -> np.ndarray:
    return (
        np.array(values, np.float32).astype(_DTYPES[name])
        if name == "BF16"
        else np.array(values, _DTYPES[name])
    )
