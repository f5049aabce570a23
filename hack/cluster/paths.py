"""Where files go: only the cache directory and the state directory are ever written."""

import contextlib
import fcntl
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.errors import ClusterError

REPOSITORY = Path(__file__).resolve().parents[2]
GO_MODULES = Path(__file__).resolve().parent / "go"

# A network namespace is a file name, and the name is part of unix socket paths (108 bytes at most).
NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


def cache_directory() -> Path:
    """Return the directory of binaries and images that all checkouts and clusters share."""
    return _base_directory("MODELSERVICE_CACHE", "XDG_CACHE_HOME", ".cache")


def state_directory() -> Path:
    """Return the directory below which every running cluster has one of its own."""
    return _base_directory("MODELSERVICE_STATE", "XDG_STATE_HOME", ".local/state") / "clusters"


def _base_directory(override: str, xdg: str, default: str) -> Path:
    if value := os.environ.get(override):
        return Path(value).absolute()
    if value := os.environ.get(xdg):
        return Path(value).absolute() / "modelservice"
    return Path.home() / default / "modelservice"


@contextlib.contextmanager
def file_lock(path: Path, waiting: str) -> Iterator[None]:
    """Hold the exclusive lock `path`; print `waiting` when another process has it.

    The kernel frees the lock when its holder dies, so a killed run never blocks the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(waiting, file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            # The holder before us may have removed the file: then others lock a new one, and so must we.
            if path.exists() and path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                yield
                return


@dataclass(frozen=True)
class ClusterPaths:
    """The files of one cluster, all below `root`."""

    root: Path

    @classmethod
    def for_name(cls, name: str) -> "ClusterPaths":
        """Return the paths of the cluster called `name`; raise ClusterError for an impossible name."""
        if not NAME_PATTERN.fullmatch(name):
            raise ClusterError(
                f"cluster name {name!r}: expected 1 to 32 lower-case letters, digits and '-'; choose another"
            )
        return cls(state_directory() / name)

    @property
    def lock(self) -> Path:
        # Beside the directory, because `down` removes the directory while it holds the lock.
        return self.root.with_name(f".{self.root.name}.lock")

    @property
    def record(self) -> Path:
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def processes(self) -> Path:
        return self.root / "processes"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def audit_policy(self) -> Path:
        return self.config / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit.log"

    @property
    def access_socket(self) -> Path:
        return self.root / "access.sock"

    @property
    def containerd_socket(self) -> Path:
        return self.root / "containerd.sock"
