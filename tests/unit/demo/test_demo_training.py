"""When the demo trains, and when it does not."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from hack.demo import training
from hack.demo.errors import DemoError

TRAINER = """
import json, hashlib, sys
from pathlib import Path
output = Path(sys.argv[2]); output.mkdir(parents=True, exist_ok=True)
runs = output / "runs"; runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
model = b"model"
(output / "model.onnx").write_bytes(model)
(output / "report.json").write_text(json.dumps({"model": {"sha256": hashlib.sha256(model).hexdigest()}}))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / training.EXAMPLE / "spam").mkdir(parents=True)
    (tmp_path / training.EXAMPLE / "train.py").write_text(TRAINER)
    (tmp_path / training.EXAMPLE / "spam" / "text.py").write_text("A = 1\n")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "train.txt").write_text("torch==1\n")
    python = tmp_path / ".venv-train" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    return tmp_path


def count_runs(root: Path) -> int:
    return len((root / training.OUTPUT / "runs").read_text())


def test_train_unchanged_inputs_trains_once(root):
    trained = training.train(root)
    assert trained.sha256 == hashlib.sha256(b"model").hexdigest()
    assert training.train(root) == trained
    assert count_runs(root) == 1


@pytest.mark.parametrize("path", ["examples/01-spam/spam/text.py", "requirements/train.txt"])
def test_train_changed_input_trains_again(root, path):
    training.train(root)
    (root / path).write_text("changed = 1\n")
    training.train(root)
    assert count_runs(root) == 2


def test_train_damaged_model_trains_again(root):
    training.train(root)
    (root / training.OUTPUT / "model.onnx").write_bytes(b"mod")
    training.train(root)
    assert count_runs(root) == 2


def test_train_without_environment_says_what_installs_it(root):
    shutil.rmtree(root / ".venv-train")
    with pytest.raises(DemoError, match="make demo"):
        training.train(root)


def test_train_failure_shows_the_reason_and_is_not_remembered(root):
    (root / training.EXAMPLE / "train.py").write_text("raise SystemExit('no data today')\n")
    with pytest.raises(DemoError, match="no data today"):
        training.train(root)
    assert not training.is_current(root)


def test_describe_names_the_figures():
    report = {
        "test": {"f1": 0.9419, "accuracy": 0.9891},
        "parity": {"messages": 918},
        "model": {"sizeBytes": 395096, "sha256": "749b49c4e555a058"},
    }
    text = training.Trained(Path("model.onnx"), json.loads(json.dumps(report))).describe()
    assert text == (
        "F1 0.942, accuracy 0.989 on 918 held-out messages; 395,096 bytes, sha256 749b49c4e555..."
    )
