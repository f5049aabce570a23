"""Removes what a cluster left in the kernel and on disk, whatever state it died in.

Everything is found by names and places that only this cluster uses: its recorded processes, the shims that
point to its containerd, its cgroup, its network namespace, mounts below its directory.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.paths import ClusterPaths
from hack.cluster.processes import ProcessIdentity, ProcessTable, kill_all, read_identity

REMOVE_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.05


def cgroup_name(cluster: str) -> str:
    """Return the cgroup, below the root of each hierarchy, that holds all containers of a cluster."""
    return f"msvc-{cluster}"


def kill_everything(cluster: str, paths: ClusterPaths) -> None:
    """Kill the cluster's components, shims and containers, until none is left."""
    table = ProcessTable(paths.processes, paths.logs)
    table.kill(table.names())
    kill_containers(cluster, paths)


def kill_containers(cluster: str, paths: ClusterPaths) -> None:
    """Kill the shims and the containers of the cluster's node, and remove their cgroups."""
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    # A shim that is starting a container can add a process between two looks: look until nothing is left.
    while found := [*_shims(paths), *_cgroup_processes(cluster)]:
        kill_all(found)
        if time.monotonic() > deadline:
            raise ClusterError(f"containers of cluster {cluster!r} keep starting; try `down` again")
    _remove_cgroups(cluster)


def _shims(paths: ClusterPaths) -> Iterator[ProcessIdentity]:
    wanted = str(paths.containerd_socket).encode()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            arguments = (directory / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in arguments[0] and wanted in arguments:
                identity = read_identity(int(directory.name))
                if identity is not None:
                    yield identity


def _cgroup_directories(cluster: str) -> Iterator[Path]:
    """Yield the cluster's cgroup in every mounted hierarchy, version 1 or 2."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in {"cgroup", "cgroup2"}:
            directory = Path(left.split()[4]) / cgroup_name(cluster)
            if directory.is_dir():
                yield directory


def _cgroup_processes(cluster: str) -> Iterator[ProcessIdentity]:
    for directory in _cgroup_directories(cluster):
        for listing in directory.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                for pid in listing.read_text().split():
                    identity = read_identity(int(pid))
                    if identity is not None:
                        yield identity


def _remove_cgroups(cluster: str) -> None:
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    for top in list(_cgroup_directories(cluster)):
        while top.is_dir():
            for directory in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            with contextlib.suppress(OSError):
                top.rmdir()
                break
            # The kernel empties a cgroup a moment after its last process died.
            if time.monotonic() > deadline:
                raise ClusterError(f"cgroup {top} cannot be removed; something still runs in it")
            time.sleep(POLL_SECONDS)


def remove_directory(root: Path) -> None:
    """Remove a cluster's directory; mounts below it go first, so that nothing behind a mount is deleted."""
    for mount_point in sorted(_mounts_below(root), reverse=True):
        subprocess.run(["umount", "--lazy", mount_point], check=True)
    if root.exists():
        shutil.rmtree(root)


def _mounts_below(root: Path) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # The kernel writes a space in a path as \040 (proc(5)).
        mount_point = line.split()[4].replace("\\040", " ")
        if Path(mount_point).is_relative_to(root):
            yield mount_point
