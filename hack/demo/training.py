"""Train the example's model, unless its inputs are those of the model that is already there."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.demo.errors import DemoError

EXAMPLE = Path("examples/01-spam")
OUTPUT = Path("build/examples/01-spam")
_REQUIREMENTS = Path("requirements/train.txt")
_PYTHON = Path(".venv-train/bin/python")
_STAMP = "inputs.sha256"


@dataclass(frozen=True)
class Trained:
    """The trained model: its file and its evaluation."""

    model: Path
    report: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Return the digest of the model file, in hex."""
        digest: str = self.report["model"]["sha256"]
        return digest

    def describe(self) -> str:
        """Return one line for a person."""
        test, model = self.report["test"], self.report["model"]
        return (
            f"F1 {test['f1']:.3f}, accuracy {test['accuracy']:.3f} on {self.report['parity']['messages']} "
            f"held-out messages; {model['sizeBytes']:,} bytes, sha256 {model['sha256'][:12]}..."
        )


def compute_input_digest(root: Path) -> str:
    """Return the sha256 over everything that decides what the model becomes."""
    paths = [*sorted((root / EXAMPLE).rglob("*.py")), root / _REQUIREMENTS]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(root)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Return whether the model in the build folder is whole and made from today's inputs."""
    output = root / OUTPUT
    stamp, model, report = output / _STAMP, output / "model.onnx", output / "report.json"
    if not (stamp.exists() and model.exists() and report.exists()):
        return False
    recorded = json.loads(report.read_text(encoding="utf-8"))["model"]["sha256"]
    unchanged = hashlib.sha256(model.read_bytes()).hexdigest() == recorded
    return unchanged and stamp.read_text(encoding="utf-8") == compute_input_digest(root)


def train(root: Path) -> Trained:
    """Train where needed and return the result.

    Raises:
        DemoError: there is no environment for training, or training failed.

    """
    output = root / OUTPUT
    if not is_current(root):
        _run_training(root, output)
        (output / _STAMP).write_text(compute_input_digest(root), encoding="utf-8")
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return Trained(output / "model.onnx", report)


def _run_training(root: Path, output: Path) -> None:
    python = root / _PYTHON
    if not python.exists():
        raise DemoError(f"{_PYTHON} is missing: `make demo` installs it")
    (output / _STAMP).unlink(missing_ok=True)
    result = subprocess.run(
        [python, root / EXAMPLE / "train.py", "--output", output], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise DemoError(f"training failed:\n{result.stderr[-2000:].strip()}")
