"""What a request leaves behind: no reference cycle, in which its tensors would wait for a garbage collection.

Python collects when many objects have been made, however large they are: a server that left a cycle for each
request grew by gigabytes under large tensors before anything was collected.
"""

import gc
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.server_thread import ServerThread
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.transport.http1.bodies.body import RequestBody


def document(datatype: str, shape: list[int], data: list[float]) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}
    ).encode()


LARGE = document("FP32", [1, 200_000], [1.0] * 200_000)


@pytest.fixture(scope="module", params=[1, 4], ids=["unbatched", "batched"])
def serving(model_files: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[ServerThread]:
    models = {name: model_files[name] for name in ("any", "loop", "gather", "identity_BF16")}
    with ServerThread(models, lane=LaneSettings(max_batch_size=request.param)) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_older(serving: ServerThread) -> None:
    """Collections in this module pass over all that is there already, which is a lot."""
    gc.collect()
    gc.freeze()


def left_behind(action: Callable[[], object]) -> set[str]:
    """Names of the package's types and functions, of which `action` left unreachable objects or frames.

    Connections, with what they hold, are not counted: they know their parser, and it them.
    """
    action()  # what is made once, and kept
    gc.collect()
    gc.disable()
    try:
        action()
        time.sleep(0.1)  # the server's own end of the last request
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return {name for name in map(_name, gc.garbage) if name} - {"Connection", "Client", "RequestBody"}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _name(found: Any) -> str | None:
    if isinstance(found, FrameType):
        return found.f_code.co_name if "modelservice_runtime" in found.f_code.co_filename else None
    return type(found).__name__ if type(found).__module__.startswith("modelservice_runtime") else None


@pytest.mark.parametrize(
    ("path", "body", "encoding"),
    [
        ("/v2/models/any/infer", document("FP32", [1, 2], [1, 2]), None),
        ("/v2/models/any/infer", LARGE, None),
        ("/v2/models/any/infer", gzip.compress(LARGE, mtime=0), "gzip"),
        ("/v2/models/any/infer", LARGE[:-1], None),
        ("/v2/models/any/infer", b"no gzip" * 1000, "gzip"),
        ("/v2/models/identity_BF16/infer", document("BF16", [2], [1, 2]), None),
        ("/v2/models/gather/infer", document("INT64", [1], [9]), None),  # the run fails
        ("/v1/models/any:predict", b'{"instances": [[1, 2]]}', None),
        ("/v1/models/any:predict", b'{"instances": [["a"]]}', None),
    ],
)
def test_http_request_leaves_no_cycle(
    serving: ServerThread, path: str, body: bytes, encoding: str | None
) -> None:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    assert left_behind(lambda: serving.request("POST", path, body, headers)) == set()


def test_request_that_times_out_leaves_no_cycle(serving: ServerThread) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [10**9]}

    def wait_in_vain() -> None:
        assert serving.infer("loop", [tensor], parameters={"timeout": 20_000}).status == 504

    assert left_behind(wait_in_vain) == set()


@pytest.mark.parametrize("columns", [2, 200_000])
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("model", ["any", "unknown"])
def test_grpc_call_leaves_no_cycle(
    serving: ServerThread, columns: int, compression: str | None, model: str
) -> None:
    tensor = triton_grpc.InferInput("x", [1, columns], "FP32")
    tensor.set_data_from_numpy(np.ones((1, columns), np.float32))
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{serving.grpc_port}")

    def call() -> None:
        with nullcontext() if model == "any" else pytest.raises(InferenceServerException):
            client.infer(model, [tensor], compression_algorithm=compression)

    assert left_behind(call) == set()
    client.close()


def test_finish_leaves_the_bytes_to_whoever_asked() -> None:
    body = RequestBody(lambda _size: None)
    body.append(bytes(1000))
    content = body.finish()
    assert sys.getrefcount(content) == 2  # the name and the argument
