"""Cross-validation that trains: a program of the user's makes a model for each fold, of all other rows."""

import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.data.cells import to_strings
from modelservice_pipeline.data.dataset import Dataset, compute_positions
from modelservice_pipeline.data.labels import find_label, parse_labels, read_labels
from modelservice_pipeline.data.load import load_dataset, read_table
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.data.table import Array, Table
from modelservice_pipeline.data.write import write_rows
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.asking import ask
from modelservice_pipeline.evaluate.figures import (
    Settings,
    choose_class,
    select_metrics,
    summarise_parts,
    to_number,
)
from modelservice_pipeline.evaluate.outputs import Found, Reading, check_outputs, read_answers
from modelservice_pipeline.evaluate.resampling import compute_figure, make_folds
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.constants import Given
from modelservice_pipeline.predict.file import FilePredictor
from modelservice_pipeline.report.progress import track

DATA, MODEL = "{data}", "{model}"
"""Stand in the command for the file to learn from, and for the ONNX file to write."""
_STANDARD_ERROR = 2
"""Takes what the command prints: standard output is the report's."""


def check_command(command: str) -> list[str]:
    """Return the words of a command. Raises PipelineError where it does not say what it reads and writes."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise PipelineError(f"--train {command}: {error}") from None
    for place in (DATA, MODEL):
        if not any(place in word for word in words):
            raise PipelineError(f"--train {command}: has no {place}; as 'python train.py {DATA} {MODEL}'")
    return words


def train_on_folds(
    path: Path,
    options: DataOptions,
    reading: Reading,
    words: list[str],
    settings: Settings,
    given: Given | None = None,
) -> dict[str, Any]:
    """Return the figures of each fold by a model that has not seen it, and their summary.

    Args:
        path: The data set, all of whose rows are used.
        options: What the user says about it. Rows of one key are in one fold; without keys, folds are even.
        reading: What the user says about the outputs.
        words: The command, from `check_command`.
        settings: How many folds, the seed, and the positive class.
        given: Values of inputs that rows do not bring.

    Raises:
        PipelineError: The command fails or writes no model, or a model does not fit the data.
    """
    table = read_table(path, options)
    folds = _assign(table, options, settings)
    has_head = not options.names
    parts = []
    with tempfile.TemporaryDirectory(prefix="modelservice-folds-") as name:
        for fold in track(range(settings.folds), "Training on folds"):
            folder = Path(name) / str(fold + 1)
            folder.mkdir()
            learnt = write_rows(table, np.flatnonzero(folds != fold), folder, "train", has_head)
            held_out = write_rows(table, np.flatnonzero(folds == fold), folder, "test", has_head)
            model = _train(words, learnt, folder / "model.onnx")
            found = _evaluate(model, held_out, options, reading, given)
            parts.append(_describe(str(fold + 1), found, settings))
    return {"trained": True, "parts": parts, "summary": summarise_parts(parts)}


def _assign(table: Table, options: DataOptions, settings: Settings) -> Array:
    label = find_label(table, options)
    assert label is not None
    labels = parse_labels(read_labels(table, label))
    if options.key is None:
        return make_folds(labels, settings.folds, settings.how.seed)
    keys = to_strings(table, options.key, "the key")
    folds = (compute_positions(Dataset("", {"key": keys}, keys=keys)) * settings.folds).astype(np.int64)
    if len(set(folds.tolist())) < settings.folds:
        raise PipelineError(
            f"--folds {settings.folds}: the keys of {table.path} are too few for so many folds"
        )
    return folds


def _train(words: list[str], data: Path, model: Path) -> Path:
    command = [word.replace(DATA, str(data)).replace(MODEL, str(model)) for word in words]
    try:
        done = subprocess.run(command, stdout=_STANDARD_ERROR, check=False)
    except OSError as error:
        raise PipelineError(f"--train: cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        raise PipelineError(f"--train: {shlex.join(command)} ended with {done.returncode}")
    if not model.is_file():
        raise PipelineError(f"--train: {shlex.join(command)} wrote no {model}")
    return model


def _evaluate(model: Path, data: Path, options: DataOptions, reading: Reading, given: Given | None) -> Found:
    predictor = FilePredictor(OnnxModel(model), given=given)
    check_outputs(predictor.outputs)
    dataset = load_dataset(data, predictor.inputs, replace(options, part=None, rows=None))
    assert dataset.labels is not None
    return read_answers(ask(predictor, dataset, "Asking for a fold"), dataset.labels, reading)


def _describe(name: str, found: Found, settings: Settings) -> dict[str, Any]:
    positive = choose_class(found, settings.positive)
    figures = {
        metric.name: to_number(compute_figure(metric, found.labels, found.answers, positive))
        for metric in select_metrics(found)
    }
    return {"value": name, "rows": len(found.labels), "figures": figures}
