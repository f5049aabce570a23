"""The command as a user runs it, with the real server: numbers, texts, and models that cannot gain."""

import json
import os
import signal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.pipeline.compress.conftest import make_model, make_network, make_rows

from modelservice_cli.main import main
from modelservice_pipeline.compress import measure, prune, student
from modelservice_pipeline.compress.served import ended_by_exception
from modelservice_pipeline.model.session import OnnxModel


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(measure, "_SECONDS", 0.0)
    monkeypatch.setattr(measure, "_LEAST_ROUNDS", 1)
    monkeypatch.setattr(prune, "_STEPS", 100)
    monkeypatch.setattr(student, "_STEPS", 100)


def run(capsys, *arguments):
    code = main(["model", "compress", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def clear_rows(model, count):
    """Rows that the model is surest of, and their classes: CPUs without VNNI round 8-bit sums otherwise."""
    rows = make_rows(10 * count)
    chances = model.run({"x": rows})["p"]
    first, second = np.sort(chances, axis=1)[:, :-3:-1].T
    surest = np.sort(np.argsort(first - second)[-count:])
    return rows[surest], chances[surest].argmax(axis=1)


def make_text_model():
    """Counts letters of a text (Tokenizer splits it), and embeds the count."""
    chance = np.random.default_rng(0)
    names = [chr(97 + letter) for letter in range(26)]
    nodes = [
        helper.make_node(
            "Tokenizer", ["text"], ["letters"], domain="com.microsoft",
            mark=0, mincharnum=1, pad_value="~", tokenexp=".",
        ),
        helper.make_node(
            "LabelEncoder", ["letters"], ["ids"], domain="ai.onnx.ml",
            keys_strings=names, values_int64s=list(range(26)), default_int64=26,
        ),
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["embedding"]),
    ]  # fmt: skip
    weights = [
        numpy_helper.from_array(chance.normal(size=(27, 128)).astype(np.float32), "table"),
        numpy_helper.from_array(chance.normal(size=(128, 128)).astype(np.float32), "weight"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 128])],
        weights,
    )
    opsets = [helper.make_opsetid(*one) for one in (("", 17), ("ai.onnx.ml", 2), ("com.microsoft", 1))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_smallest_file_of_a_network_is_kept_with_its_report(tmp_path, capsys, quantizer_here):
    network = make_network((16, 192, 192, 4))
    helper.set_model_props(network, {"features": json.dumps([f"f{place}" for place in range(16)])})
    onnx.save(network, tmp_path / "m.onnx")
    rows, labels = clear_rows(OnnxModel(tmp_path / "m.onnx"), 300)
    np.savez(tmp_path / "d.npz", x=rows, label=labels)
    code, out, err = run(
        capsys, tmp_path / "m.onnx", tmp_path / "d.npz", "--metric", "f1", "--max-drop", "0.05",
        "--objective", "size", "--output", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(out)
    by_name = {one["name"]: one for one in facts["candidates"]}
    assert {"int8-dynamic", "int8-static", "pruned-half", "student"} <= set(by_name)
    assert by_name["int8-dynamic"]["times_smaller"] > 3.5
    assert by_name["int8-dynamic"]["original_figure"] == 1.0
    assert by_name["int8-dynamic"]["speed"]["rows"] == 1
    chosen = by_name[facts["chosen"]]
    assert chosen["drop_bound"] <= 0.05
    assert chosen["bytes"] == (tmp_path / "out/model.onnx").stat().st_size
    assert (tmp_path / "out/compress.png").is_file()
    kept = OnnxModel(tmp_path / "out/model.onnx")
    assert kept.outputs == OnnxModel(tmp_path / "m.onnx").outputs
    assert kept.inputs[0].names == tuple(f"f{place}" for place in range(16))


def test_model_of_texts_is_compressed(tmp_path, capsys):
    onnx.save(make_text_model(), tmp_path / "m.onnx")
    texts = ["some words", "", "naïve 日本", "abc", "zebra crossing"] * 10
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    code, out, err = run(
        capsys, tmp_path / "m.onnx", tmp_path / "d.jsonl", "--calibration", tmp_path / "d.jsonl",
        "--metric", "cosine", "--max-drop", "0.05", "--objective", "size", "--json",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(out)
    by_name = {one["name"]: one for one in facts["candidates"]}
    assert by_name["int8-dynamic"]["figure"] > 0.99
    assert facts["chosen"] is not None


def test_original_is_kept_as_it_is_where_nothing_can_gain(tmp_path, capsys):
    weight = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    model = make_model(
        [helper.make_node("Add", ["x", "w"], ["y"])], [("x", ["n", 4])], [("y", ["n", 4])], [weight]
    )
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=make_rows(50, 4))
    code, out, _ = run(capsys, tmp_path / "m.onnx", tmp_path / "d.npz", "--output", tmp_path / "out")
    assert code == 0
    assert "The original stays" in out
    assert (tmp_path / "out/model.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--metric", "f1"), "needs labels"),
        (("--metric", "nonsense"), "no metric 'nonsense'"),
        (("--max-drop", "-1"), "--max-drop"),
        (("--threads", "0"), "--threads"),
        (("--rows", "1"), "too few"),
        (("--calibration", "missing.npz"), "missing.npz"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_made(tmp_path, capsys, network, flags, said):
    np.savez(tmp_path / "d.npz", x=make_rows(50))
    code, out, err = run(capsys, network, tmp_path / "d.npz", *flags)
    assert code != 0
    assert out == ""
    assert said in err


def test_labels_that_no_answer_equals_judge_nothing(tmp_path, capsys, network):
    rows = make_rows(50)
    (scores,) = OnnxModel(network).run({"x": rows}).values()
    np.savez(tmp_path / "d.npz", x=rows, label=scores.argmin(axis=1))
    code, _, err = run(capsys, network, tmp_path / "d.npz", "--output", tmp_path / "out")
    assert code != 0
    assert "the original's f1 on these rows is 0" in err
    assert not (tmp_path / "out").exists()


def test_end_by_a_signal_runs_through_the_blocks_that_end_servers():
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def serve_until_killed():
        with ended_by_exception():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                cleaned.append(True)

    with pytest.raises(SystemExit, match="143"):
        serve_until_killed()
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before
