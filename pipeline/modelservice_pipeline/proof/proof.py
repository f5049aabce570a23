"""A proof: inputs, what the framework itself answered to them, and how far an answer may be from that."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

# What changes the rounding of a sum: which of them a CPU has decides how ONNX Runtime multiplies.
_CPU_FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimd",
    "sve",
)


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be off: `relative` of the expected one, and `absolute` of the output's scale.

    The scale is the root mean square of what is expected of the output, at least 1: what a sum loses is in
    proportion to its terms, also where the sum is small.
    """

    relative: float = 1e-3
    absolute: float = 1e-5


DEFAULT_TOLERANCE = Tolerance()


@dataclass(frozen=True)
class Case:
    """One run: inputs by name, and the framework's outputs by the names of the model's. Texts are objects."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Decision:
    """What decides a class: the output with the scores, and whether the lowest wins, as of distances."""

    scores: str
    lowest: bool = False


@dataclass(frozen=True)
class Proof:
    """What a model has to answer.

    Attributes:
        cases: Runs, with other numbers of rows and other sizes where the model takes them.
        tolerance: Of floating-point numbers; everything else is exact.
        labels: Outputs with classes, and what decides each: where its best two scores are as close as the
            tolerance, either class will do.
        unproven: Outputs that no run can prove, and why; a proof has to speak of every other one.
        has_thresholds: The model compares inputs with thresholds, as trees do. There the smallest change of
            an input may change the answer; see `replay`.
        versions: Of the packages that made it, by name.
        machine: The kind of CPU that it was made on.
        model_sha256: The file it was made for.
    """

    cases: tuple[Case, ...]
    tolerance: Tolerance = DEFAULT_TOLERANCE
    labels: Mapping[str, Decision] = field(default_factory=dict)
    unproven: Mapping[str, str] = field(default_factory=dict)
    has_thresholds: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    model_sha256: str = ""


def describe_machine() -> dict[str, Any]:
    """Return the architecture of this machine, and what of its CPU changes the rounding."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    known = set(flags.partition(":")[2].split())
    return {"architecture": platform.machine(), "cpu_flags": [flag for flag in _CPU_FLAGS if flag in known]}
