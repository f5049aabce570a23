"""What is to be converted, and what came of it: files in one folder, for the two sides share nothing else."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.files import read_inputs
from modelservice_pipeline.proof.proof import Array, Case, Decision

JOB_NAME = "job.json"
RESULT_NAME = "result.json"
ERROR_NAME = "error.txt"
MODEL_NAME = "model.onnx"
SAMPLES_NAME = "samples"
BUILT_NAME = "built"
REFERENCE_NAME = "reference.npz"
ADAPTERS_NAME = "adapters"


@dataclass(frozen=True)
class Job:
    """What to convert.

    Attributes:
        framework: Its name, as the user gave it.
        source: The user's file or folder.
        folder: Where the results go.
        rows: How many rows to prove.
        opset: The version of ONNX's operators to aim at.
        options: What only this framework knows.
    """

    framework: str
    source: Path
    folder: Path
    rows: int
    opset: int
    options: Mapping[str, Any]

    @property
    def random(self) -> np.random.Generator:
        """Chance that is the same in every run."""
        return np.random.default_rng(0)

    def samples(self) -> dict[str, Array]:
        """The user's own inputs by name; none where the user gave none."""
        folder = self.folder / SAMPLES_NAME
        return read_inputs(folder) if folder.is_dir() else {}

    def write(self) -> None:
        """Write it for `read_job`."""
        content = {**asdict(self), "source": str(self.source), "folder": str(self.folder)}
        (self.folder / JOB_NAME).write_text(json.dumps(content), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """Read a job that was written into a folder."""
    content = json.loads((folder / JOB_NAME).read_text(encoding="utf-8"))
    return Job(**{**content, "source": Path(content["source"]), "folder": folder})


@dataclass(frozen=True)
class Converted:
    """What a framework gave.

    Attributes:
        model: The `onnx.ModelProto`, or the path of the file where it was written as one.
        cases: Inputs, and the framework's own outputs by the names of the model's.
        packages: Whose versions the proof tells.
        labels: See `Proof`.
        has_thresholds: See `Proof`.
        metadata: What the file shall tell of itself, as texts.
        notes: What the user should know.
    """

    model: Any
    cases: list[Case]
    packages: tuple[str, ...]
    labels: Mapping[str, Decision] = field(default_factory=dict)
    has_thresholds: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def versions(self) -> dict[str, str]:
        """The versions of the packages, by name; without those that are not there."""
        found = {}
        for name in (*self.packages, "onnx", "numpy"):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return found


def import_or_explain(package: str) -> None:
    """Import a package, which an interpreter of the user's own may lack. Raises PipelineError."""
    try:
        __import__(package)
    except ImportError as error:
        raise PipelineError(
            f"this Python has no {package} ({error}); install it there, or leave --python out"
        ) from None
