"""Our LIME and Shapley values against those of the packages `lime` and `shap`, which live apart from ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-explainers/bin/python"
EXACT = 1e-9
SAMPLED = 0.03
"""Both draw, and each for itself: of probabilities."""

Numbers = dict[str, list[float]]


@pytest.fixture(scope="module")
def compared() -> dict[str, Any]:
    """What both make of the same models."""
    if not PYTHON.exists():
        pytest.fail("make .venv-explainers/.installed installs lime and shap", pytrace=False)
    command = [PYTHON, Path(__file__).with_name("explainers.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "pipeline"), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 0, found.stderr
    made: dict[str, Any] = json.loads(found.stdout)
    return made


def difference(pair: Numbers) -> float:
    own, theirs = np.array(pair["own"]), np.array(pair["theirs"])
    assert np.abs(theirs).max() > 0.05, "the model is to have something to explain"
    return float(np.abs(own - theirs).max())


@pytest.mark.parametrize(
    ("kind", "method", "tolerance"),
    [
        ("texts", "exact", EXACT),
        ("texts", "shap", EXACT),
        ("texts", "lime", SAMPLED),
        ("rows", "exact", EXACT),
        ("rows", "shap", EXACT),
        ("rows", "sampled", SAMPLED),
        ("rows", "lime", SAMPLED),
    ],
)
def test_weights_are_those_of_the_other_package(
    compared: dict[str, Any], kind: str, method: str, tolerance: float
) -> None:
    assert difference(compared[kind][method]) <= tolerance


def test_the_linear_model_of_the_same_variants_is_the_same(compared: dict[str, Any]) -> None:
    assert difference(compared["fits"]) <= EXACT
