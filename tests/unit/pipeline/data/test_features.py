"""A model that names its features takes the columns of these names, wherever they stand in a file."""

import argparse
import json

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_pipeline.commands import evaluate, explain
from modelservice_pipeline.data.features import find_features
from modelservice_pipeline.data.load import load_dataset
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.gate.__main__ import main as gate
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.model.session import OnnxModel

NAMES = ("mean radius", "Area", "y")
FEATURES = Port("input", "float32", (None, 3), NAMES)
ROWS = "label,y,mean_radius,Area\n0,3,1,2\n1,6,4,5\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="rows.csv"):
        path = tmp_path / name
        path.write_text(content)
        return path

    return write


@pytest.fixture
def model(tmp_path):
    """Answers 1 where the first feature is above the second."""
    text = """
    <ir_version: 9, opset_import: ["" : 17]>
    g (float[N, 2] input) => (int64[N] label, float[N, 2] probabilities)
    <int64[2] sizes = {1, 1}, int64[1] axis = {1}>
    {
        low, high = Split <axis = 1> (input, sizes)
        above = Greater (low, high)
        flat = Squeeze (above, axis)
        label = Cast <to = 7> (flat)
        probabilities = Softmax <axis = 1> (input)
    }
    """
    made = onnx.parser.parse_model(text)
    told = {"features": json.dumps(["low", "high"]), "classes": json.dumps(["no", "yes"])}
    onnx.helper.set_model_props(made, told)
    onnx.save(made, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_columns_in_any_order_are_matched_by_name(write):
    data = load_dataset(write(ROWS), [FEATURES])
    assert data.inputs["input"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.columns["input"] == ("mean_radius", "Area", "y")
    assert data.labels.tolist() == ["0", "1"]
    assert data.notes == ()


@given(st.permutations(range(6)))
def test_no_order_matters(order):
    names = ("a", "A", "a b", "a-b", "c", "C_")
    port = Port("x", "float32", (None, 6), names)
    assert find_features(port, [names[place] for place in order]) == names


def test_what_user_names_as_an_input_is_brought_into_order_too(write):
    options = DataOptions(inputs={"input": ("Area", "y", "mean_radius")})
    assert load_dataset(write(ROWS), [FEATURES], options).inputs["input"].tolist()[0] == [1, 2, 3]
    others = write("p,q,r,label\n1,2,3,0\n")
    options = DataOptions(inputs={"input": ("r", "q", "p")})
    assert load_dataset(others, [FEATURES], options).inputs["input"].tolist() == [[3, 2, 1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("label,Area,mean_radius,why\n0,1,2,3\n", "no column for a feature of the model's input input: y;"),
        ("label,a,b,c\n0,1,2,3\n", "no column for 3 features of .*: mean radius, Area, y;"),
        ("label,y,mean_radius,Area,patient\n0,3,1,2,9\n", "no features of the model: patient; .*--ignore"),
        ("label,y,mean radius,area,AREA\n0,3,1,2,9\n", "no column for a feature .*: Area;"),
    ],
)
def test_missing_and_other_columns_are_named(write, content, message):
    with pytest.raises(PipelineError, match=message):
        load_dataset(write(content), [FEATURES])


def test_other_columns_may_stand_where_their_use_is_clear(write):
    path = write(",label,y,mean_radius,Area,patient,Unnamed: 0,sex\n0,0,3,1,2,9,0,m\n")
    options = DataOptions(ignored=("patient",), slices=("sex", "y"), key="Area")
    assert load_dataset(path, [FEATURES], options).inputs["input"].tolist() == [[1, 2, 3]]


def test_whole_rows_need_no_names(tmp_path, write):
    path = write('{"row": [1, 2, 3], "label": 0}\n', "rows.jsonl")
    assert load_dataset(path, [FEATURES]).inputs["input"].tolist() == [[1, 2, 3]]
    np.savez(tmp_path / "rows.npz", input=np.ones((2, 3), np.float32), label=np.zeros(2, np.int64))
    assert load_dataset(tmp_path / "rows.npz", [FEATURES]).inputs["input"].shape == (2, 3)


def test_order_of_the_file_is_told_where_names_are_not_known(write):
    port = Port("X", "float32", (None, 3))
    (note,) = load_dataset(write("c,a,b,label\n1,2,3,0\n"), [port]).notes
    assert note.endswith("in the order of the file, c, a, b")


def test_file_tells_the_names(model):
    loaded = OnnxModel(model)
    assert loaded.inputs[0].names == ("low", "high")
    assert [port.names for port in loaded.outputs] == [(), ("no", "yes")]


def test_explanation_names_features_and_the_class(model, write, capsys):
    background = write("high,label,low\n2,0,1\n3,1,5\n4,0,0\n1,1,7\n")
    for words in ((str(background), "--row", "1"), (str(background), '{"high": 3, "low": 5}')):
        path, *row = words
        parser = argparse.ArgumentParser()
        explain.add_arguments(parser)
        flags = ["--background", path, "--json", "--method", "exact"]
        assert explain.run(parser.parse_args([str(model), *row, *flags])) == 0
        facts = json.loads(capsys.readouterr().out)
        assert [(one["name"], one["value"]) for one in facts["features"]] == [("low", "5"), ("high", "3")]
        assert (facts["output"], facts["index"], facts["class"]) == ("probabilities", 0, "no")


def test_evaluation_and_gate_have_the_same_figures_in_any_order(model, write, tmp_path, capsys):
    rows = [(1, 2, 0), (5, 3, 1), (0, 4, 0), (7, 1, 1)]
    straight = write("low,high,label\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    turned = write("label,high,low\n" + "".join(f"{c},{b},{a}\n" for a, b, c in rows), "turned.csv")
    for path in (straight, turned):
        parser = argparse.ArgumentParser()
        evaluate.add_arguments(parser)
        assert evaluate.run(parser.parse_args([str(model), str(path), "--json"])) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["figures"]["accuracy"]["value"] == 1
        assert facts["data"]["columns"] == {"input": ["low", "high"]}
        log = tmp_path / "log"
        gate(["--model", str(model), "--data", str(path), "--termination-log", str(log)])
        assert json.loads(capsys.readouterr().out)["value"] == 1
