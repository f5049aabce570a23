"""The life of a real server process: start, signals, drain, failures."""

import hashlib
import http.client
import json
import shutil
import signal
import socket
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.operator_process import wait_until
from tests.unit.runtime.server_process import run_to_the_end, server_process

from modelservice_runtime.errors import ModelLoadFailedError
from modelservice_runtime.machine.process import report_fatal

BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
).encode()
# Many turns of a small matrix product: some tenths of a second.
SLOW_BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [20_000]}]}
).encode()


def post(port: int, model: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", f"/v2/models/{model}/infer", body)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_serve_answers_exposes_metrics_and_exits_0_on_sigterm(model_files: dict[str, Path]) -> None:
    with server_process(
        "--model", f"mlp={model_files['mlp']}", "--model", f"text={model_files['text']}",
        "--model-version", "7", "--drain-delay-seconds", "0",
    ) as server:  # fmt: skip
        server.wait_for("ready")
        status, answer = post(server.http_port, "mlp", BODY)
        assert (status, json.loads(answer)["model_version"]) == (200, "7")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as response:
            text = response.read().decode()
        assert 'nv_inference_request_success{model="mlp",version="7"} 1.0' in text
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics")
        assert server.end() == 0
    assert all(record["level"] == "info" for record in server.records)


def test_serve_with_a_tiny_model_stays_below_100_megabytes(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "0") as server:
        server.wait_for("ready")
        for _ in range(50):
            assert post(server.http_port, "mlp", BODY)[0] == 200
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        resident_kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        assert resident_kilobytes <= 100 * 1024
        assert server.end() == 0


@dataclass
class Caller:
    """Sends requests without a pause, like a client behind a Service, until told to stop."""

    port: int
    stop: threading.Event
    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self.stop.is_set():
            try:
                connection.request("POST", "/v2/models/mlp/infer", BODY)
                response = connection.getresponse()
                response.read()
                self.statuses.append(response.status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                return
        connection.close()


def test_sigterm_under_load_fails_no_request(model_files: dict[str, Path]) -> None:
    # Longer than a busy machine takes to stop the clients: what is asked after the delay may fail.
    with server_process("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "5") as server:
        server.wait_for("ready")
        stop = threading.Event()
        callers = [Caller(server.http_port, stop) for _ in range(6)]
        threads = [threading.Thread(target=caller.run) for caller in callers]
        for thread in threads:
            thread.start()
        while min(len(caller.statuses) for caller in callers) < 20:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("signal received")
        answered_before = [len(caller.statuses) for caller in callers]
        assert readiness(server.http_port) == 503
        # The endpoint's removal reaches the clients a little later; until then they go on.
        for caller, before in zip(callers, answered_before, strict=True):
            wait_until(partial(went_on, caller, before), "it goes on")
        stop.set()
        for thread in threads:
            thread.join(120)
        assert [caller.failures for caller in callers] == [[]] * 6
        assert {status for caller in callers for status in caller.statuses} == {200}
        assert server.process.wait(120) == 0


def went_on(caller: Caller, before: int) -> bool:
    return bool(caller.failures) or len(caller.statuses) > before


def readiness(port: int) -> int:
    return get_status(port, "/v2/health/ready")


def get_status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_drain_finishes_the_request_in_flight_and_refuses_new_connections(
    model_files: dict[str, Path],
) -> None:
    with server_process("--model", f"loop={model_files['loop']}", "--drain-delay-seconds", "0") as server:
        server.wait_for("ready")
        answers: list[tuple[int, bytes]] = []
        caller = threading.Thread(target=lambda: answers.append(post(server.http_port, "loop", SLOW_BODY)))
        caller.start()
        wait_until_pending(server.metrics_port)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("signal received")
        assert server.process.wait(120) == 0
        caller.join(120)
        assert answers[0][0] == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.http_port))


def wait_until_pending(metrics_port: int) -> None:
    def is_pending() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as response:
            return b'nv_inference_pending_request_count{model="loop",version="1"} 1.0' in response.read()

    wait_until(is_pending, "the request has arrived")


def test_drain_timeout_stops_a_runaway_model_and_still_exits_0(model_files: dict[str, Path]) -> None:
    runaway = SLOW_BODY.replace(b"20000", b"9000000000")
    with server_process(
        "--model",
        f"loop={model_files['loop']}",
        "--drain-delay-seconds",
        "0",
        "--drain-timeout-seconds",
        "0.2",
    ) as server:
        server.wait_for("ready")
        with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
            head = b"POST /v2/models/loop/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(runaway) + runaway)
            wait_until_pending(server.metrics_port)
            assert server.end() == 0


def test_sigint_skips_the_drain_delay(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "1000") as server:
        server.wait_for("ready")
        assert server.end(signal.SIGINT) == 0


WAITS_IN_WARM_UP = """
import os, pathlib, sys, time
from modelservice_runtime.models import warm_up
from modelservice_runtime.serving import serve
warm = warm_up.warm_up

def wait_and_warm_up(*arguments):
    print('{"message": "warming up"}', file=sys.stderr, flush=True)
    for _ in range(6000):
        if pathlib.Path(os.environ["GATE"]).exists():
            return warm(*arguments)
        time.sleep(0.01)
    raise SystemExit("the gate never opened")

warm_up.warm_up = wait_and_warm_up
sys.exit(serve.run(sys.argv[1:]))
"""


def test_ports_open_before_the_model_and_readiness_follows_the_warm_up(
    model_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE", str(tmp_path / "gate"))
    arguments = ("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "0")
    with server_process(*arguments, program=WAITS_IN_WARM_UP) as server:
        server.wait_for("warming up")
        assert get_status(server.http_port, "/v2/health/live") == 200
        assert get_status(server.http_port, "/v2/health/ready") == 503
        assert get_status(server.http_port, "/v2/models/mlp/ready") == 503
        assert post(server.http_port, "mlp", BODY)[0] == 503
        assert get_status(server.metrics_port, "/metrics") == 200
        (tmp_path / "gate").touch()
        server.wait_for("ready")
        assert get_status(server.http_port, "/v2/health/ready") == 200
        assert get_status(server.http_port, "/v2/models/mlp/ready") == 200
        assert post(server.http_port, "mlp", BODY)[0] == 200
        assert server.end() == 0


def test_sigterm_before_ready_exits_0(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "0") as server:
        server.wait_for("listening")
        assert server.end() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--model", "m=/nowhere/model.onnx"),
            "ModelNotFound: model 'm' (version '1'): there is no model at",
        ),
        (
            ("--model", "good={mlp}", "--model", "m={broken}", "--model-version", "7"),
            "ModelLoadFailed: model 'm' (version '7'): 'broken.onnx': the file is truncated",
        ),
        (
            ("--model", "good={mlp}", "--model", "m={broken}", "--model-trial-seconds", "off"),
            "ModelLoadFailed: model 'm' (version '1'): 'broken.onnx': the file is truncated",
        ),
        (("--model", "m={mlp}", "--execution-provider", "CUDA"), "ExecutionProviderUnavailable: "),
        (("--model", "m={mlp}", "--http-port", "http"), "InvalidSettings: argument --http-port: 'http'"),
        ((), "InvalidSettings: no model to serve; give at least one --model NAME=PATH"),
    ],
)
def test_failed_start_exits_1_with_the_reason_as_last_line(
    model_files: dict[str, Path], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model_files["mlp"].read_bytes()[:200])
    filled = [argument.format(broken=broken, mlp=model_files["mlp"]) for argument in arguments]
    code, text = run_to_the_end(*filled)
    assert code == 1
    assert text.splitlines()[-1].startswith(sentence)
    assert "Traceback" not in text


