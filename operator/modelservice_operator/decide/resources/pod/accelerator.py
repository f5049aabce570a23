"""What the options of the execution providers become in a pod: the server's arguments, and a volume. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.api import GpuSpec, RuntimeSpec
    from modelservice_operator.api.spec.accelerator import CudaSpec, ShapeProfile, TensorRtSpec

ENGINE_DIRECTORY = "/mnt/engines"


def accelerator_args(runtime: RuntimeSpec) -> list[str]:
    """Return the server's arguments; none where nothing is set."""
    args = [] if runtime.cuda is None else _cuda_args(runtime.cuda)
    return args if runtime.tensorrt is None else [*args, *_tensorrt_args(runtime.tensorrt)]


def device_args(gpu: GpuSpec | None, providers: Sequence[str]) -> list[str]:
    """Return the arguments that a GPU brings: how much of a shared one, and which device of OpenVINO's."""
    if gpu is None:
        return []
    limit = [] if gpu.sharing is None else _memory_limit(gpu.sharing.memory_limit)
    # OpenVINO's own default is the CPU, with a GPU too.
    return [*limit, "--openvino-device", "GPU"] if "OpenVINO" in providers else limit


def engine_volumes(runtime: RuntimeSpec) -> list[dict[str, Any]]:
    """Return the volume that keeps TensorRT's engines while the pod lives, if there is to be one."""
    if runtime.tensorrt is None or runtime.tensorrt.engine_cache_size is None:
        return []
    return [{"name": "engines", "emptyDir": {"sizeLimit": runtime.tensorrt.engine_cache_size}}]


def engine_mounts(runtime: RuntimeSpec) -> list[dict[str, Any]]:
    """Return the server's mounts of `engine_volumes`."""
    return [{"name": volume["name"], "mountPath": ENGINE_DIRECTORY} for volume in engine_volumes(runtime)]


def _cuda_args(cuda: CudaSpec) -> list[str]:
    args: list[str] = []
    if cuda.memory_limit is not None:
        args += _memory_limit(cuda.memory_limit)
    if cuda.arena_extend_strategy is not None:
        args += ["--cuda-arena-extend-strategy", cuda.arena_extend_strategy]
    if cuda.convolution_search is not None:
        args += ["--cuda-convolution-search", cuda.convolution_search]
    if cuda.tf32 is False:
        args.append("--cuda-no-tf32")
    if cuda.graphs:
        args.append("--cuda-graphs")
    return args


def _memory_limit(limit: str) -> list[str]:
    return ["--cuda-memory-limit", str(int(parse_quantity(limit)))]


def _tensorrt_args(tensorrt: TensorRtSpec) -> list[str]:
    args = ["--tensorrt-fp16"] if tensorrt.fp16 else []
    if tensorrt.engine_cache_size is not None:
        args += ["--tensorrt-engine-cache", ENGINE_DIRECTORY]
    for profile in tensorrt.profiles or ():
        args += ["--tensorrt-profile", _profile(profile)]
    return args


def _profile(profile: ShapeProfile) -> str:
    shapes = (profile.minimum, profile.optimum, profile.maximum)
    return f"{profile.input}:{','.join('x'.join(map(str, shape)) for shape in shapes)}"
