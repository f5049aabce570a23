"""The processor: how many CPUs this process may really use, and what they can do."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

from modelservice_runtime.machine.memory.cgroup import ControlGroups, cpu_limit, find_control_groups

# What a pod without a limit asks for: it may use all of its node's CPUs, and had better not count on them.
CPUS_VARIABLE = "MODELSERVICE_CPUS"
_CPU_INFO = Path("/proc/cpuinfo")
# x86 first, then Arm, in the names of Linux.
_FEATURES = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip


def available_cpus(groups: ControlGroups | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """CPUs granted by the control groups (rounded up), the scheduler's affinity and the pod; at least 1.

    ONNX Runtime itself counts the node's cores, which throttles a container with a smaller limit.
    """
    cpus = len(os.sched_getaffinity(0))
    limit = cpu_limit(find_control_groups() if groups is None else groups)
    if limit is not None:
        cpus = min(cpus, math.ceil(limit))
    asked = environment.get(CPUS_VARIABLE, "")
    if asked.isascii() and asked.isdigit():
        cpus = min(cpus, int(asked))
    return max(1, cpus)


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
