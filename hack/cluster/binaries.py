"""Finds the programs of a family, or builds them once into the cache.

Sources, in order: `KUBEBUILDER_ASSETS` and PATH (only the exact version we need), the cache, `go build`.
There is no download of ready-made programs: `go.sum` already pins and checks everything that is fetched.
"""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from hack.cluster.commands import last_lines, run_with_progress
from hack.cluster.errors import ClusterError
from hack.cluster.families import FAMILIES, Family
from hack.cluster.paths import GO_MODULES, cache_directory, file_lock
from hack.cluster.progress import Progress

# The share of a build that is compiling; the rest is linking, about which `go build -v` says nothing.
COMPILE_SHARE = 0.95
GO_MINIMUM = (1, 26)
GO_FETCHES_TOOLCHAINS = (1, 21)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def find_programs(family_names: Iterable[str]) -> dict[str, Path]:
    """Return name -> path of every program of the families, building what is nowhere found."""
    programs: dict[str, Path] = {}
    for name in family_names:
        programs |= find_family(FAMILIES[name])
    return programs


def find_family(family: Family) -> dict[str, Path]:
    """Return name -> path of the programs of one family; raise ClusterError where a build fails."""
    found = {program: _find_installed(family, program) for program in family.programs}
    installed = {program: path for program, path in found.items() if path is not None}
    if len(installed) == len(family.programs):
        return installed
    directory = family_directory(family)
    if not directory.is_dir():
        waiting = f"{family.name}: another run is building it; waiting for that"
        with file_lock(directory.parent / f".{family.name}.lock", waiting):
            if not directory.is_dir():
                _build(family, directory)
    return {program: directory / program for program in family.programs} | installed


def family_directory(family: Family) -> Path:
    """Return where the cache keeps a family; the directory exists only when it is complete."""
    machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return (
        cache_directory()
        / "cluster"
        / f"{family.name}-{family.version}-{platform.system().lower()}-{machine}"
    )


def _find_installed(family: Family, program: str) -> Path | None:
    candidates = [shutil.which(program)]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        candidates.insert(0, shutil.which(program, path=assets))
    for candidate in candidates:
        if candidate and family.version_text in _version_output(family, candidate):
            return Path(candidate).absolute()
    return None


def _version_output(family: Family, program: str) -> str:
    try:
        result = subprocess.run(
            [program, *family.version_arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr


def _build(family: Family, directory: Path) -> None:
    """Compile into a temporary directory and rename it, so that an interrupted build is never used."""
    environment = go_environment()
    module = GO_MODULES / family.name
    # Leftovers of killed builds; we hold the family's lock, so nobody is using them.
    for stale in directory.parent.glob(f".{family.name}-build-*"):
        shutil.rmtree(stale)
    temporary = Path(tempfile.mkdtemp(prefix=f".{family.name}-build-", dir=directory.parent))
    try:
        progress = Progress(f"building {family.name} {family.version}", family.build_seconds)
        packages = list(family.programs.values())
        # `go build -o DIRECTORY/` names programs by package, which only suits families of several commands.
        output = f"{temporary}/" if len(family.programs) > 1 else str(temporary / next(iter(family.programs)))
        stamps = " ".join(f"-X {key}={value}" for key, value in family.stamps.items())
        total = _count_packages(module, packages, environment)
        command = ["go", "build", "-v", "-ldflags", f"-s -w {stamps}", "-o", output, *packages]

        def share_done(lines: Sequence[str]) -> float:
            # `go build -v` prints the name of each package as it is compiled.
            return min(len(lines) / total, 1.0) * COMPILE_SHARE

        run_with_progress(command, progress, share_done, directory=module, environment=environment)
        temporary.chmod(0o755)
        temporary.rename(directory)
        progress.finish()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def go_environment() -> dict[str, str]:
    """Return the environment of `go`, the same on every machine; raise where Go is missing or too old."""
    go = shutil.which("go")
    if go is None:
        raise ClusterError(
            f"`go` is not on PATH: install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer; "
            "it builds Kubernetes, once for this machine, and the example in Go"
        )
    text = subprocess.run(
        [go, "version"], capture_output=True, text=True, check=True, env=os.environ | {"GOTOOLCHAIN": "local"}
    ).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < GO_FETCHES_TOOLCHAINS:
        raise ClusterError(f"{go} is {text.strip()!r}: install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer")
    toolchain = "local" if version >= GO_MINIMUM else "auto"
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath",
        "GOTOOLCHAIN": toolchain,
        "GOWORK": "off",
    }


def _count_packages(module: Path, packages: list[str], environment: dict[str, str]) -> int:
    """Return how many packages a build compiles; this also downloads the modules."""
    result = subprocess.run(
        ["go", "list", "-deps", *packages],
        cwd=module,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise ClusterError(
            f"cannot fetch the Go modules of {module.name}; is `go env GOPROXY` reachable?\n"
            f"{last_lines(result.stderr)}"
        )
    return max(len(result.stdout.splitlines()), 1)
