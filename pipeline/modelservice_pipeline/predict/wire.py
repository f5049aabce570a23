"""Requests and answers of the Open Inference Protocol (V2), as JSON and with its binary extension; pure.

Sources: `inference_rest.md` of the protocol, `extension_binary_data.md` of Triton.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Array, Tensors

BINARY_EXTENSION = "binary_tensor_data"
"""What a server that takes and answers binary tensors calls it."""
JSON_LENGTH = "Inference-Header-Content-Length"
_DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
_DATATYPES = {dtype: datatype for datatype, dtype in _DTYPES.items()}


class WireError(ValueError):
    """An answer is not what the protocol says."""


@dataclass(frozen=True)
class Message:
    """A request: its body, and the headers that say what it is."""

    body: bytes
    headers: dict[str, str]


def parse_ports(metadata: Mapping[str, Any], key: str) -> tuple[Port, ...]:
    """Read `inputs` or `outputs` of a model's metadata. Raises WireError."""
    try:
        return tuple(
            Port(
                str(tensor["name"]),
                _DTYPES.get(tensor["datatype"], tensor["datatype"]),
                tuple(None if size < 0 else int(size) for size in tensor["shape"]),
            )
            for tensor in metadata[key]
        )
    except (KeyError, TypeError) as error:
        raise WireError(f"its metadata has no well-formed {key!r} ({error!r})") from None


def build_request(rows: Tensors, *, binary: bool) -> Message:
    """Return the request for these rows; `binary` where the server knows the extension."""
    buffers = [_to_bytes(array) for array in rows.values()] if binary else []
    inputs: list[dict[str, Any]] = [
        {"name": name, "datatype": _DATATYPES[array.dtype.name], "shape": list(array.shape)}
        for name, array in rows.items()
    ]
    if not binary:
        for tensor, array in zip(inputs, rows.values(), strict=True):
            tensor["data"] = array.ravel().tolist()
        return Message(_to_json({"inputs": inputs}), {"Content-Type": "application/json"})
    for tensor, buffer in zip(inputs, buffers, strict=True):
        tensor["parameters"] = {"binary_data_size": len(buffer)}
    head = _to_json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
    return Message(b"".join([head, *buffers]), headers)


def parse_answer(body: bytes, json_length: str | None) -> dict[str, Array]:
    """Return the outputs of an answer; `json_length` is the header of that name. Raises WireError."""
    try:
        length = len(body) if json_length is None else int(json_length)
        head = json.loads(body[:length])
        outputs, position = {}, length
        for tensor in head["outputs"]:
            size = (tensor.get("parameters") or {}).get("binary_data_size")
            buffer = None if size is None else body[position : position + size]
            position += size or 0
            outputs[tensor["name"]] = _read_tensor(tensor, buffer)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise WireError(f"its answer is not of the protocol ({error!r})") from None
    return outputs


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _to_bytes(array: Array) -> bytes:
    if array.dtype != object:
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    encoded = [text.encode("utf-8", "replace") for text in array.flat]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _read_tensor(tensor: Mapping[str, Any], buffer: bytes | None) -> Array:
    dtype = np.dtype(_DTYPES[tensor["datatype"]])
    shape = tuple(tensor["shape"])
    if buffer is None:
        return _from_json(tensor["data"], dtype).reshape(shape)
    if dtype.hasobject:
        return _from_items(_split_texts(buffer)).reshape(shape)
    return np.frombuffer(buffer, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _from_json(data: list[Any], dtype: np.dtype[Any]) -> Array:
    if not dtype.hasobject:
        return np.array(data, dtype)
    while data and isinstance(data[0], list):
        data = [value for row in data for value in row]
    return _from_items([str(value) for value in data])


def _from_items(texts: list[str]) -> Array:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def _split_texts(buffer: bytes) -> list[str]:
    texts, position = [], 0
    while position < len(buffer):
        (length,) = struct.unpack_from("<I", buffer, position)
        position += 4
        if position + length > len(buffer):
            raise WireError("a text is cut")
        texts.append(buffer[position : position + length].decode("utf-8", "replace"))
        position += length
    return texts
