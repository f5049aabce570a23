"""Scores a model on rows with right answers, and beside it the model that is in use."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.data.load import load_dataset
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.metrics import Metric
from modelservice_pipeline.evaluate.outputs import Found, Reading, read_answers
from modelservice_pipeline.evaluate.resampling import (
    compute_figure,
    explain_undefined,
    paired_bootstrap,
)
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.file import FilePredictor

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Job:
    """What to score.

    Attributes:
        model: The new model: its file, or a folder with one.
        data: The rows; a plain file name is beside the model.
        metric: What to compute.
        stable: The model in use, where there is one.
        options: How to read the rows.
        reading: How to read the models' outputs.
        data_sha256: What the rows' file has to have, as hexadecimal digits.
        threads: For a run of a model.
    """

    model: Path
    data: Path
    metric: Metric
    stable: Path | None = None
    options: DataOptions = field(default_factory=DataOptions)
    reading: Reading = field(default_factory=Reading)
    data_sha256: str | None = None
    threads: int = 1


def run_job(job: Job) -> dict[str, Any]:
    """Return the score as the operator reads it, the bound with 95 percent. Raises PipelineError."""
    model = find_model(job.model)
    data = job.data if job.data.parent != Path() else model.parent / job.data
    found, data_sha256 = _ask(job, model, data)
    score: dict[str, Any] = {
        "value": compute_figure(job.metric, found.labels, found.answers),
        "rows": len(found.labels),
        "modelSha256": _digest(model),
        "dataSha256": data_sha256,
    }
    if not isfinite(score["value"]):
        raise PipelineError(explain_undefined(job.metric))
    return score if job.stable is None else {**score, **_compare(job, data, found, score)}


def find_model(path: Path) -> Path:
    """Return the only ONNX file of a folder, or the file itself. Raises PipelineError."""
    if not path.is_dir():
        return path
    found = sorted(path.rglob("*.onnx"), key=lambda one: (len(one.parts), one.name != "model.onnx", one))
    if not found:
        raise PipelineError(f"there is no ONNX file in {path}")
    return found[0]


def _ask(job: Job, model: Path, data: Path) -> tuple[Found, str]:
    """Return what a model answers and the rows' digest; the model is let go of at the end."""
    loaded = OnnxModel(model, job.threads)
    dataset = load_dataset(data, loaded.inputs, job.options)
    if job.data_sha256 is not None and dataset.sha256 != job.data_sha256:
        raise PipelineError(
            f"{data.name} has the SHA-256 {dataset.sha256}, and data.sha256 is {job.data_sha256}"
        )
    outputs = FilePredictor(loaded).predict(dataset.inputs)
    assert dataset.labels is not None
    return read_answers(outputs, dataset.labels, job.reading), dataset.sha256


def _compare(job: Job, data: Path, found: Found, score: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the score says of the model in use."""
    assert job.stable is not None
    stable = find_model(job.stable)
    digest = _digest(stable)
    if digest == score["modelSha256"]:
        return {"stable": score["value"], "bound": 0.0, "stableSha256": digest}
    try:
        before, _ = _ask(job, stable, data)
    except PipelineError as error:
        raise PipelineError(f"the model in use cannot be scored on the same rows: {error}") from None
    if before.task != found.task or not np.array_equal(before.labels, found.labels):
        raise PipelineError(
            "the model in use answers in another way than the new one, so the two cannot be compared: "
            f"{'; '.join(before.notes)}, and {'; '.join(found.notes)}"
        )
    result = paired_bootstrap(job.metric, found.labels, before.answers, found.answers)
    bound = {"bound": result.bound} if isfinite(result.bound) else {}
    return {"value": result.candidate, "stable": result.stable, **bound, "stableSha256": digest}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
