"""The gRPC port of a real server process: open, off, and gone without a failed request."""

import signal
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.operator_process import wait_until
from tests.unit.runtime.server_process import run_to_the_end, server_process
from tritonclient.grpc import service_pb2, service_pb2_grpc


def infer_request(model: str, array: np.ndarray, datatype: str) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[array.tobytes()])
    request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    return request


def test_sigterm_under_load_fails_no_call(model_files: dict[str, Path]) -> None:
    # Longer than a busy machine takes to stop the clients: what is called after the delay may fail.
    with server_process("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "5") as server:
        server.wait_for("ready")
        stop = threading.Event()
        answered = [0, 0, 0]
        failures: list[str] = []
        request = infer_request("mlp", np.ones((1, 4), np.float32), "FP32")

        def call_without_pause(index: int, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
            while not stop.is_set():
                try:
                    stub.ModelInfer(request, timeout=120)
                except grpc.RpcError as error:
                    failures.append(repr(error))
                    return
                answered[index] += 1

        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            threads = [threading.Thread(target=call_without_pause, args=(index, stub)) for index in range(3)]
            for thread in threads:
                thread.start()
            while min(answered) < 20:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("signal received")
            before = list(answered)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            wait_until(
                lambda: failures or all(now > then for now, then in zip(answered, before, strict=True)),
                "they go on",
            )
            stop.set()
            for thread in threads:
                thread.join(120)
            assert failures == []
            assert server.process.wait(120) == 0


def test_drain_finishes_the_call_in_flight(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"loop={model_files['loop']}", "--drain-delay-seconds", "0") as server:
        server.wait_for("ready")
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            call = stub.ModelInfer.future(infer_request("loop", np.array([20_000]), "INT64"))
            statistics = service_pb2.ModelStatisticsRequest(name="loop")
            assert stub.ModelStatistics(statistics).model_stats[0].name == "loop"
            server.process.send_signal(signal.SIGTERM)
            assert call.result(timeout=120).model_name == "loop"
            assert server.process.wait(120) == 0


def test_grpc_port_may_be_off(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"mlp={model_files['mlp']}", "--grpc-port", "off") as server:
        server.wait_for("ready")
        assert server.grpc_port == 0
        assert server.end(signal.SIGINT) == 0


def test_grpc_port_in_use_is_named(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"mlp={model_files['mlp']}") as first:
        first.wait_for("listening")
        port = str(first.grpc_port)
        code, text = run_to_the_end("--model", f"mlp={model_files['mlp']}", "--grpc-port", port)
        assert code == 1
        assert text.splitlines()[-1].startswith(f"AddressUnavailable: cannot listen on 127.0.0.1:{port}")
        assert text.splitlines()[-1].endswith("it is --grpc-port")
        assert first.end(signal.SIGINT) == 0


FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from modelservice_runtime.__main__ import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""
BUSY = b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"


def test_busy_clients_of_one_port_keep_no_probe_out_of_another_where_few_files_may_be_open(
    model_files: dict[str, Path],
) -> None:
    flags = ("--model", f"mlp={model_files['mlp']}", "--body-grace-seconds", "600")
    with server_process(*flags, program=FEW_FILES) as server, ExitStack() as opened:
        server.wait_for("ready")
        for _ in range(80):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", server.http_port), 20))
            with suppress(ConnectionError):  # no place for this one
                client.sendall(BUSY)
        with suppress(ConnectionError):
            client.recv(1)  # the last one is turned away, so all have been seen
        with urllib.request.urlopen(
            f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=120
        ) as metrics:
            assert metrics.status == 200
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=120)