def test_port_in_use_is_named(model_files: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = run_to_the_end("--model", f"m={model_files['mlp']}", "--http-port", str(port))
    assert code == 1
    assert text.splitlines()[-1].startswith(f"AddressUnavailable: cannot listen on 127.0.0.1:{port}")
    assert text.splitlines()[-1].endswith("it is --http-port")


def test_report_fatal_writes_the_termination_log_where_there_is_one(tmp_path: Path) -> None:
    error = ModelLoadFailedError("the file is empty")
    present, absent = tmp_path / "termination-log", tmp_path / "absent"
    present.touch()
    assert report_fatal(error, present) == report_fatal(error, absent) == 1
    assert present.read_text() == "ModelLoadFailed: the file is empty"
    assert not absent.exists()


def test_serve_of_a_directory_of_versions_serves_those_the_policy_names(
    model_files: dict[str, Path], tmp_path: Path
) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        shutil.copy(model_files["mlp"], tmp_path / version / "model.onnx")
    arguments = [
        "--model",
        f"mlp={tmp_path}",
        "--version-label",
        "mlp:stable=1",
        "--drain-delay-seconds",
        "0",
    ]
    code, text = run_to_the_end(*arguments)
    assert code == 1
    assert "InvalidSettings: --version-label: mlp:stable names version '1'" in text.splitlines()[-1]
    with server_process(*arguments, "--model-version-policy", "all") as server:
        server.wait_for("ready")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/v2/models/mlp") as response:
            assert json.load(response)["versions"] == ["1", "2"]
        assert json.loads(post(server.http_port, "mlp", BODY)[1])["model_version"] == "2"
        assert json.loads(post(server.http_port, "mlp/versions/1", BODY)[1])["model_version"] == "1"
        assert server.end() == 0


def test_serve_whose_log_nobody_reads_answers_and_ends(model_files: dict[str, Path]) -> None:
    arguments = ["--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "0", "--access-log", "1"]
    with server_process(*arguments) as server:
        server.wait_for("ready")
        # From here on nobody reads. Each line has over 100 bytes, and the pipe holds 65,536.
        for _ in range(1000):
            assert post(server.http_port, "mlp", BODY)[0] == 200
        assert server.end() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_report_tells_the_digest_and_the_tensors_of_what_was_loaded(
    workers: str, model_files: dict[str, Path], tmp_path: Path
) -> None:
    content = model_files["mlp"].read_bytes()
    model = tmp_path / "model.onnx"
    model.write_bytes(content)
    with server_process(
        "--model", f"m={model}", "--workers", workers, "--drain-delay-seconds", "0"
    ) as server:
        server.wait_for("ready")
        model.unlink()
        model.write_bytes(b"another")
        report: dict[str, Any] = {"digestsComplete": False}
        while not report["digestsComplete"]:
            address = f"http://127.0.0.1:{server.metrics_port}/report"
            with urllib.request.urlopen(address, timeout=120) as answer:
                report = json.load(answer)
        (entry,) = report["models"]
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["sizeBytes"] == len(content)
        address = f"http://127.0.0.1:{server.http_port}/v2/models/m"
        with urllib.request.urlopen(address, timeout=120) as answer:
            metadata = json.load(answer)
        assert metadata["inputs"]
        for side in ("inputs", "outputs"):
            assert entry[side] == metadata[side]
        assert server.end() == 0
