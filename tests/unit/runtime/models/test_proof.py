"""A server replays the proof beside a model, and refuses one that answers otherwise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tests.unit.runtime import onnx_models

from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Case, Proof
from modelservice_runtime.errors import ModelRejectedError
from modelservice_runtime.models.proof import check_proof
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

INPUT = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    """Answers what it is given."""
    onnx_models.save_identity(tmp_path / "model.onnx")
    return load_onnx_model(tmp_path / "model.onnx", "m", "1", SessionSettings(("CPU",), 1))


def prove(folder: Path, model: Any, expected: Any, name: str | None = None) -> None:
    (given,), (answered,) = model.spec.input_by_name, model.spec.output_by_name
    write_proof(Proof((Case({name or given: INPUT}, {answered: np.asarray(expected)}),)), folder)


@pytest.mark.parametrize("path", ["model.onnx", ""])
def test_model_that_answers_as_proven_passes_by_file_and_by_folder(
    model: Any, tmp_path: Path, path: str
) -> None:
    prove(tmp_path, model, INPUT)
    check_proof(model, tmp_path / path)


def test_other_answer_is_refused_with_the_worst_input(model: Any, tmp_path: Path) -> None:
    expected = INPUT.astype(np.float64)
    expected[1, 2] = 9
    prove(tmp_path, model, expected)
    with pytest.raises(ModelRejectedError, match=r"row 1 is \[5\., .* instead of .*; the input is") as caught:
        check_proof(model, tmp_path / "model.onnx")
    assert "1 times in 2 rows" in caught.value.sentence


def test_missing_proof_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match=r"no proof\.json beside the model"):
        check_proof(model, tmp_path / "model.onnx")


def test_proof_of_another_model_is_refused(model: Any, tmp_path: Path) -> None:
    prove(tmp_path, model, INPUT, name="other")
    with pytest.raises(
        ModelRejectedError, match="gives input 'other', which the model lacks; it gives no input 'x'"
    ):
        check_proof(model, tmp_path / "model.onnx")


def test_proof_that_is_silent_about_an_output_is_refused(tmp_path: Path) -> None:
    numbers = [onnx_models.value(name, "FP32", ["n", 4]) for name in "xyz"]
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    onnx_models.save(tmp_path / "model.onnx", nodes, numbers[:1], numbers[1:])
    model = load_onnx_model(tmp_path / "model.onnx", "m", "1", SessionSettings(("CPU",), 1))
    write_proof(Proof((Case({"x": INPUT}, {"y": INPUT}),)), tmp_path)
    with pytest.raises(ModelRejectedError, match="it does not prove output 'z'"):
        check_proof(model, tmp_path / "model.onnx")
    write_proof(Proof((Case({"x": INPUT}, {"y": INPUT, "z": -INPUT}),)), tmp_path)
    check_proof(model, tmp_path / "model.onnx")


def test_proof_that_the_model_does_not_take_is_refused(model: Any, tmp_path: Path) -> None:
    (given,), (answered,) = model.spec.input_by_name, model.spec.output_by_name
    write_proof(Proof((Case({given: INPUT[:, :3]}, {answered: INPUT[:, :3]}),)), tmp_path)
    with pytest.raises(ModelRejectedError, match="does not run on its proof"):
        check_proof(model, tmp_path / "model.onnx")


def test_proof_without_an_output_of_the_model_is_refused(model: Any, tmp_path: Path) -> None:
    (given,) = model.spec.input_by_name
    write_proof(Proof((Case({given: INPUT}, {"gone": INPUT}),)), tmp_path)
    with pytest.raises(ModelRejectedError, match="'gone'"):
        check_proof(model, tmp_path / "model.onnx")
