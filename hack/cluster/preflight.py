"""Checks of the machine before a node starts, each with a sentence that says what is missing."""

import os
import subprocess
import tempfile
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.node import PRIVATE_DIRECTORIES
from hack.cluster.paths import ClusterPaths, cache_directory

CGROUPS = Path("/sys/fs/cgroup")
# Without these controllers runc cannot start a container that has limits.
NEEDED_CONTROLLERS = ("cpu", "memory", "pids")


def check_node(paths: ClusterPaths) -> None:
    """Raise ClusterError when this machine cannot run a node."""
    check_directories(paths)
    _check_cgroups()


def check_directories(paths: ClusterPaths) -> None:
    """Raise ClusterError when the state or the cache is where a node has directories of its own."""
    for directory in (paths.root, cache_directory()):
        resolved = directory.resolve()
        for private in PRIVATE_DIRECTORIES:
            if resolved.is_relative_to(private):
                raise ClusterError(
                    f"{directory} is below {private}, which a node replaces by a directory of its own: "
                    "set MODELSERVICE_STATE and MODELSERVICE_CACHE to other places"
                )


def _check_cgroups() -> None:
    unified = (CGROUPS / "cgroup.controllers").exists()
    if unified:
        available = (CGROUPS / "cgroup.controllers").read_text().split()
    else:
        available = [name for name in NEEDED_CONTROLLERS if (CGROUPS / name).is_dir()]
    if missing := [name for name in NEEDED_CONTROLLERS if name not in available]:
        raise ClusterError(f"no cgroup controllers {', '.join(missing)} below {CGROUPS}; mount them")
    if os.statvfs(CGROUPS).f_flag & os.ST_RDONLY:
        raise ClusterError(f"{CGROUPS} is read-only: run as root of the machine or of a privileged container")
    if unified:
        delegate_controllers(CGROUPS / "cgroup.subtree_control")


def delegate_controllers(control: Path) -> None:
    """Let containers have the controllers (cgroup v2), as runc would do it itself."""
    delegated = control.read_text().split()
    wanted = [f"+{name}" for name in NEEDED_CONTROLLERS if name not in delegated]
    try:
        if wanted:
            control.write_text(" ".join(wanted))
    except OSError as error:
        raise ClusterError(
            f"cannot write {' '.join(wanted)} to {control} ({error.strerror}): move the processes of this "
            f"container to a cgroup below {CGROUPS} first, or start the container with --cgroupns=host"
        ) from error


def overlay_works(directory: Path) -> bool:
    """Return whether an overlay can be mounted below `directory`; not where that is an overlay itself."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".overlay-") as name:
        parts = [Path(name) / part for part in ("lower", "upper", "work", "merged")]
        for part in parts:
            part.mkdir()
        lower, upper, work, merged = parts
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        script = 'mount -t overlay -o "$0" overlay "$1"'
        # In a mount namespace of its own: the test mount ends with its process.
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, options, str(merged)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
