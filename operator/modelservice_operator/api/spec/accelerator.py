"""Options of the execution providers for NVIDIA GPUs; what is left out is ONNX Runtime's choice."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import (
    ApiModel,
    Quantity,
    between,
    list_map,
    quantity_between,
    unique_by,
)
from modelservice_operator.api.types.rules import Rule, must_not_contain

Switch = Annotated[bool, Field(strict=True)]


def _memory_rule(field: str, attribute: str) -> Rule:
    return quantity_between(field, attribute, "1Mi", "1Ti", "from 1Mi to 1Ti, such as 4Gi")


def _some_field(*fields: str) -> Rule:
    """An empty object would say nothing, in another spelling than leaving it out."""
    return Rule(
        cel=" || ".join(f"has(self.{field})" for field in fields),
        message="expected at least one option: add one, or leave the object out",
        check=lambda self: any(value is not None for _, value in self),
    )


class CudaSpec(ApiModel):
    """Options of the CUDA execution provider."""

    memory_limit: Quantity | None = None
    """The most memory of the provider's arena, such as 8Gi; its libraries take some of their own."""
    arena_extend_strategy: Literal["NextPowerOfTwo", "SameAsRequested"] | None = None
    """How the arena grows. SameAsRequested wastes less and asks more often. Default: NextPowerOfTwo."""
    convolution_search: Literal["Exhaustive", "Heuristic", "Default"] | None = None
    """How cuDNN chooses algorithms. Exhaustive tries all when a shape is new. Default: Exhaustive."""
    tf32: Switch | None = None
    """Whether FP32 products may be computed in TF32, faster and less exact. Default: true."""
    graphs: Switch | None = None
    """Captures the model's kernels once and replays them. It needs fixed shapes and no control flow; where
    that is not so, the server's log says why and the model runs as usual. Default: false."""

    rules = (
        _some_field("memoryLimit", "arenaExtendStrategy", "convolutionSearch", "tf32", "graphs"),
        _memory_rule("memoryLimit", "memory_limit"),
    )


Shape = Annotated[tuple[Annotated[int, between(1, 1_000_000_000)], ...], Field(min_length=1, max_length=16)]


class ShapeProfile(ApiModel):
    """The shapes of one input that an engine is built for."""

    input: Annotated[
        str,
        Field(min_length=1, max_length=200),
        must_not_contain(",", "expected the name of an input, without a comma"),
    ]
    """The input's name."""
    minimum: Shape
    """The smallest shape."""
    optimum: Shape
    """The shape that the engine is fastest for."""
    maximum: Shape
    """The largest shape."""

    rules = (
        Rule(
            cel="self.minimum.size() == self.optimum.size() && self.optimum.size() == self.maximum.size()",
            message="expected three shapes of the same rank",
            check=lambda self: len(self.minimum) == len(self.optimum) == len(self.maximum),
        ),
    )


class TensorRtSpec(ApiModel):
    """Options of the TensorRT execution provider."""

    fp16: Switch | None = None
    """Whether TensorRT may compute in FP16. Default: false."""
    engine_cache_size: Quantity | None = None
    """Keeps engines in a volume of this size, such as 4Gi: a container that restarts builds none again.
    Default: none are kept."""
    profiles: Annotated[
        tuple[ShapeProfile, ...] | None, list_map("input", 16, minimum=1), unique_by("input")
    ] = None
    """Shapes that engines are built for, one for each input with variable dimensions. Without them an engine
    is built for every new shape."""

    rules = (
        _some_field("fp16", "engineCacheSize", "profiles"),
        _memory_rule("engineCacheSize", "engine_cache_size"),
    )
