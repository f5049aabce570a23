"""Serve a folder on this machine and talk to it in the terminal: `python chat.py FOLDER`."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_COMMAND = Path(sys.executable).with_name("modelservice")


def main() -> int:
    with serve(Path(sys.argv[1])) as url:
        print(f"The same for programs: {url}/v1")
        # So small a model wanders off where it may choose, and repeats itself without an end.
        steady = ("--temperature", "0", "--max-tokens", "300")
        return subprocess.run([_COMMAND, "chat", url, *steady], check=False).returncode


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """A server that is ready, by its URL; its log goes to a file."""
    ports = ("--http-port", "0", "--grpc-port", "off", "--metrics-port", "0", "--drain-delay-seconds", "0")
    command = [_COMMAND, "serve", "--model", f"chat={folder}", *ports]
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "server.log"
        # A session of its own: Ctrl-C ends an answer, not the server.
        with (
            log.open("w") as written,
            subprocess.Popen(command, stderr=written, start_new_session=True) as server,
        ):
            try:
                yield f"http://127.0.0.1:{_wait_until_ready(server, log)}"
            finally:
                server.terminate()


def _wait_until_ready(server: "subprocess.Popen[bytes]", log: Path) -> int:
    """The port of the server, once its log says that it is ready. Raises SystemExit where it ends before."""
    while server.poll() is None:
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        records = [json.loads(line) for line in lines]
        if any(record["message"] == "ready" for record in records):
            return int(next(record["http_port"] for record in records if "http_port" in record))
        time.sleep(0.1)
    raise SystemExit(f"the server ended before it was ready: {log.read_text()[-1000:]}")


if __name__ == "__main__":
    sys.exit(main())
