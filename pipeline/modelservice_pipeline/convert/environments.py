"""An environment for each framework: made when it is first needed, of packages locked by their hashes.

`python -m modelservice_pipeline.convert.environments NAME...` makes some before they are needed.

The frameworks contradict each other's versions, and none of them is in this process: what it converts is
somebody's code. An environment is named after its requirements, so a new version of ours makes a new one.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.report.progress import say

# Written last: an environment without it was not finished.
_COMPLETE = "complete"


@dataclass(frozen=True)
class Environment:
    """The packages of one or more frameworks.

    Attributes:
        name: Of the file with the requirements.
        megabytes: What it takes on the disk, about.
    """

    name: str
    megabytes: int

    @property
    def requirements(self) -> str:
        """The packages with their versions and hashes, as pip reads them."""
        folder = resources.files("modelservice_pipeline.convert") / "requirements"
        return (folder / f"{self.name}.txt").read_text(encoding="utf-8")

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        what = f"{sys.version_info[:2]} {sysconfig.get_platform()}\n{self.requirements}"
        return environments_folder() / f"{self.name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def environments_folder() -> Path:
    """Where environments are kept: below the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelservice/environments"


def prepare(environment: Environment) -> Path:
    """Return the Python of an environment; make it where it is missing or broken. Raises PipelineError."""
    folder = environment.folder
    python = folder / "bin/python"
    try:
        with _locked(folder.with_suffix(".lock"), environment):
            if not _works(folder, python):
                shutil.rmtree(folder, ignore_errors=True)
                _make(environment, folder, python)
    except OSError as error:
        raise PipelineError(f"cannot make the environment {folder}: {error.strerror}") from None
    return python


@contextmanager
def _locked(path: Path, environment: Environment) -> Iterator[None]:
    """Let one process at a time look at an environment; the kernel frees the lock of one that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another process that prepares the environment {environment.name!r}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _works(folder: Path, python: Path) -> bool:
    """Look whether it was finished and its interpreter, a link to the system's, still starts."""
    if not (folder / _COMPLETE).is_file():
        return False
    try:
        return (
            subprocess.run(
                (python, "-I", "-c", "import numpy, onnx"), capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


def _make(environment: Environment, folder: Path, python: Path) -> None:
    say(f"Making the environment {environment.name!r} in {folder}: up to {environment.megabytes:,} MB, once")
    requirements = folder.with_suffix(".txt")
    requirements.write_text(environment.requirements, encoding="utf-8")
    uv = _find_uv()
    if uv is not None:
        _run((uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder))
        _run((uv, "pip", "install", "--python", python, "--require-hashes", "-r", requirements))
    else:
        _run((sys.executable, "-m", "venv", folder))
        _run(
            (
                python,
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-deps",
                "--require-hashes",
                "-r",
                requirements,
            )
        )
    requirements.unlink()
    (folder / _COMPLETE).touch()


def _find_uv() -> str | None:
    """Uv is many times faster than pip, and keeps one copy of what several environments share."""
    return shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))


def _run(command: tuple[str | Path, ...]) -> None:
    """Run a step, whose progress is seen on standard error. Raises PipelineError."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    code = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), env=environ, check=False
    ).returncode
    if code:
        raise PipelineError(
            f"the environment could not be made: `{' '.join(map(str, command))}` ended with code {code}; its "
            "reason is above (a package index and space on the disk are needed), then run the command again"
        )


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        prepare(Environment(_name, 0))
