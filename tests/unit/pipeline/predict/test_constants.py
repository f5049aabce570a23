"""Inputs that rows do not bring: a value from a flag or a file, in each run, of files and servers alike."""

import argparse
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.runtime.server_thread import ServerThread

from modelservice_cli.main import main
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.arguments import add_endpoint_arguments, open_predictor
from modelservice_pipeline.predict.constants import (
    Given,
    parse_constant,
    read_single_values,
    take_constants,
)

X = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """y = x * rate + the first state: a scalar, and a state of a size that is the rows' in its middle."""
    nodes = [
        helper.make_node("Cast", ["rate"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["product"]),
        helper.make_node("Gather", ["state", "first"], ["added"], axis=0),
        helper.make_node("Add", ["product", "added"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2]),
        helper.make_tensor_value_info("rate", TensorProto.INT64, []),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, "batch", 2]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])]
    first = helper.make_tensor("first", TensorProto.INT64, [], [0])
    graph = helper.make_graph(nodes, "g", inputs, outputs, [first])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    file = tmp_path_factory.mktemp("constants") / "model.onnx"
    onnx.save(model, file)
    return file


@pytest.fixture(scope="module")
def url(path):
    with ServerThread({"m": path}) as running:
        yield f"http://127.0.0.1:{running.port}/v2/models/m"


def open_by(target, *flags, data=None):
    parser = argparse.ArgumentParser()
    add_endpoint_arguments(parser)
    arguments = parser.parse_args([word for flag in flags for word in ("--constant", flag)])
    arguments.data = data
    return open_predictor(str(target), arguments)


@pytest.mark.parametrize("where", ["path", "url"])
def test_each_run_gets_the_constants_and_rows_bring_the_rest(where, request):
    predictor = open_by(request.getfixturevalue(where), "rate=3", "state=1")
    assert [port.name for port in predictor.inputs] == ["x"]
    assert predictor.predict({"x": X})["y"].tolist() == (3 * X + 1).tolist()


@pytest.mark.parametrize("where", ["path", "url"])
def test_array_of_a_file_and_single_values_of_the_data_are_taken(tmp_path, where, request):
    np.save(tmp_path / "state.npy", np.array([[[5, 6]], [[7, 8]]]))
    np.savez(tmp_path / "rows.npz", x=X, rate=np.int64(2), other=np.float32(9))
    target = request.getfixturevalue(where)
    predictor = open_by(target, f"state=@{tmp_path / 'state.npy'}", data=tmp_path / "rows.npz")
    assert predictor.predict({"x": X})["y"].tolist() == (2 * X + [5, 6]).tolist()
    # A flag is nearer than a file.
    predictor = open_by(target, "rate=4", f"state=@{tmp_path / 'state.npy'}", data=tmp_path / "rows.npz")
    assert predictor.predict({"x": X})["y"].tolist() == (4 * X + [5, 6]).tolist()


def take(*flags, dtype="float32", shape=(2, None)):
    ports = (Port("x", "float32", (None,)), Port("k", dtype, shape))
    return take_constants(ports, Given(dict(parse_constant(flag) for flag in flags)))


@pytest.mark.parametrize(
    ("flag", "dtype", "shape", "expected"),
    [
        ("k=7", "int64", (), 7),
        ("k=7", "int64", (1,), [7]),
        ("k=7", "float32", (2, None), [[7], [7]]),
        ("k=[[1,2,3],[4,5,6]]", "float32", (2, None), [[1, 2, 3], [4, 5, 6]]),
        ("k=true", "bool", (), True),
        ("k=en", "object", (), "en"),
        ('k="7"', "object", (1,), ["7"]),
        ('k=["a","b"]', "object", (2,), ["a", "b"]),
        ("k=a=b", "object", (), "a=b"),
    ],
)
def test_value_is_made_for_its_input(flag, dtype, shape, expected):
    ports, constants = take(flag, dtype=dtype, shape=shape)
    assert [port.name for port in ports] == ["x"]
    assert constants.tensors["k"].dtype == dtype
    assert constants.tensors["k"].tolist() == expected
    assert constants.hold_one_row == (None in shape)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["nothing=1"], "no such input; it has x, k"),
        (["k"], "is not NAME=VALUE"),
        (["=1"], "is not NAME=VALUE"),
        (["k="], "is not NAME=VALUE"),
        (["k=1.5"], "takes int64"),
        (["k=text"], "takes int64"),
        (["k=null"], "takes int64"),
        (['k={"a": 1}'], "takes int64"),
        (["k=[1,2,3]"], "it has the shape 3, and the model takes 2 x any"),
        (["k=[[1],[2,3]]"], "different lengths"),
        (["k=99999999999999999999"], "takes int64"),
        (["k=@/nowhere.npy"], "cannot read /nowhere.npy"),
        (["k=1", "x=1"], "every input is a constant"),
    ],
)
def test_value_that_does_not_fit_is_told(flags, sentence):
    with pytest.raises(PipelineError, match=sentence):
        take(*flags, dtype="int64")


def test_files_that_hold_no_such_array_are_told(tmp_path):
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "other.npz", other=1)
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    for name, sentence in (
        ("text.npy", "holds a pickle"),
        ("other.npz", "no array"),
        ("pickle.npy", "pickle"),
    ):
        with pytest.raises(PipelineError, match=sentence):
            take(f"k=@{tmp_path / name}")


def test_data_that_is_damaged_or_no_archive_has_no_constants(tmp_path):
    (tmp_path / "rows.npz").write_bytes(b"PK")
    np.savez(tmp_path / "objects.npz", k=np.array(None, object))
    for name in ("rows.npz", "objects.npz", "missing.npz", "rows.csv"):
        assert read_single_values(tmp_path / name) == {}


def test_commands_take_constants_and_say_where_one_is_missing(path, tmp_path, capsys):
    np.savez(tmp_path / "rows.npz", x=X, label=X)
    command = ["model", "evaluate", str(path), str(tmp_path / "rows.npz")]
    assert main(command) == 1
    assert "--constant rate=VALUE" in capsys.readouterr().err
    assert main([*command, "--constant", "rate=1", "--constant", "state=0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]
    explain = ["model", "explain", str(path), "[1, 1]", "--background", str(tmp_path / "rows.npz")]
    flags = ["--constant", "rate=2", "--constant", "state=0", "--method", "exact", "--index", "0", "--json"]
    assert main([*explain, *flags]) == 0
    weights = [one["weight"] for one in json.loads(capsys.readouterr().out)["features"]]
    assert weights == pytest.approx([2 * (1 - X[:, 0].mean()), 0])
