"""What the control groups of this process grant: memory and CPU, by version 1 or 2 of the interface.

In a container the files of its own group lie at the mount's root; elsewhere below the path that
`/proc/self/cgroup` names, where each group above may grant less. Files that are not there grant everything.
Sources: Linux, `admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst` and `scheduler/sched-bwc.rst`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
# Version 1 writes "no limit" as the largest multiple of a page.
_UNLIMITED_BYTES = 1 << 62
_UNRECLAIMABLE_1 = ("total_rss", "total_shmem")
_UNRECLAIMABLE_2 = ("anon", "shmem", "kernel")


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """The directories to look at, of either version, each before the one above it."""

    version_2: tuple[Path, ...]
    memory_1: tuple[Path, ...]
    cpu_1: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit, and what all under it use that the kernel cannot take back (0 where it does not tell)."""

    limit_bytes: int
    used_bytes: int


def find_control_groups(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> ControlGroups:
    """Where this process's limits stand, below the mount at `root`."""
    try:
        paths = parse_membership(membership.read_text("utf-8", "replace"))
    except OSError:
        paths = {}
    return ControlGroups(
        version_2=tuple(_upwards(root, paths.get("", "/"))),
        memory_1=tuple(_upwards(root / "memory", paths.get("memory", "/"))),
        cpu_1=tuple(_upwards(root / "cpu", paths.get("cpu", "/"))),
    )


def parse_membership(text: str) -> dict[str, str]:
    """The group's path by controller, by the text of `/proc/self/cgroup`; "" is version 2."""
    paths = {}
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            paths.update(dict.fromkeys(fields[1].split(","), fields[2]))
    return paths


def find_memory_limit(groups: ControlGroups) -> MemoryLimit | None:
    """The smallest limit of memory; None without any."""
    files = [group / "memory.max" for group in groups.version_2]
    files += [group / "memory.limit_in_bytes" for group in groups.memory_1]
    limits = [(int(text), file.parent) for file in files if (text := _read(file)).isdigit()]
    smallest, group = min(limits, default=(_UNLIMITED_BYTES, _ROOT))
    return None if smallest >= _UNLIMITED_BYTES else MemoryLimit(smallest, _unreclaimable_bytes(group))


def _unreclaimable_bytes(group: Path) -> int:
    values = _statistics(group)
    names = _UNRECLAIMABLE_1 if "total_rss" in values else _UNRECLAIMABLE_2
    return sum(values.get(name, 0) for name in names)


def _statistics(group: Path) -> Mapping[str, int]:
    lines = (line.partition(" ") for line in _read(group / "memory.stat").splitlines())
    return {name: int(value) for name, _, value in lines if value.isdigit()}


def working_set_bytes(groups: ControlGroups) -> int | None:
    """What this process's own group uses, without idle files; None where no group tells.

    As the kubelet counts it (cAdvisor's `container_memory_working_set_bytes`).
    """
    files = [(group / "memory.current", "inactive_file") for group in groups.version_2]
    files += [(group / "memory.usage_in_bytes", "total_inactive_file") for group in groups.memory_1]
    for file, inactive in files:
        if (used := _read(file)).isdigit():
            return max(int(used) - _statistics(file.parent).get(inactive, 0), 0)
    return None


def cpu_limit(groups: ControlGroups) -> float | None:
    """The smallest limit of CPU, in CPUs; None without any."""
    quotas = [_read(group / "cpu.max").partition(" ") for group in groups.version_2]
    shares = [_share(quota, period) for quota, _, period in quotas]
    shares += [
        _share(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))
        for group in groups.cpu_1
    ]
    return min((share for share in shares if share is not None), default=None)


def process_status(process: str = "self") -> Mapping[str, int]:
    """The fields of `/proc/PROCESS/status` that are amounts of memory, in bytes."""
    return parse_status(_read(Path("/proc") / process / "status"))


def parse_status(text: str) -> Mapping[str, int]:
    """The same by the file's text. Where it does not tell memory from files (gVisor), all is memory."""
    fields = (line.partition(":") for line in text.splitlines())
    status = {name: int(value.split()[0]) * 1024 for name, _, value in fields if value.endswith(" kB")}
    if "VmRSS" in status:
        status.setdefault("RssAnon", status["VmRSS"])
        status.setdefault("RssFile", 0)
    return status


def _upwards(root: Path, path: str) -> Iterator[Path]:
    relative = PurePosixPath(path.lstrip("/"))
    if ".." not in relative.parts:  # a group outside of what this process can see
        for part in (relative, *relative.parents):
            if part.parts:
                yield root / part
    yield root


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def _share(quota: str, period: str) -> float | None:
    """A quota of -1 or "max" is none."""
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)
