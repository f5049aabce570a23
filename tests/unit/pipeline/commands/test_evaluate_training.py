"""`modelservice model evaluate --folds K --train COMMAND`: models on rows that they have not seen."""

import json
import subprocess
import sys

import numpy as np
import pytest

from modelservice_cli.main import main
from modelservice_pipeline.data.load import read_table
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.data.write import write_rows
from modelservice_pipeline.errors import PipelineError

# Remembers: answers the label that a number had in training, 99 for numbers that it has not seen.
TRAINER = """
import csv, sys
import onnx
from onnx import TensorProto, helper

with open(sys.argv[1]) as file:
    rows = [(int(row["x"]), int(row["label"])) for row in csv.DictReader(file)]
node = helper.make_node("LabelEncoder", ["x"], ["label"], domain="ai.onnx.ml", default_int64=99,
    keys_int64s=[x for x, _ in rows], values_int64s=[label for _, label in rows])
ports = [[helper.make_tensor_value_info(name, TensorProto.INT64, ["n"])] for name in ("x", "label")]
graph = helper.make_graph([node], "memory", *ports)
opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), sys.argv[2])
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    (folder / "train.py").write_text(TRAINER)
    lines = [f"{x},{x % 2},{x // 10}" for x in range(60) for _ in range(2)]
    (folder / "rows.csv").write_text("x,label,group\n" + "\n".join(lines) + "\n")
    command = [sys.executable, folder / "train.py", folder / "rows.csv", folder / "model.onnx"]
    subprocess.run(command, check=True)
    return folder


def evaluate(work, capsys, *flags):
    files = [str(work / name) for name in ("model.onnx", "rows.csv")]
    code = main(["model", "evaluate", *files, "--resamples", "50", *map(str, flags), "--json"])
    return code, capsys.readouterr()


def test_each_fold_is_judged_by_a_model_that_has_not_seen_it(work, capsys):
    command = f"{sys.executable} {work / 'train.py'} {{data}} {{model}}"
    code, shown = evaluate(work, capsys, "--folds", 3, "--train", command, "--key", "x")
    facts = json.loads(shown.out)
    assert code == 0
    assert facts["figures"]["accuracy"]["value"] == 1.0  # the model itself remembers all rows
    assert facts["folds"]["trained"]
    assert sum(part["rows"] for part in facts["folds"]["parts"]) == 120
    assert facts["folds"]["summary"]["accuracy"]["greatest"] == 0.0  # rows of a key are all in one fold


def test_folds_without_training_are_of_the_same_model(work, capsys):
    facts = json.loads(evaluate(work, capsys, "--folds", 3, "--ignore", "group")[1].out)
    assert not facts["folds"]["trained"]
    assert facts["folds"]["summary"]["accuracy"]["least"] == 1.0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train", "x {data} {model}"], "--train needs --folds K"),
        (["--folds", "3", "--train", "python {data}"], "has no {model}"),
        (["--folds", "3", "--train", "no-such-program {data} {model}"], "cannot run no-such-program"),
        (["--folds", "3", "--train", "false {data} {model}"], "ended with 1"),
        (["--folds", "3", "--train", "true {data} {model}"], "wrote no"),
        (["--folds", "3", "--rows", "5", "--train", "true {data} {model}"], "leave out --part and --rows"),
        (["--folds", "50", "--key", "group", "--train", "true {data} {model}"], "too few for so many folds"),
    ],
)
def test_wrong_training_is_a_sentence(work, capsys, flags, message):
    ignored = [] if "--key" in flags else ["--ignore", "group"]
    code, shown = evaluate(work, capsys, *ignored, *flags)
    assert code == 1
    assert message in shown.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,n\n"two\nlines, ""x""",1\nplain,2\n,3\n'),
        ("a.tsv", "text\tn\na\t1\nb\t2\nc\t3\n"),
        ("a.jsonl", '{"text": "é", "n": [1, 2]}\n{"text": "b", "n": [3, 4]}\n{"n": [5, 6]}\n'),
    ],
)
def test_written_rows_are_read_as_they_were(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    table = read_table(tmp_path / name, DataOptions())
    again = read_table(write_rows(table, np.array([0, 2]), tmp_path, "part"), DataOptions())
    assert {key: column.tolist() for key, column in again.columns.items()} == {
        key: column[[0, 2]].tolist() for key, column in table.columns.items()
    }


def test_written_arrays_are_read_as_they_were(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(12).reshape(3, 2, 2), text=np.array(["a", "b", "ü"]))
    table = read_table(tmp_path / "a.npz", DataOptions())
    again = read_table(write_rows(table, np.array([2]), tmp_path, "part"), DataOptions())
    assert again.columns["x"].tolist() == [[[8, 9], [10, 11]]]
    assert again.columns["text"].tolist() == ["ü"]
    with pytest.raises(PipelineError, match="cannot be written again"):
        write_rows(
            type(table)(tmp_path / "x-ubyte", table.columns, None, ""), np.array([0]), tmp_path, "part"
        )
