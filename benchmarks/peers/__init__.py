"""Other servers with the same model, each in an environment of its own under build/bench."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Target
from benchmarks.servers import free_port, peer

_HERE = Path(__file__).parent
_ENVIRONMENTS = Path("build/bench")
_INSTALL_SECONDS = 600


class PeerUnavailableError(Exception):
    """The peer cannot be installed here; the text says why."""


def _environment(name: str, packages: list[str]) -> Path:
    """Programs of the peer's environment, which is made when it is missing."""
    programs = _ENVIRONMENTS.resolve() / name / "bin"
    done = programs.parent / ".installed"
    if not done.exists():
        print(f"==> {name} into {programs.parent}", flush=True)
        uv = str(Path(sys.executable).parent / "uv")
        for command in (
            [uv, "venv", "--quiet", "--clear", str(programs.parent)],
            [uv, "pip", "install", "--quiet", "--python", str(programs / "python"), *packages],
        ):
            try:
                subprocess.run(command, check=True, timeout=_INSTALL_SECONDS, capture_output=True, text=True)
            except (OSError, subprocess.SubprocessError) as error:
                detail = getattr(error, "stderr", None) or str(error)
                raise PeerUnavailableError(
                    f"cannot be installed: {detail.strip().splitlines()[-1]}"
                ) from error
        done.touch()
    return programs


@contextmanager
def fastapi(model: Path) -> Iterator[Target]:
    """FastAPI on uvicorn with its fast parser and loop. Raises PeerUnavailableError."""
    programs = _environment("fastapi", ["fastapi", "uvicorn[standard]", "onnxruntime", "numpy"])
    port = free_port()
    command = [str(programs / "uvicorn"), "fastapi_app:app", "--port", str(port), "--no-access-log"]
    with peer(command, port, {"MODEL": str(model)}, _HERE) as target:
        yield target


@contextmanager
def mlserver(model: Path) -> Iterator[Target]:
    """MLServer without its worker processes: on one core they only add hops. Raises PeerUnavailableError."""
    programs = _environment("mlserver", ["mlserver", "onnxruntime", "numpy"])
    port = free_port()
    settings = {
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
    }
    environment = {f"MLSERVER_{name.upper()}": json.dumps(value) for name, value in settings.items()}
    command = [str(programs / "mlserver"), "start", "."]
    with peer(command, port, environment | {"MODEL": str(model)}, _HERE / "mlserver") as target:
        yield target
