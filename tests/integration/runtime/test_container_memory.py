"""Servers in containers with little memory: what does not fit fails, and the server lives."""

import contextlib
import http.client
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from tests.unit.runtime import onnx_models
from tests.unit.runtime.server_process import ServerProcess, server_process
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelservice_runtime.machine.memory.cgroup import find_control_groups

MIB = 1024 * 1024
# A node with many cores, of which the container may use all.
PROGRAM = """
import os, sys
from pathlib import Path
Path({procs!r}).write_text(str(os.getpid()))
os.sched_getaffinity = lambda pid: set(range(64))
from modelservice_runtime.__main__ import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""
ANSWERS = {200, 503, 507, "OK", "RESOURCE_EXHAUSTED", "reset"}
IDLE_SECONDS = 180.0
# A server without work looks after its memory every 5 seconds.
LOOKED_AFTER_SECONDS = 8.0

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a control group")


class Container:
    """A control group of a server's own."""

    def __init__(self, limit_bytes: int) -> None:
        groups = find_control_groups()
        old = next((group for group in groups.memory_1 if (group / "memory.limit_in_bytes").exists()), None)
        above = old or next(group for group in groups.version_2 if group.is_dir())
        self.path = above / f"container-{os.getpid()}-{limit_bytes}"
        try:
            if old is None:
                (above / "cgroup.subtree_control").write_text("+memory")
            self.path.mkdir()
            limit = self.path / ("memory.limit_in_bytes" if old else "memory.max")
            limit.write_text(str(limit_bytes))
        except OSError as error:
            pytest.skip(f"this machine gives no control group of one's own: {error}")

    @property
    def anonymous_bytes(self) -> int:
        """Of all processes."""
        total = 0
        for process in (self.path / "cgroup.procs").read_text().split():
            status = Path(f"/proc/{process}/status").read_text()
            total += int(status.partition("RssAnon:")[2].split()[0]) * 1024
        return total

    def remove(self) -> None:
        for _ in range(100):
            try:
                self.path.rmdir()
            except OSError:  # its last process is still leaving
                time.sleep(0.05)
            else:
                return


@pytest.fixture
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    container = Container(request.param * MIB)
    yield container
    container.remove()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen times the input in a convolution's output, and small answers."""
    weight = onnx.numpy_helper.from_array(np.ones((16, 1, 3, 3), np.float32), "w")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        onnx.helper.make_node("GlobalMaxPool", ["c"], ["g"]),
        onnx.helper.make_node("Flatten", ["g"], ["y"]),
    ]
    x = onnx_models.value("x", "FP32", ["n", 1, "h", 256])
    y = onnx_models.value("y", "FP32", ["n", 16])
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], [weight])
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def wait_for_memory(container: Container, at_ready: int) -> None:
    """All that requests took comes back, but for what the server learned from them."""
    patient_until = time.monotonic() + IDLE_SECONDS
    while container.anonymous_bytes > at_ready + 24 * MIB and time.monotonic() < patient_until:
        time.sleep(0.2)
    assert container.anonymous_bytes <= at_ready + 24 * MIB


def infer_json(server: ServerProcess, images: int) -> int:
    values = ",".join(["0.5"] * (images * 256 * 256))
    tensor = f'{{"name":"x","datatype":"FP32","shape":[{images},1,256,256],"data":[{values}]}}'
    return post(server, f'{{"inputs":[{tensor}]}}'.encode(), {})


def infer_binary(server: ServerProcess, images: int) -> int:
    content = bytes(images * 256 * 256 * 4)
    tensor = {"name": "x", "datatype": "FP32", "shape": [images, 1, 256, 256]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(content)}}]}).encode()
    return post(server, head + content, {"Inference-Header-Content-Length": str(len(head))})


