"""The CUDA execution provider on a real device; skipped, visibly, where there is none."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.runtime import onnx_models

from modelservice_runtime.errors import ExecutionProviderUnavailableError
from modelservice_runtime.models.warm_up import warm_up
from modelservice_runtime.onnx.model import OnnxModel, load_onnx_model
from modelservice_runtime.settings.sessions import ArenaExtendStrategy, CudaOptions, SessionSettings

pytestmark = pytest.mark.gpu


def load(path: Path, provider: str, cuda: CudaOptions | None = None) -> OnnxModel:
    settings = SessionSettings((provider,), 1, cuda=cuda or CudaOptions())
    return load_onnx_model(path, "m", "1", settings)


@pytest.fixture
def fixed_mlp(tmp_path: Path) -> Path:
    path = onnx_models.save_mlp(tmp_path / "fixed.onnx", batch=8)
    try:
        load(path, "CUDA")
    except ExecutionProviderUnavailableError as error:
        pytest.skip(f"no CUDA device here: {error}")
    return path


def test_run_on_cuda_agrees_with_the_cpu(fixed_mlp: Path) -> None:
    options = CudaOptions(256 << 20, ArenaExtendStrategy.SAME_AS_REQUESTED, tf32=False)
    inputs = {"x": np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)}
    (on_device,) = load(fixed_mlp, "CUDA", options).run(inputs, ["y"])
    (on_cpu,) = load(fixed_mlp, "CPU").run(inputs, ["y"])
    np.testing.assert_allclose(on_device, on_cpu, rtol=1e-4, atol=1e-5)


def test_cuda_graphs_replay_with_every_requests_own_values(fixed_mlp: Path) -> None:
    model = load(fixed_mlp, "CUDA", CudaOptions(tf32=False, graphs=True))
    assert model.runs_in_turns
    assert warm_up(model).run_seconds is not None
    reference = load(fixed_mlp, "CPU")
    for seed in range(5):
        inputs = {"x": np.random.default_rng(seed).normal(size=(8, 4)).astype(np.float32)}
        (replayed,) = model.run(inputs, ["y"])
        (expected,) = reference.run(inputs, ["y"])
        np.testing.assert_allclose(replayed, expected, rtol=1e-4, atol=1e-5)
