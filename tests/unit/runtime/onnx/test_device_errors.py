"""Which errors mean that the accelerator is lost, and what the server does then."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from tests.unit.runtime import onnx_models
from tests.unit.runtime.server_process import server_process

from modelservice_runtime.errors import AcceleratorFailedError, DeviceLostError, InferenceFailedError
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.onnx.device_errors import is_device_lost
from modelservice_runtime.onnx.errors import translate_run_error
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.onnx.values import FixedBinding
from modelservice_runtime.settings.sessions import CudaOptions, SessionSettings

ILLEGAL_ADDRESS = (
    "Non-zero status code returned while running Gemm node. Name:'' Status Message: CUDA failure 700: an "
    "illegal memory access was encountered ; GPU=0 ; hostname=a ; file=cuda_call.cc ; line=129"
)


@pytest.mark.parametrize(
    "message",
    [
        ILLEGAL_ADDRESS,
        "CUDA failure 214: uncorrectable ECC error encountered ; GPU=0",
        "CUDA failure 710: device-side assert triggered ; GPU=0",
        "CUDA failure 719: unspecified launch failure ; GPU=0",
        "CUDA error 100: no CUDA-capable device is detected",
        "Error Code 1: Cuda Runtime (an illegal memory access was encountered)",
        "CUDA error: device-side assert triggered",
    ],
)
def test_is_device_lost_of_a_sticky_error_is_true(message: str) -> None:
    assert is_device_lost(message)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA failure 2: out of memory ; GPU=0",
        "CUBLAS failure 1: CUBLAS_STATUS_NOT_INITIALIZED",
        "indices element out of data bounds, idx=9",
        "the text 'illegal memory access' came from a client",
        "",
    ],
)
def test_is_device_lost_of_anything_else_is_false(message: str) -> None:
    assert not is_device_lost(message)


def test_translate_run_error_without_a_cuda_device_never_loses_it() -> None:
    error = RuntimeError(ILLEGAL_ADDRESS)
    assert isinstance(translate_run_error(error, terminated=False, on_cuda=True), DeviceLostError)
    assert isinstance(translate_run_error(error, terminated=True, on_cuda=True), DeviceLostError)
    assert isinstance(translate_run_error(error, terminated=False, on_cuda=False), InferenceFailedError)


def test_health_after_a_failure_is_neither_live_nor_ready_and_keeps_the_first_cause() -> None:
    health = Health(ModelTable())
    assert health.live
    assert health.ready
    health.fail(AcceleratorFailedError("first"))
    health.fail(AcceleratorFailedError("second"))
    assert not health.live
    assert not health.ready
    assert str(health.failure) == "AcceleratorFailed: first"


LOSES_ITS_DEVICE = f"""
import sys
from modelservice_runtime.onnx import model as onnx_model
from modelservice_runtime.serving import serve
create = onnx_model.OnnxModel.__init__

def create_fragile(model, *arguments, **options):
    create(model, *arguments, **options)
    run = model._run_session

    def run_or_fail(names, inputs, options):
        if inputs["x"].sum() > 100:
            raise RuntimeError({ILLEGAL_ADDRESS!r})
        return run(names, inputs, options)

    model._run_session = run_or_fail

onnx_model.OnnxModel.__init__ = create_fragile
onnx_model.uses_cuda = lambda providers: True
sys.exit(serve.run(sys.argv[1:]))
"""


def test_a_lost_device_ends_liveness_and_then_the_process(model_files: dict[str, Path]) -> None:
    entry = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1000, 0, 0, 0]}
    body = json.dumps({"inputs": [entry]}).encode()
    arguments = ("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "1")
    with server_process(*arguments, program=LOSES_ITS_DEVICE) as server:
        server.wait_for("ready")
        base = f"http://127.0.0.1:{server.http_port}/v2"
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(f"{base}/models/mlp/infer", body)
        assert answer.value.code == 503
        assert b"cuda_call" not in answer.value.read()
        server.wait_for("the accelerator failed; this process drains and ends")
        for probe in ("live", "ready"):
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(f"{base}/health/{probe}")
        assert server.process.stderr is not None
        last_line = server.process.stderr.read().splitlines()[-1]
        assert last_line.startswith("AcceleratorFailed: ")
        assert server.process.wait(120) == 1


def test_fixed_binding_gives_arrays_of_their_own(tmp_path: Path) -> None:
    path = onnx_models.save_identity(tmp_path / "m.onnx", "FP32", [2, 3])
    model = load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    binding = FixedBinding(session, model.spec, "cpu", 0)
    inputs = [np.full((2, 3), value, np.float32) for value in (1.0, 2.0)]
    outputs = [binding.run({"x": array}, ["y"], None)[0] for array in inputs]
    for output, array in zip(outputs, inputs, strict=True):
        assert np.array_equal(output, array)


def test_load_with_cuda_graphs_where_the_model_does_not_allow_them_serves_without(
    model_files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    settings = SessionSettings(("CUDA", "CPU"), 1, cuda=CudaOptions(graphs=True))
    model = load_onnx_model(model_files["mlp"], "m", "1", settings)
    assert not model.runs_in_turns
    assert [record.message for record in caplog.records] == ["CUDA graphs are off"]
    (output,) = model.run({"x": np.ones((2, 4), np.float32)}, ["y"])
    assert output.shape == (2, 3)
