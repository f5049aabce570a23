"""Whole HTTP requests, ready to be sent."""

import json
from typing import Any

import numpy as np


def http_request(path: str, body: bytes, headers: str = "", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def json_document(array: np.ndarray) -> bytes:
    tensor = {"name": "x", "shape": list(array.shape), "datatype": "FP32", "data": array.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def json_infer(model: str, array: np.ndarray) -> bytes:
    headers = "Content-Type: application/json\r\n"
    return http_request(f"/v2/models/{model}/infer", json_document(array), headers)


def binary_infer(model: str, array: np.ndarray) -> bytes:
    tensor: dict[str, Any] = {"name": "x", "shape": list(array.shape), "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": array.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = f"Inference-Header-Content-Length: {len(head)}\r\n"
    return http_request(f"/v2/models/{model}/infer", head + array.tobytes(), headers)
