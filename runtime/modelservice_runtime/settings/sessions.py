"""How ONNX Runtime is to run the models: providers, threads, devices; values only, for the flags to fill.

Imports nothing, so that the command line's help needs no more than the base installation.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class ArenaExtendStrategy(StrEnum):
    """How the memory arena grows: in powers of two, or by what is asked for (smaller, more often)."""

    NEXT_POWER_OF_TWO = "NextPowerOfTwo"
    SAME_AS_REQUESTED = "SameAsRequested"


class ConvolutionSearch(StrEnum):
    """How cuDNN chooses convolution algorithms: by trying all, by a heuristic, or always the same."""

    EXHAUSTIVE = "Exhaustive"
    HEURISTIC = "Heuristic"
    DEFAULT = "Default"


@dataclass(frozen=True, slots=True)
class CudaOptions:
    """Options of the CUDA provider; None leaves ONNX Runtime's default.

    `memory_limit_bytes` caps the provider's arena, not the libraries' own memory. `graphs` captures the
    model's kernels once and replays them, where the model allows it.
    """

    memory_limit_bytes: int | None = None
    arena_extend_strategy: ArenaExtendStrategy | None = None
    convolution_search: ConvolutionSearch | None = None
    tf32: bool = True
    graphs: bool = False


@dataclass(frozen=True, slots=True)
class ShapeProfile:
    """The shapes of one input that a TensorRT engine is built for."""

    input: str
    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorRtOptions:
    """Options of the TensorRT provider; without profiles it builds an engine for every new shape it meets."""

    fp16: bool = False
    engine_cache: Path | None = None
    workspace_limit_bytes: int | None = None
    profiles: tuple[ShapeProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How to run a model: execution providers in order of preference (short names), threads and devices.

    A request whose outputs are larger than `max_output_bytes` fails.
    """

    execution_providers: tuple[str, ...]
    intra_op_threads: int
    device_id: int = 0
    cuda: CudaOptions = field(default_factory=CudaOptions)
    tensorrt: TensorRtOptions = field(default_factory=TensorRtOptions)
    max_output_bytes: int = 512 * 1024 * 1024
    openvino_device: str | None = None
    """OpenVINO's name of the device, such as GPU; None leaves its own choice, the CPU."""
