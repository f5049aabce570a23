"""One model in our server, as a pod would run it: a process of its own that is asked over loopback."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.wire import Message

_MODEL = "model"
_REQUEST_SECONDS = 300.0
_SERVER_PACKAGES = ("httptools", "modelservice_runtime", "orjson", "uvloop")


@dataclass(frozen=True)
class Pod:
    """The settings of a pod that change how fast it is.

    Attributes:
        threads: CPUs of a run.
        providers: ONNX Runtime's execution providers, in order; none: the CPU.
    """

    threads: int = 1
    providers: tuple[str, ...] = ()

    def command(self, model: Path) -> list[str]:
        """Return the command that serves a model on ports that the system chooses."""
        command = [sys.executable, "-m", "modelservice_runtime", "serve", "--host", "127.0.0.1"]
        command += ["--http-port", "0", "--grpc-port", "off", "--metrics-port", "0"]
        command += ["--drain-delay-seconds", "0", "--intra-op-threads", str(self.threads)]
        for provider in self.providers:
            command += ["--execution-provider", provider]
        return [*command, "--model", f"{_MODEL}={model.resolve()}"]


class ServedModel:
    """A server that is ready, asked over one connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_SECONDS)

    def ask(self, message: Message) -> float:
        """Return how many seconds an answer takes, to its last byte. Raises PipelineError."""
        started = time.perf_counter()
        status, body = self._exchange("POST", f"/v2/models/{_MODEL}/infer", message)
        seconds = time.perf_counter() - started
        if status != http.client.OK:
            raise PipelineError(f"the server answers {status}: {_sentence(body)}")
        return seconds

    def run_seconds(self) -> tuple[int, float]:
        """Return how many runs of the model the server counted so far, and how long they took together."""
        status, body = self._exchange("GET", f"/v2/models/{_MODEL}/stats", Message(b"", {}))
        if status != http.client.OK:
            raise PipelineError(f"the server answers {status}: {_sentence(body)}")
        spent = json.loads(body)["model_stats"][0]["inference_stats"]["compute_infer"]
        return int(spent["count"]), int(spent["ns"]) / 1e9

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exchange(self, method: str, path: str, message: Message) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, message.body or None, message.headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise PipelineError(f"the server gives no answer: {error or type(error).__name__}") from None


def check_server_is_installed() -> None:
    """Raise PipelineError where the server's packages are not there."""
    missing = [name for name in _SERVER_PACKAGES if find_spec(name) is None]
    if missing:
        raise PipelineError(
            f"candidates are measured in the server, which needs {', '.join(missing)}: "
            "pip install 'modelservice[pipeline,runtime]'"
        )


@contextlib.contextmanager
def ended_by_exception() -> Iterator[None]:
    """Let SIGTERM end this process through its `finally` blocks, so that no server outlives it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def serve(model: Path, pod: Pod) -> Iterator[ServedModel]:
    """Serve a model until the block ends. Raises PipelineError where the server refuses it."""
    with subprocess.Popen(
        pod.command(model), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        served = None
        try:
            served = ServedModel(_wait_until_ready(process.stderr))
            # Whatever it says from now on must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield served
        finally:
            if served is not None:
                served.close()
            process.kill()


def _wait_until_ready(lines: IO[str]) -> int:
    port, said = 0, ["it ended without a word"]
    for line in lines:
        record = _parse(line)
        port = record.get("http_port", port)
        if record.get("message") == "ready":
            return int(port)
        if record.get("level", "error").lower() in ("error", "critical", "fatal"):
            said.append(str(record.get("error") or record.get("message")))
    raise PipelineError(f"the server refuses it: {said[-1]}")


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    return record if isinstance(record, dict) else {"message": line.strip()}


def _sentence(body: bytes) -> str:
    record = _parse(body.decode("utf-8", "replace"))
    return str(record.get("error") or record.get("message"))[:300]
