"""A candidate of the user's own making: a program that gets the model and its answers as files."""

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError

RESULT = "result.onnx"


def run_script(
    command: str,
    folder: Path,
    rows: Mapping[str, np.ndarray[Any, Any]],
    answers: Mapping[str, np.ndarray[Any, Any]],
    labels: np.ndarray[Any, Any] | None,
) -> Path:
    """Run a program in a folder with the model's files, and return the model that it made.

    Args:
        command: As a shell splits it; the folder becomes its last argument.
        folder: Has `model.onnx`, and `pruned.onnx` where units could be left out. It gets `data.npz`: an
            array `input:NAME` for each input, `output:NAME` for what the model answered, `label` where known.
        rows: The inputs.
        answers: The outputs.
        labels: What they should be, where that is known.

    Raises PipelineError where it fails or makes nothing.
    """
    arrays = {f"input:{name}": _plain(array) for name, array in rows.items()}
    arrays |= {f"output:{name}": _plain(array) for name, array in answers.items()}
    if labels is not None:
        arrays["label"] = _plain(labels)
    np.savez(folder / "data.npz", **arrays)  # type: ignore[arg-type]  # its stub reads names as flags
    try:
        # Standard output is the report's.
        done = subprocess.run([*shlex.split(command), str(folder)], stdout=2, check=False)
    except OSError as error:
        raise PipelineError(f"--script {command}: cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise PipelineError(f"--script {command}: ended with {done.returncode}")
    result = folder / RESULT
    if not result.is_file():
        raise PipelineError(f"--script {command}: wrote no {RESULT} into the folder it was given")
    return result


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Texts as an array that needs no pickle."""
    return array.astype(str) if array.dtype == object else array
