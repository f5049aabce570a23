from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.tiny_chat import make_tiny_chat
from tests.unit.runtime import onnx_models
from tests.unit.runtime.busy_threads import Busy
from tests.unit.runtime.server_thread import ServerThread


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every test model by name."""
    directory = tmp_path_factory.mktemp("models")
    files = {
        "mlp": onnx_models.save_mlp(directory / "mlp.onnx"),
        "two": onnx_models.save_two_inputs(directory / "two.onnx"),
        "log": onnx_models.save_log(directory / "log.onnx"),
        "total": onnx_models.save_total(directory / "total.onnx"),
        "gather": onnx_models.save_gather(directory / "gather.onnx"),
        "pairs": onnx_models.save_pairs(directory / "pairs.onnx"),
        "expand": onnx_models.save_expand(directory / "expand.onnx"),
        "loop": onnx_models.save_loop(directory / "loop.onnx"),
        "any": onnx_models.save_identity(directory / "any.onnx", "FP32", ["n", "m"]),
        "text": onnx_models.save_identity(directory / "text.onnx", "BYTES", ["n"]),
    }
    for datatype in onnx_models.ONNX_TYPES:
        path = directory / f"identity_{datatype}.onnx"
        files[f"identity_{datatype}"] = onnx_models.save_identity(path, datatype, ["n"])
    return files


@pytest.fixture(scope="session")
def server(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """A running server with every test model."""
    with ServerThread(model_files) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a chat model that has learnt the answers of `tests.support.tiny_chat.PAIRS` by heart."""
    return make_tiny_chat(tmp_path_factory.mktemp("generative") / "tiny")


@pytest.fixture
def busy() -> Iterator[Busy]:
    """Every thread for what takes long is busy until the test opens the gate."""
    made = Busy()
    yield made
    made.gate.set()
