"""Installs programs that come as npm packages, once, into the cache; `npm/<name>/` pins them.

They are for tests that are skipped without: where npm is missing, or reaches no registry, all else runs.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from hack.cluster.commands import run_with_progress
from hack.cluster.errors import ClusterError
from hack.cluster.paths import cache_directory, file_lock
from hack.cluster.progress import Progress

NPM_PACKAGES = Path(__file__).resolve().parent / "npm"
INSTALL_SECONDS = 20
AZURITE = ("azurite", "azurite-blob")


def find_npm_program(package: str, program: str) -> Path:
    """Return the program of a package, from PATH or the cache, else install it; ClusterError says why not."""
    if installed := shutil.which(program):
        return Path(installed)
    lock_file = NPM_PACKAGES / package / "package-lock.json"
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    directory = cache_directory() / "cluster" / f"{package}-{digest}"
    if not directory.is_dir():
        waiting = f"{package}: another run is installing it; waiting for that"
        with file_lock(directory.parent / f".{package}.lock", waiting):
            if not directory.is_dir():
                _install(lock_file.parent, directory)
    return directory / "node_modules" / ".bin" / program


def _install(package: Path, directory: Path) -> None:
    """Install into a temporary directory and rename it, so that an interrupted installation is never used."""
    npm = shutil.which("npm")
    if npm is None:
        raise ClusterError(f"{package.name} needs npm: install Node.js")
    # Leftovers of killed runs; we hold the package's lock, so nobody is using them.
    for stale in directory.parent.glob(f".{package.name}-npm-*"):
        shutil.rmtree(stale)
    temporary = Path(tempfile.mkdtemp(prefix=f".{package.name}-npm-", dir=directory.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(package / name, temporary)
        progress = Progress(f"installing {package.name}", INSTALL_SECONDS)
        options = ("--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund")
        run_with_progress([npm, "ci", *options], progress, lambda _: 0.0, directory=temporary)
        temporary.rename(directory)
        progress.finish()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
