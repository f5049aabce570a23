"""Which execution providers a model gets, with which options; where CUDA graphs are possible."""

from pathlib import Path

import pytest

from modelservice_runtime.errors import ExecutionProviderUnavailableError, InvalidSettingsError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.onnx.execution_providers import (
    CPU,
    CUDA,
    MIGRAPHX,
    OPENVINO,
    ROCM,
    TENSORRT,
    build_provider_options,
    check_providers,
    find_graph_obstacle,
    resolve_providers,
)
from modelservice_runtime.settings.serve import parse_serve_arguments
from modelservice_runtime.settings.sessions import (
    ArenaExtendStrategy,
    ConvolutionSearch,
    CudaOptions,
    SessionSettings,
    ShapeProfile,
    TensorRtOptions,
)
from modelservice_runtime.tensors import DATATYPES, TensorSpec

GPU_BUILD = [TENSORRT, CUDA, CPU]
PROFILE = ShapeProfile("x", (1, 4), (8, 4), (32, 4))


def make_spec(datatype: str = "FP32", shape: tuple[int, ...] | None = (2, 4)) -> ModelSpec:
    tensor = TensorSpec("x", DATATYPES[datatype], shape)
    return ModelSpec("m", "1", (tensor,), (TensorSpec("y", DATATYPES["FP32"], (2,)),))


@pytest.mark.parametrize(
    ("names", "resolved"),
    [
        (["cpu"], [CPU]),
        (["CUDA"], [CUDA]),
        (["CUDAExecutionProvider", "CPU"], [CUDA, CPU]),
        (["TensorRT"], [TENSORRT, CUDA]),
        (["TensorRT", "CPU"], [TENSORRT, CUDA, CPU]),
        (["TensorRT", "CUDA", "CPU"], [TENSORRT, CUDA, CPU]),
        (["Nonesuch", "CPU"], [CPU]),
    ],
)
def test_resolve_providers_finds_full_names(names: list[str], resolved: list[str]) -> None:
    assert resolve_providers(names, GPU_BUILD) == resolved


def test_resolve_providers_without_a_listed_cpu_names_what_is_missing() -> None:
    with pytest.raises(ExecutionProviderUnavailableError, match=r"no CUDA execution provider \(it has CPU\)"):
        resolve_providers(["CUDA"], [CPU])


def test_check_providers_refuses_a_silent_fallback_unless_cpu_is_listed() -> None:
    check_providers([CUDA, CPU], [CUDA], ["CUDA"])
    check_providers([CPU], [CUDA, CPU], ["CUDA", "CPU"])
    with pytest.raises(ExecutionProviderUnavailableError, match="could not start it"):
        check_providers([CPU], [CUDA], ["CUDA"])


def test_build_provider_options_leaves_out_what_nobody_set() -> None:
    settings = SessionSettings(("TensorRT", "CUDA", "CPU"), 1)
    assert build_provider_options(CPU, settings) == {}
    assert build_provider_options(CUDA, settings) == {"device_id": "0"}
    assert build_provider_options(TENSORRT, settings) == {"device_id": "0"}
    assert build_provider_options(OPENVINO, settings) == {}


def test_build_provider_options_of_other_vendors_name_the_device() -> None:
    settings = SessionSettings(("MIGraphX",), 1, device_id=1, openvino_device="GPU.1")
    assert build_provider_options(MIGRAPHX, settings) == {"device_id": "1"}
    assert build_provider_options(ROCM, settings) == {"device_id": "1"}
    assert build_provider_options(OPENVINO, settings) == {"device_type": "GPU.1"}


def test_build_provider_options_of_cuda_uses_the_names_of_onnx_runtime() -> None:
    cuda = CudaOptions(
        memory_limit_bytes=8 << 30,
        arena_extend_strategy=ArenaExtendStrategy.SAME_AS_REQUESTED,
        convolution_search=ConvolutionSearch.HEURISTIC,
        tf32=False,
        graphs=True,
    )
    assert build_provider_options(CUDA, SessionSettings(("CUDA",), 1, device_id=1, cuda=cuda)) == {
        "device_id": "1",
        "gpu_mem_limit": "8589934592",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
        "enable_cuda_graph": "1",
    }


