"""The flags of `serve` about devices."""

import argparse
import re
from pathlib import Path

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.settings.argument_types import parse_bytes, parse_index
from modelservice_runtime.settings.sessions import (
    ArenaExtendStrategy,
    ConvolutionSearch,
    CudaOptions,
    ShapeProfile,
    TensorRtOptions,
)

_SHAPE = r"[1-9][0-9]{0,8}(?:x[1-9][0-9]{0,8}){0,15}"
# The name may hold colons, the shapes behind the last one do not; a comma would end it in TensorRT's option.
_PROFILE = re.compile(rf"([^,]{{1,200}}):({_SHAPE}),({_SHAPE}),({_SHAPE})")


def add_accelerator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; without them ONNX Runtime's defaults hold."""
    group = parser.add_argument_group("devices")
    group.add_argument(
        "--device-id", type=parse_index, default=0, metavar="N", help="which device (default: %(default)s)"
    )
    group.add_argument(
        "--openvino-device",
        metavar="NAME",
        help="OpenVINO's name of the device, such as GPU or GPU.1 (default: CPU)",
    )
    _add_cuda_arguments(group)
    _add_tensorrt_arguments(group)


def _add_cuda_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--cuda-memory-limit",
        type=parse_bytes,
        metavar="BYTES",
        help="cap of the CUDA provider's memory arena, such as 8Gi (default: none)",
    )
    group.add_argument(
        "--cuda-arena-extend-strategy",
        choices=[strategy.value for strategy in ArenaExtendStrategy],
        help="how the arena grows: in powers of two, or by what is needed (default: NextPowerOfTwo)",
    )
    group.add_argument(
        "--cuda-convolution-search",
        choices=[search.value for search in ConvolutionSearch],
        help="how cuDNN chooses convolution algorithms (default: Exhaustive, slow at first)",
    )
    group.add_argument(
        "--cuda-no-tf32", action="store_true", help="compute FP32 products exactly instead of in TF32"
    )
    group.add_argument(
        "--cuda-graphs",
        action="store_true",
        help="capture a model's kernels once and replay them, where shapes are fixed and nothing branches",
    )


def _add_tensorrt_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tensorrt-fp16", action="store_true", help="let TensorRT compute in FP16")
    group.add_argument(
        "--tensorrt-engine-cache",
        type=Path,
        metavar="DIR",
        help="where engines are kept, so that a restart builds none; trust who writes there",
    )
    group.add_argument(
        "--tensorrt-workspace-limit",
        type=parse_bytes,
        metavar="BYTES",
        help="cap of the memory for building and running engines, such as 2Gi (default: none)",
    )
    group.add_argument(
        "--tensorrt-profile",
        action="append",
        default=[],
        metavar="INPUT:MIN,OPT,MAX",
        help="shapes an engine is built for, as in x:1x3x224x224,8x3x224x224,32x3x224x224; one for "
        "each input with variable dimensions",
    )


def build_cuda_options(arguments: argparse.Namespace) -> CudaOptions:
    """Options from parsed flags."""
    strategy, search = arguments.cuda_arena_extend_strategy, arguments.cuda_convolution_search
    return CudaOptions(
        memory_limit_bytes=arguments.cuda_memory_limit,
        arena_extend_strategy=None if strategy is None else ArenaExtendStrategy(strategy),
        convolution_search=None if search is None else ConvolutionSearch(search),
        tf32=not arguments.cuda_no_tf32,
        graphs=arguments.cuda_graphs,
    )


def build_tensorrt_options(arguments: argparse.Namespace) -> TensorRtOptions:
    """Options from parsed flags. Raises InvalidSettingsError."""
    return TensorRtOptions(
        fp16=arguments.tensorrt_fp16,
        engine_cache=arguments.tensorrt_engine_cache,
        workspace_limit_bytes=arguments.tensorrt_workspace_limit,
        profiles=tuple(parse_profile(text) for text in arguments.tensorrt_profile),
    )


def parse_profile(text: str) -> ShapeProfile:
    """Parse `INPUT:MIN,OPT,MAX`. Raises InvalidSettingsError."""
    match = _PROFILE.fullmatch(text)
    if match is None:
        raise InvalidSettingsError(
            f"--tensorrt-profile {text!r} must have the form INPUT:MIN,OPT,MAX, "
            "as in x:1x3x224x224,8x3x224x224,32x3x224x224"
        )
    minimum, optimum, maximum = (tuple(map(int, match[group].split("x"))) for group in (2, 3, 4))
    if len(minimum) != len(optimum) or len(optimum) != len(maximum):
        raise InvalidSettingsError(f"--tensorrt-profile {text!r}: the three shapes must have the same rank")
    if any(not low <= best <= high for low, best, high in zip(minimum, optimum, maximum, strict=True)):
        raise InvalidSettingsError(
            f"--tensorrt-profile {text!r}: in every dimension MIN must not exceed OPT, nor OPT MAX"
        )
    return ShapeProfile(match[1], minimum, optimum, maximum)
