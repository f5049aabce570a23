"""The whole training, as a user runs it: twice, in the environment that has torch."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

REPOSITORY = Path(__file__).parents[3]
TRAIN_PYTHON = REPOSITORY / ".venv-train" / "bin" / "python"
TRAIN = REPOSITORY / "examples" / "01-spam" / "train.py"


def run_training(output: Path) -> dict[str, Any]:
    assert TRAIN_PYTHON.exists(), "no training environment: run `make e2e`, which installs it"
    subprocess.run([TRAIN_PYTHON, TRAIN, "--output", output], check=True)
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    run_training(output)
    return output


@pytest.fixture(scope="module")
def report(trained: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((trained / "report.json").read_text())
    return loaded


def test_train_held_out_messages_f1_is_at_least_090(report):
    confusion = report["test"]["confusion"]
    right = 2 * confusion["truePositive"]
    assert right / (right + confusion["falsePositive"] + confusion["falseNegative"]) >= 0.90
    assert sum(confusion.values()) == sum(report["data"]["counts"]["test"].values()) > 800


def test_train_exported_model_agrees_with_torch_on_the_whole_test_set(report):
    assert report["parity"]["messages"] == sum(report["data"]["counts"]["test"].values())
    assert report["parity"]["maxDifference"] <= 1e-5


def test_train_twice_gives_the_same_model_bytes(trained, report, tmp_path):
    assert run_training(tmp_path)["model"] == report["model"]
    digest = hashlib.sha256((trained / "model.onnx").read_bytes()).hexdigest()
    assert digest == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert digest == report["model"]["sha256"]


def test_trained_model_raw_strings_get_labels_that_a_reader_expects(trained):
    session = ort.InferenceSession(trained / "model.onnx", providers=["CPUExecutionProvider"])
    texts = [
        "Are we still meeting for lunch at noon?",
        "URGENT! You have WON a 1000 pound prize. Call 09061701461 to claim now!",
        "",
    ]
    labels, probability = session.run(["label", "probability"], {"text": np.array(texts, dtype=object)})
    assert labels.tolist() == ["ham", "spam", "ham"]
    assert probability.shape == (3,)
    assert ((probability >= 0) & (probability <= 1)).all()