def test_build_provider_options_of_tensorrt_spells_out_caches_and_profiles() -> None:
    tensorrt = TensorRtOptions(
        fp16=True,
        engine_cache=Path("/cache"),
        workspace_limit_bytes=1 << 31,
        profiles=(PROFILE, ShapeProfile("mask", (1,), (8,), (32,))),
    )
    assert build_provider_options(TENSORRT, SessionSettings(("TensorRT",), 1, tensorrt=tensorrt)) == {
        "device_id": "0",
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "2147483648",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/cache",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/cache",
        "trt_profile_min_shapes": "x:1x4,mask:1",
        "trt_profile_opt_shapes": "x:8x4,mask:8",
        "trt_profile_max_shapes": "x:32x4,mask:32",
    }


@pytest.mark.parametrize(
    ("spec", "has_control_flow", "part"),
    [
        (make_spec(), True, "control flow"),
        (make_spec(shape=(-1, 4)), False, "'x' FP32 [-1, 4] is not fixed"),
        (make_spec(shape=None), False, "is not fixed"),
        (make_spec("BYTES"), False, "cannot be bound"),
        (make_spec("BF16"), False, "cannot be bound"),
    ],
)
def test_find_graph_obstacle_names_it(spec: ModelSpec, has_control_flow: bool, part: str) -> None:
    obstacle = find_graph_obstacle(spec, has_control_flow=has_control_flow)
    assert obstacle is not None
    assert part in obstacle


def test_find_graph_obstacle_of_a_fixed_model_is_none() -> None:
    assert find_graph_obstacle(make_spec(), has_control_flow=False) is None


def test_accelerator_flags_become_typed_options() -> None:
    settings = parse_serve_arguments(
        [
            *("--model", "m=m.onnx", "--execution-provider", "TensorRT", "--device-id", "1"),
            *("--cuda-memory-limit", "8Gi", "--cuda-arena-extend-strategy", "SameAsRequested"),
            *("--cuda-convolution-search", "Heuristic", "--cuda-no-tf32", "--cuda-graphs"),
            *("--tensorrt-fp16", "--tensorrt-engine-cache", "/cache", "--tensorrt-workspace-limit", "2Gi"),
            *("--tensorrt-profile", "x:1x4,8x4,32x4"),
        ]
    ).session
    assert settings.execution_providers == ("TensorRT",)
    assert settings.device_id == 1
    assert settings.cuda == CudaOptions(
        8 << 30, ArenaExtendStrategy.SAME_AS_REQUESTED, ConvolutionSearch.HEURISTIC, tf32=False, graphs=True
    )
    assert settings.tensorrt == TensorRtOptions(True, Path("/cache"), 2 << 30, (PROFILE,))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--cuda-memory-limit", "8G"), "not a size in bytes"),
        (("--cuda-memory-limit", "0"), "not a size in bytes"),
        (("--cuda-arena-extend-strategy", "Always"), "invalid choice"),
        (("--tensorrt-profile", "x"), "INPUT:MIN,OPT,MAX"),
        (("--tensorrt-profile", "x:1x4,8x4"), "INPUT:MIN,OPT,MAX"),
        (("--tensorrt-profile", "x:1x4,8x4,32"), "same rank"),
        (("--tensorrt-profile", "x:1x4,64x4,32x4"), "MIN must not exceed OPT"),
        (("--device-id", "-1"), "not a whole number"),
    ],
)
def test_wrong_accelerator_flags_are_named(arguments: tuple[str, ...], part: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        parse_serve_arguments(["--model", "m=m.onnx", *arguments])
    assert part in str(caught.value)
