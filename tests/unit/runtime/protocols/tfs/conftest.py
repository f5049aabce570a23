from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.runtime.protocols.tfs import tfs_models
from tests.unit.runtime.server_thread import ServerThread


@pytest.fixture(scope="session")
def tfs_server(
    model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    """A server with models in the manner of TensorFlow Serving's documentation, and some that do not fit."""
    directory = tmp_path_factory.mktemp("tfs")
    models = {
        "half_plus_three": tfs_models.save_half_plus_three(directory / "half_plus_three.onnx"),
        "sensors": tfs_models.save_sensors(directory / "sensors.onnx"),
        "classifier": tfs_models.save_classifier(directory / "classifier.onnx"),
        "images": tfs_models.save_image_bytes(directory / "images.onnx"),
        **{name: model_files[name] for name in ("mlp", "two", "log", "total", "gather", "pairs")},
        **{name: model_files[name] for name in ("text", "expand")},
        **{name: model_files[name] for name in ("identity_FP16", "identity_BF16", "identity_BOOL")},
    }
    with ServerThread(models) as running:
        yield running