def post(server: ServerProcess, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=120)
    connection.putrequest("POST", "/v2/models/m/infer")
    for name, value in (headers | {"Content-Length": str(len(body))}).items():
        connection.putheader(name, value)
    connection.endheaders()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
        connection.send(body)
    try:
        return connection.getresponse().status
    except ConnectionResetError:
        return 503  # as above, and the answer was lost with the connection
    finally:
        connection.close()


def infer_grpc(server: ServerProcess, images: int) -> str:
    request = service_pb2.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[images, 1, 256, 256])
    request.raw_input_contents.append(bytes(images * 256 * 256 * 4))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        try:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=120)
        except grpc.RpcError as error:
            if "Stream removed" in str(error.details()):  # type: ignore[attr-defined]
                return "reset"  # refused before it was all sent; no word of the server's
            return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def server_in(
    container: Container, model: Path, *flags: str
) -> contextlib.AbstractContextManager[ServerProcess]:
    """A server whose memory is that of the container."""
    program = PROGRAM.format(procs=str(container.path / "cgroup.procs"))
    return server_process("--model", f"m={model}", "--drain-delay-seconds", "0", *flags, program=program)


@needs_root
@pytest.mark.parametrize("container", [256], indirect=True)
def test_requests_beyond_memory_fail_and_what_they_took_comes_back(container: Container, model: Path) -> None:
    with server_in(container, model, "--intra-op-threads", "1") as server:
        server.wait_for("ready")
        at_ready = container.anonymous_bytes
        growing = [infer_binary(server, images) for images in range(2, 60, 6)]
        assert growing[:4] == [200] * 4
        assert growing[-1] == 507
        chance = random.Random(7)

        def infer_something(_: int) -> int | str:
            infer = chance.choice((infer_json, infer_binary, infer_grpc))
            return infer(server, chance.choice((1, 2, 4, 8, 12, 16, 24, 32, 48, 64)))

        with ThreadPoolExecutor(16) as clients:
            answers = Counter(clients.map(infer_something, range(120)))
        assert set(answers) <= ANSWERS, answers
        assert answers[200] + answers["OK"] > 30, answers
        assert [infer_json(server, 1), infer_binary(server, 1), infer_grpc(server, 1)] == [200, 200, "OK"]
        wait_for_memory(container, at_ready)
        assert server.end() == 0


@needs_root
@pytest.mark.parametrize("container", [256], indirect=True)
def test_what_a_request_holds_is_not_taken_for_the_servers_own(container: Container, model: Path) -> None:
    with server_in(container, model, "--intra-op-threads", "1") as server:
        server.wait_for("ready")
        at_ready = container.anonymous_bytes
        with socket.create_connection(("127.0.0.1", server.http_port)) as slow:
            head = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {32 * MIB}\r\n\r\n"
            slow.sendall(head.encode() + bytes(26 * MIB))
            time.sleep(LOOKED_AFTER_SECONDS)
        assert infer_binary(server, 8) == 200  # 32 MiB in the model, and it must not keep them
        wait_for_memory(container, at_ready)
        assert server.end() == 0


@needs_root
@pytest.mark.parametrize("container", [256], indirect=True)
def test_workers_share_the_memory_of_their_container(container: Container, model: Path) -> None:
    with server_in(container, model, "--workers", "2") as server:
        server.wait_for("ready")
        for _ in range(8):  # by both workers; what one has needed is no less for the next
            assert [infer_binary(server, 4), infer_json(server, 2), infer_grpc(server, 4)] == [200, 200, "OK"]
        with ThreadPoolExecutor(24) as clients:
            sizes = [size for size in (4, 16, 64, 8, 32, 48) for _ in range(6)]
            answers = Counter(clients.map(lambda size: infer_binary(server, size), sizes))
        assert set(answers) <= ANSWERS, answers
        assert not [record for record in server.records if record["level"] == "error"]
        assert [infer_json(server, 1), infer_binary(server, 1), infer_grpc(server, 1)] == [200, 200, "OK"]
        assert server.end() == 0
