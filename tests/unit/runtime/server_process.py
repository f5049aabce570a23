"""The real server as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[3]


class ServerProcess:
    """`python -m modelservice_runtime serve` with ports chosen by the kernel.

    `program` is Python text that runs `serve` in its own way; `within` stands before the command, such as
    `ip netns exec NAME`. Standard output goes to `output`, else where that of the tests goes.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        program: str | None = None,
        within: Sequence[str] = (),
        output: IO[Any] | None = None,
    ) -> None:
        ports = ["--host", "127.0.0.1", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
        start = ["-m", "modelservice_runtime", "serve"] if program is None else ["-c", program]
        command = [*within, sys.executable, *start, *ports, *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "runtime")}
        self.process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.records: list[dict[str, Any]] = []
        self.http_port = self.grpc_port = self.metrics_port = 0

    def wait_for(self, message: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            record: dict[str, Any] = json.loads(line)
            self.records.append(record)
            if record["message"] == "listening":
                self.http_port, self.metrics_port = record["http_port"], record["metrics_port"]
                self.grpc_port = record.get("grpc_port", 0)
            if record["message"] == message:
                return record
        raise AssertionError(f"ended without {message!r}: {self.records}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)


@contextmanager
def server_process(
    *arguments: str,
    program: str | None = None,
    within: Sequence[str] = (),
    output: IO[Any] | None = None,
) -> Iterator[ServerProcess]:
    server = ServerProcess(arguments, program, within, output)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(120)
        assert server.process.stderr is not None
        server.process.stderr.close()


def run_to_the_end(*arguments: str) -> tuple[int, str]:
    """Run a server that is expected to fail; returns its exit code and stderr."""
    with server_process(*arguments) as server:
        assert server.process.stderr is not None
        text = server.process.stderr.read()
        return server.process.wait(120), text
