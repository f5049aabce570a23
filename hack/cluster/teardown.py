"""Removes what a cluster left in the kernel and on disk, whatever state it died in.

Everything is found by names and places that only this cluster uses: its recorded processes, the shims that
point to its containerd, the cgroups of its containers, its network namespace, mounts below its directory.
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
# containerd's name for what belongs to Kubernetes; every container has a cgroup with its id below it.
CGROUP = "k8s.io"


def kill_everything(paths: ClusterPaths) -> None:
    """Kill the cluster's components, shims and containers, until none is left."""
    table = ProcessTable(paths.processes, paths.logs)
    table.kill(table.names())
    kill_containers(paths)


def kill_containers(paths: ClusterPaths) -> None:
    """Kill the shims and the containers of the cluster's node, and remove their cgroups."""
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    # A shim that is starting a container can add a process between two looks: look until nothing is left.
    while found := [*_shims(paths), *_container_processes(paths)]:
        kill_all(found)
        if time.monotonic() > deadline:
            raise ClusterError(f"containers below {paths.root} keep starting; try `down` again")
    for cgroup in list(_container_cgroups(paths)):
        _remove_cgroup(cgroup, deadline)


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


def _container_cgroups(paths: ClusterPaths) -> Iterator[Path]:
    """Yield the cgroup of every container that the cluster's containerd knows, in every hierarchy."""
    containers = {
        task.name
        for kind in ("root", "state")
        for task in (paths.root / "containerd" / kind / "io.containerd.runtime.v2.task" / CGROUP).glob("*")
    }
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if containers and right.split()[0] in {"cgroup", "cgroup2"}:
            top = Path(left.split()[4]) / CGROUP
            yield from (top / name for name in containers if (top / name).is_dir())


def _container_processes(paths: ClusterPaths) -> Iterator[ProcessIdentity]:
    for cgroup in _container_cgroups(paths):
        for listing in cgroup.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                for pid in listing.read_text().split():
                    identity = read_identity(int(pid))
                    if identity is not None:
                        yield identity


def _remove_cgroup(cgroup: Path, deadline: float) -> None:
    while cgroup.is_dir():
        for directory in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                directory.rmdir()
        with contextlib.suppress(OSError):
            cgroup.rmdir()
            break
        # The kernel empties a cgroup a moment after its last process died.
        if time.monotonic() > deadline:
            raise ClusterError(f"cgroup {cgroup} cannot be removed; something still runs in it")
        time.sleep(POLL_SECONDS)
    # The parent is shared by all clusters: it goes with its last container.
    with contextlib.suppress(OSError):
        cgroup.parent.rmdir()


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
