"""A student takes and gives what the model does, labels of texts included; a script makes any other."""

import shutil
import sys

import numpy as np
import onnx
import pytest
from tests.unit.pipeline.compress.conftest import make_rows

from modelservice_pipeline.compress.dense import Training
from modelservice_pipeline.compress.script import run_script
from modelservice_pipeline.compress.student import student_bytes, train_student
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.model.session import OnnxModel

ROWS = make_rows(600, 5) * 3 + 100
LINE = (ROWS - 100) @ np.array([1.0, -2.0, 0.5, 0.0, 3.0], np.float32)
X = Port("x", "float32", (None, 5))


def learn(tmp_path, outputs, answers, rows=ROWS):
    model = train_student((X,), outputs, {"x": rows}, answers, Training(steps=1500, rate=3e-3))
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "s.onnx")
    student = OnnxModel(tmp_path / "s.onnx")
    assert student.inputs == (X,)
    return student, student.run({"x": rows})


@pytest.mark.parametrize("names", [np.array([7, 3]), np.array(["spam", "ham"], object)])
def test_student_answers_label_and_probabilities(tmp_path, names):
    positive = 1 / (1 + np.exp(-LINE))
    probabilities = np.stack([1 - positive, positive], axis=1).astype(np.float32)
    dtype = "object" if names.dtype == object else "int64"
    outputs = (Port("label", dtype, (None,)), Port("p", "float32", (None, 2)))
    labels = names[probabilities.argmax(axis=1)]
    student, found = learn(tmp_path, outputs, {"label": labels, "p": probabilities})
    assert student.outputs == outputs
    assert (found["label"] == labels).mean() > 0.95
    assert np.abs(found["p"] - probabilities).mean() < 0.05
    np.testing.assert_allclose(found["p"].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(None,), (None, 1)])
def test_student_answers_numbers_of_the_same_shape(tmp_path, shape):
    numbers = (LINE * 10 + 500).reshape([-1, 1][: len(shape)]).astype(np.float32)
    _, found = learn(tmp_path, (Port("y", "float32", shape),), {"y": numbers})
    assert found["y"].shape == numbers.shape
    assert np.abs(found["y"] - numbers).mean() < 0.2 * numbers.std()


@pytest.mark.parametrize(
    ("outputs", "answers", "rows", "said"),
    [
        ((Port("a", "float32", (None,)), Port("b", "float32", (None,))), {}, ROWS, "one output of numbers"),
        ((Port("a", "float32", (None,)),), {"a": LINE[:50]}, ROWS[:50], "50 rows"),
        ((Port("a", "float32", (None,)),), {"a": LINE}, np.where(ROWS > 105, np.nan, ROWS), "missing"),
        (
            (Port("l", "int64", (None,)), Port("p", "float32", (None, 2))),
            {"l": np.arange(600) % 2, "p": np.tile([[0.1, 0.9]], (600, 1)).astype(np.float32)},
            ROWS,
            "do not follow",
        ),
    ],
)  # fmt: skip
def test_models_that_a_student_cannot_follow_are_told(outputs, answers, rows, said):
    with pytest.raises(PipelineError, match=said):
        train_student((X,), outputs, {"x": rows}, answers)


def test_student_is_for_rows_of_numbers():
    assert student_bytes((X,)) == 4 * 64 * 7
    assert student_bytes((Port("text", "object", (None,)),)) is None
    assert student_bytes((Port("image", "float32", (None, 3, 8, 8)),)) is None
    assert student_bytes((Port("x", "float32", (None, None)),)) is None
    assert student_bytes((X, X)) is None


def test_script_gets_the_model_and_its_answers_as_files(tmp_path, network):
    folder = tmp_path / "with blank"
    folder.mkdir()
    shutil.copy(network, folder / "model.onnx")
    script = tmp_path / "copy.py"
    script.write_text(
        "import sys, pathlib, zipfile\n"
        "folder = pathlib.Path(sys.argv[-1])\n"
        "names = sorted(zipfile.ZipFile(folder / 'data.npz').namelist())\n"
        "assert names == ['input:x.npy', 'label.npy', 'output:t.npy'], names\n"
        "(folder / 'result.onnx').write_bytes((folder / 'model.onnx').read_bytes())\n"
    )
    made = run_script(
        f"{sys.executable} {script}",
        folder,
        {"x": ROWS},
        {"t": np.array(["a", "é"], object)},
        np.array([0, 1]),
    )
    assert made.read_bytes() == network.read_bytes()
    with np.load(folder / "data.npz", allow_pickle=False) as data:
        assert data["output:t"].tolist() == ["a", "é"]


@pytest.mark.parametrize(
    ("command", "said"),
    [("/no/such/program", "cannot be run"), (f"{sys.executable} -c 'raise SystemExit(3)'", "ended with 3"),
     (f"{sys.executable} -c 1", "wrote no result")],
)  # fmt: skip
def test_script_that_makes_nothing_is_told(tmp_path, command, said):
    with pytest.raises(PipelineError, match=said):
        run_script(command, tmp_path, {"x": ROWS}, {}, None)
