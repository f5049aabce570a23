"""Limits of memory and CPU as the kernel writes them, in a container and outside."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelservice_runtime.machine.memory.cgroup import (
    MemoryLimit,
    cpu_limit,
    find_control_groups,
    find_memory_limit,
    parse_membership,
    parse_status,
    process_status,
    working_set_bytes,
)

MIB = 1024 * 1024
V2_STAT = f"anon {50 * MIB}\nfile {90 * MIB}\nkernel {3 * MIB}\nshmem {2 * MIB}\nanon_thp 0\n"
V1_STAT = f"cache 1\nrss 7\ntotal_cache {90 * MIB}\ntotal_rss {50 * MIB}\ntotal_shmem {5 * MIB}\n"


def write(root: Path, files: Mapping[str, str], membership: str = "0::/\n") -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "membership").write_text(membership)
    return root / "membership"


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        # A container's own group at the root of the mount.
        ({"memory.max": f"{256 * MIB}\n"}, "0::/\n", MemoryLimit(256 * MIB, 0)),
        (
            {"memory.max": f"{256 * MIB}\n", "memory.stat": V2_STAT},
            "0::/\n",
            MemoryLimit(256 * MIB, 55 * MIB),
        ),
        ({"memory.max": "max\n", "memory.stat": V2_STAT}, "0::/\n", None),
        (
            {"memory/memory.limit_in_bytes": f"{512 * MIB}\n", "memory/memory.stat": V1_STAT},
            "4:memory:/kubepods/pod7/c1\n0::/\n",
            MemoryLimit(512 * MIB, 55 * MIB),
        ),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "4:memory:/\n", None),
        # A service of systemd: its own group, and a tighter one above it.
        (
            {"a.slice/memory.max": f"{100 * MIB}\n", "a.slice/b.service/memory.max": f"{200 * MIB}\n"},
            "0::/a.slice/b.service\n",
            MemoryLimit(100 * MIB, 0),
        ),
        ({"memory.max": ""}, "0::/\n", None),
        ({"memory.max": f"{MIB}\n"}, "0::/../other\n", MemoryLimit(MIB, 0)),
        ({}, "", None),
    ],
)
def test_memory_limit_is_the_tightest(
    tmp_path: Path, files: Mapping[str, str], membership: str, expected: MemoryLimit | None
) -> None:
    groups = find_control_groups(tmp_path, write(tmp_path, files, membership))
    assert find_memory_limit(groups) == expected


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"cpu.max": "9 0\n"}, "0::/\n", None),
        ({"cpu.max": ""}, "0::/\n", None),
        ({"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 0.5),
        (
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            "1:cpu,cpuacct:/x\n",
            2.0,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "1:cpu:/\n", None),
    ],
)
def test_cpu_limit_is_the_tightest(
    tmp_path: Path, files: Mapping[str, str], membership: str, expected: float | None
) -> None:
    assert cpu_limit(find_control_groups(tmp_path, write(tmp_path, files, membership))) == expected


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        (
            {"memory.current": f"{60 * MIB}\n", "memory.stat": f"inactive_file {9 * MIB}\n"},
            "0::/\n",
            51 * MIB,
        ),
        # A tighter group above says nothing of this process.
        (
            {
                "a.slice/memory.current": f"{100 * MIB}\n",
                "a.slice/b.service/memory.current": f"{20 * MIB}\n",
                "a.slice/b.service/memory.stat": f"anon 5\ninactive_file {MIB}\n",
            },
            "0::/a.slice/b.service\n",
            19 * MIB,
        ),
        (
            {
                "memory/memory.usage_in_bytes": f"{60 * MIB}\n",
                "memory/memory.stat": f"inactive_file {MIB}\ntotal_inactive_file {8 * MIB}\n",
            },
            "4:memory:/kubepods/pod7/c1\n0::/\n",
            52 * MIB,
        ),
        # Read at two moments.
        ({"memory.current": "10\n", "memory.stat": "inactive_file 20\n"}, "0::/\n", 0),
        ({"memory.stat": V2_STAT}, "0::/\n", None),
        ({}, "", None),
    ],
)
def test_working_set_is_what_the_kubelet_counts(
    tmp_path: Path, files: Mapping[str, str], membership: str, expected: int | None
) -> None:
    groups = find_control_groups(tmp_path, write(tmp_path, files, membership))
    assert working_set_bytes(groups) == expected


def test_membership_names_a_path_for_each_controller() -> None:
    text = "5:cpu,cpuacct:/a\n4:memory:/b:c\n0::/d\nnonsense\n"
    assert parse_membership(text) == {"cpu": "/a", "cpuacct": "/a", "memory": "/b:c", "": "/d"}


def test_status_of_this_process_is_read_in_bytes() -> None:
    status = process_status()
    assert MIB < status["RssAnon"] < status["VmRSS"] < status["VmSize"]
    assert process_status("0") == {}


def test_status_of_a_kernel_that_tells_little_counts_all_as_memory() -> None:
    text = "Name:\tpython\nVmSize:\t900 kB\nVmRSS:\t80 kB\nVmData:\t70 kB\nThreads:\t3\n"
    sizes = {"VmSize": 900 * 1024, "VmRSS": 80 * 1024, "VmData": 70 * 1024}
    assert parse_status(text) == sizes | {"RssAnon": 80 * 1024, "RssFile": 0}
