"""Where a model runs: ONNX Runtime's execution providers and their options; pure.

Names and values of the options: ONNX Runtime, `docs/execution-providers/CUDA-ExecutionProvider.md` and
`TensorRT-ExecutionProvider.md`, those of AMD (`device_id`) and of Intel's OpenVINO (`device_type`) beside
them. Options that nobody set are not passed, so ONNX Runtime's defaults hold.
"""

from collections.abc import Iterable, Sequence

from modelservice_runtime.errors import ExecutionProviderUnavailableError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import BF16, BYTES

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
MIGRAPHX = "MIGraphXExecutionProvider"
ROCM = "ROCMExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
_SUFFIX = "ExecutionProvider"

ProviderOptions = dict[str, str]


def resolve_providers(names: Sequence[str], available: Sequence[str]) -> list[str]:
    """Full names of the providers asked for; a listed CPU allows others to be missing.

    `available` is what this build of ONNX Runtime has. TensorRT brings CUDA with it, for the nodes that
    TensorRT cannot run. Raises ExecutionProviderUnavailableError.
    """
    by_short_name = {short_name(name).lower(): name for name in available}
    resolved = [by_short_name.get(short_name(name).lower()) for name in names]
    missing = [name for name, found in zip(names, resolved, strict=True) if found is None]
    if missing and CPU not in resolved:
        raise ExecutionProviderUnavailableError(
            f"this image's ONNX Runtime has no {', '.join(missing)} execution provider "
            f"(it has {', '.join(sorted(short_name(name) for name in available))}); "
            "use an image built for it, or add CPU to the execution providers to allow a slow fallback"
        )
    found_names = [name for name in resolved if name is not None]
    if TENSORRT in found_names and CUDA not in found_names and CUDA in available:
        found_names.insert(found_names.index(TENSORRT) + 1, CUDA)
    return found_names


def check_providers(got: Sequence[str], wanted: Sequence[str], names: Sequence[str]) -> None:
    """Refuse providers that ONNX Runtime silently dropped, unless CPU is listed.

    Raises ExecutionProviderUnavailableError.
    """
    lost = [name for name in wanted if name not in got]
    if lost and CPU not in wanted:
        raise ExecutionProviderUnavailableError(
            f"execution provider {', '.join(names)} was asked for, but ONNX Runtime could not start it; "
            "check that the node has a working device and driver, and that the image brings its libraries"
        )


def build_provider_options(provider: str, settings: SessionSettings) -> ProviderOptions:
    """ONNX Runtime's options for one provider (full name); empty for those that have none here."""
    if provider == CUDA:
        return _cuda_options(settings)
    if provider == TENSORRT:
        return _tensorrt_options(settings)
    if provider in (MIGRAPHX, ROCM):
        return {"device_id": str(settings.device_id)}
    if provider == OPENVINO and settings.openvino_device is not None:
        return {"device_type": settings.openvino_device}
    return {}


def uses_cuda(providers: Sequence[str]) -> bool:
    """True when the model (or a part of it) runs on an NVIDIA device."""
    return CUDA in providers or TENSORRT in providers


def short_name(provider: str) -> str:
    """`CUDA` for `CUDAExecutionProvider`."""
    return provider.removesuffix(_SUFFIX)


def find_graph_obstacle(spec: ModelSpec, *, has_control_flow: bool) -> str | None:
    """Why CUDA graphs cannot serve a model, or None.

    A captured graph replays the same kernels on the same memory: every shape must be fixed, nothing may
    branch, and every tensor must live on the device.
    """
    if has_control_flow:
        return "the model has control flow (If, Loop or Scan)"
    for tensor in (*spec.inputs, *spec.outputs):
        if tensor.shape is None or -1 in tensor.shape:
            return f"the shape of {tensor.describe()} is not fixed"
        if tensor.datatype in (BYTES, BF16):
            return f"{tensor.describe()} cannot be bound to device memory"
    return None


def _cuda_options(settings: SessionSettings) -> ProviderOptions:
    cuda = settings.cuda
    options = {"device_id": str(settings.device_id)}
    if cuda.memory_limit_bytes is not None:
        options["gpu_mem_limit"] = str(cuda.memory_limit_bytes)
    if cuda.arena_extend_strategy is not None:
        options["arena_extend_strategy"] = f"k{cuda.arena_extend_strategy}"
    if cuda.convolution_search is not None:
        options["cudnn_conv_algo_search"] = cuda.convolution_search.upper()
    if not cuda.tf32:
        options["use_tf32"] = "0"
    if cuda.graphs:
        options["enable_cuda_graph"] = "1"
    return options


def _tensorrt_options(settings: SessionSettings) -> ProviderOptions:
    tensorrt = settings.tensorrt
    options = {"device_id": str(settings.device_id)}
    if tensorrt.fp16:
        options["trt_fp16_enable"] = "1"
    if tensorrt.workspace_limit_bytes is not None:
        options["trt_max_workspace_size"] = str(tensorrt.workspace_limit_bytes)
    if tensorrt.engine_cache is not None:
        path = str(tensorrt.engine_cache)
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": path}
        # Timings let an engine that has to be built again be built in seconds instead of minutes.
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": path}
    if tensorrt.profiles:
        options["trt_profile_min_shapes"] = _shapes((p.input, p.minimum) for p in tensorrt.profiles)
        options["trt_profile_opt_shapes"] = _shapes((p.input, p.optimum) for p in tensorrt.profiles)
        options["trt_profile_max_shapes"] = _shapes((p.input, p.maximum) for p in tensorrt.profiles)
    return options


def _shapes(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes)
