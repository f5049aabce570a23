"""The processor: how many CPUs this process may really use, and what they can do."""

import math
import os
from pathlib import Path

_CGROUP_V2_LIMIT = Path("/sys/fs/cgroup/cpu.max")
_CPU_INFO = Path("/proc/cpuinfo")
# x86 first, then Arm, in the names of Linux.
_FEATURES = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip


def available_cpus(limit_file: Path = _CGROUP_V2_LIMIT) -> int:
    """CPUs granted by the cgroup's limit (rounded up) and the scheduler's affinity; at least 1.

    ONNX Runtime itself counts the node's cores, which throttles a container with a smaller limit.
    """
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, _, period = limit_file.read_text(encoding="ascii").partition(" ")
    except OSError:
        return cpus
    if not quota.strip().isdigit() or not period.strip().isdigit() or int(period) == 0:
        return cpus
    return max(1, min(cpus, math.ceil(int(quota) / int(period))))


def cpu_name(info_file: Path = _CPU_INFO) -> str:
    """The processor's name, empty where the system does not tell."""
    return _read_field(info_file, "model name")


def cpu_features(info_file: Path = _CPU_INFO) -> list[str]:
    """The instruction sets that ONNX Runtime's kernels make use of, of those that the processor has."""
    flags = set((_read_field(info_file, "flags") or _read_field(info_file, "Features")).split())
    return [feature for feature in _FEATURES if feature in flags]


def _read_field(info_file: Path, name: str) -> str:
    try:
        text = info_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
