"""`modelservice model evaluate` on real files: its figures, verdicts and sentences."""

import json

import numpy as np
import onnx
import pytest
import sacrebleu
from onnx import TensorProto, helper
from sklearn import metrics as sk

from modelservice_cli.main import main
from modelservice_pipeline.commands.evaluate import tell_apart

CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])


def make_model(path, noise=0.0, output="logits"):
    """Answer the nearest of three centres: logits are minus half the squared distance, and an argmax."""
    generator = np.random.default_rng(7)
    weights = (CENTRES + generator.normal(0, noise, CENTRES.shape) if noise else CENTRES).T.astype(np.float32)
    bias = -(CENTRES**2).sum(axis=1).astype(np.float32) / 2
    nodes = [
        helper.make_node("Gemm", ["X", "w", "b"], [output]),
        helper.make_node("ArgMax", [output], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "centres",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", 3]),
        ],
        [
            helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel()),
            helper.make_tensor("b", TensorProto.FLOAT, bias.shape, bias),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return weights, bias


@pytest.fixture
def rows(tmp_path):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 300)
    points = CENTRES[labels] + generator.normal(0, 1.2, (300, 2))
    sides = ["north" if y > 1 else "south" for y in points[:, 1]]
    columns = zip(points.tolist(), labels, sides, strict=True)
    lines = [f"{x},{y},{label},{side}" for (x, y), label, side in columns]
    (tmp_path / "rows.csv").write_text("x,y,label,side\n" + "\n".join(lines) + "\n")
    return points.astype(np.float32), labels


def evaluate(capsys, *arguments):
    code = main(["model", "evaluate", *map(str, arguments), "--resamples", "300"])
    return code, capsys.readouterr()


def test_figures_are_those_of_scikit_learn(tmp_path, rows, capsys):
    weights, bias = make_model(tmp_path / "model.onnx")
    code, shown = evaluate(
        capsys, tmp_path / "model.onnx", tmp_path / "rows.csv", "--slice", "side", "--folds", 4,
        "--leave-one-out", "--output", tmp_path / "report", "--json",
    )  # fmt: skip
    facts = json.loads(shown.out)
    assert code == 0
    points, labels = rows
    logits = points @ weights + bias
    predicted = logits.argmax(axis=1)
    figures = {name: figure["value"] for name, figure in facts["figures"].items()}
    assert figures["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert figures["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, softmax, multi_class="ovr"), abs=1e-6)
    assert figures["log_loss"] == pytest.approx(sk.log_loss(labels, softmax), abs=1e-6)
    assert facts["confusion"]["matrix"] == sk.confusion_matrix(labels, predicted).tolist()
    north = points[:, 1] > 1
    by_side = {part["value"]: part for part in facts["slices"]["side"]}
    assert by_side["north"]["figures"]["accuracy"] == pytest.approx(
        sk.accuracy_score(labels[north], predicted[north])
    )
    assert sum(part["rows"] for part in facts["folds"]["parts"]) == 300
    assert facts["figures"]["f1"]["low"] < figures["f1"] < facts["figures"]["f1"]["high"]
    pictures = sorted(path.name for path in (tmp_path / "report").glob("*.png"))
    assert pictures == ["confusion.png", "curves.png", "reliability.png"]
    assert all((tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert json.loads((tmp_path / "report/report.json").read_text()) == facts


def test_two_models_are_compared_on_the_same_rows_and_judged(tmp_path, rows, capsys):
    make_model(tmp_path / "model.onnx")
    make_model(tmp_path / "worse.onnx", noise=1.5)
    names = (tmp_path / "model.onnx", tmp_path / "rows.csv", tmp_path / "worse.onnx", "--ignore", "side")
    code, shown = evaluate(capsys, *names, "--max-drop", "f1=0.01", "--at-least", "accuracy=0.2", "--json")
    facts = json.loads(shown.out)
    assert code == 3
    f1 = next(one for one in facts["comparison"] if one["metric"] == "f1")
    assert 0 < f1["drop"] < f1["bound"]
    assert [verdict["holds"] for verdict in facts["verdicts"]] == [True, False]
    code, shown = evaluate(capsys, *names, "--max-drop", "f1=0.9")
    assert code == 0
    assert "f1 drops by" in shown.out


def test_part_and_sample_choose_rows(tmp_path, rows, capsys):
    make_model(tmp_path / "model.onnx")
    counts = []
    for part in ("0:0.5", "0.5:1"):
        shown = evaluate(
            capsys,
            tmp_path / "model.onnx",
            tmp_path / "rows.csv",
            "--ignore",
            "side",
            "--part",
            part,
            "--json",
        )
        counts.append(json.loads(shown[1].out)["data"]["rows"])
    assert sum(counts) == 300
    assert 100 < counts[0] < 200
    _, shown = evaluate(
        capsys, tmp_path / "model.onnx", tmp_path / "rows.csv", "--ignore", "side", "--rows", 40, "--json"
    )
    assert json.loads(shown.out)["data"]["rows"] == 40


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label", "kind"], "no column 'kind' for the label; its columns are: x, y, label, side"),
        ([], "has 3 columns: x, y, side; leave some out with --ignore COLUMN"),
        (["--ignore", "side", "--folds", "1"], "--folds 1: must be at least 2"),
        (["--ignore", "side", "--positive", "9"], "no such class; there are: 0, 1, 2"),
        (["--ignore", "side", "--at-least", "f1"], "is not METRIC=VALUE"),
        (["--ignore", "side", "--at-least", "mae=1"], "these answers have no such figure"),
        (["--ignore", "side", "--max-drop", "f1=0"], "give MODEL2 after DATA"),
        (["--ignore", "side", "--confidence", "95"], "must be at least 0.5 and below 1"),
        (["--ignore", "side", "--rows", "0"], "must be at least 1"),
    ],
)
def test_wrong_use_is_a_sentence(tmp_path, rows, capsys, flags, message):
    make_model(tmp_path / "model.onnx")
    code, shown = evaluate(capsys, tmp_path / "model.onnx", tmp_path / "rows.csv", *flags)
    assert code == 1
    assert message in shown.err
    assert shown.out == ""


def test_one_class_alone_gives_the_figures_that_have_a_meaning(tmp_path, rows, capsys):
    make_model(tmp_path / "model.onnx")
    (tmp_path / "one.csv").write_text("x,y,label\n0,0,0\n1,0,0\n")
    code, shown = evaluate(capsys, tmp_path / "model.onnx", tmp_path / "one.csv", "--json")
    figures = json.loads(shown.out)["figures"]
    assert code == 0
    assert figures["accuracy"]["value"] == 1.0
    assert figures["roc_auc"]["value"] is None


def test_many_rows_are_not_left_out_one_by_one(tmp_path, capsys):
    make_model(tmp_path / "model.onnx")
    (tmp_path / "rows.csv").write_text("x,y,label\n" + "0,0,0\n" * 5001)
    code, shown = evaluate(capsys, tmp_path / "model.onnx", tmp_path / "rows.csv", "--leave-one-out")
    assert code == 1
    assert "choose some at random with --rows N" in shown.err


def test_texts_are_scored_as_sacrebleu_does(tmp_path, capsys):
    port = [
        helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("text", "translation")
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["text"], ["translation"])], "echo", port[:1], port[1:]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9),
        tmp_path / "echo.onnx",
    )
    pairs = [
        ("Das ist ein Haus.", "Das ist das Haus."),
        ("Guten Tag", "Guten Tag"),
        ("ja", "nein, danke sehr"),
    ]
    lines = [json.dumps({"text": said, "target": wanted}) for said, wanted in pairs]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    code, shown = evaluate(capsys, tmp_path / "echo.onnx", tmp_path / "rows.jsonl", "--json")
    facts = json.loads(shown.out)
    said, wanted = map(list, zip(*pairs, strict=True))
    assert (code, facts["task"]) == (0, "text")
    assert facts["figures"]["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(said, [wanted]).score)
    assert facts["figures"]["chrf"]["value"] == pytest.approx(sacrebleu.corpus_chrf(said, [wanted]).score)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("old/model.onnx", "new/model.onnx", ("old/model.onnx", "new/model.onnx")),
        ("a/1/model.onnx", "b/1/model.onnx", ("a/1/model.onnx", "b/1/model.onnx")),
        ("model.onnx", "new/model.onnx", ("model.onnx", "new/model.onnx")),
        ("old.onnx", "folder/new.onnx", ("old.onnx", "new.onnx")),
        ("a.onnx", "a.onnx", ("MODEL", "MODEL2")),
    ],
)
def test_two_models_are_told_apart_by_their_paths(first, second, names):
    assert tell_apart(first, second) == names


def test_order_of_the_columns_is_told_of_each_model_that_names_none(tmp_path, rows, capsys):
    make_model(tmp_path / "named.onnx")
    named = onnx.load(tmp_path / "named.onnx")
    helper.set_model_props(named, {"features": json.dumps(["y", "x"])})
    onnx.save(named, tmp_path / "named.onnx")
    make_model(tmp_path / "model.onnx")
    paths = tmp_path / "named.onnx", tmp_path / "rows.csv", tmp_path / "model.onnx"
    code, shown = evaluate(capsys, *paths, "--ignore", "side", "--json")
    assert code == 0, shown.err
    facts = json.loads(shown.out)
    said = (
        "the names of the features of X are not known: its columns are taken in the order of the file, x, y"
    )
    assert said not in facts["notes"]
    assert said in facts["candidate"]["notes"]
    # Its file says that y comes first, so it is asked with the two exchanged.
    assert facts["figures"]["accuracy"]["value"] < facts["candidate"]["figures"]["accuracy"]["value"]
    code, shown = evaluate(capsys, *paths, "--ignore", "side")
    assert f"- model.onnx: {said}" in shown.out


@pytest.mark.parametrize("label", ["1e308", "-1e308", "1e200"])
def test_huge_labels_give_narrow_tables_and_no_warning(tmp_path, label, capsys):
    text = '<ir_version: 9, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) { y = Identity (x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    (tmp_path / "rows.csv").write_text(f"x,label\n1,{label}\n2,2.5\n3,4\n")
    arguments = [tmp_path / "rows.csv", tmp_path / "model.onnx", "--task", "regression", "--folds", 3]
    limits = ["--leave-one-out", "--at-least", "mae=1", "--max-drop", "mae=1"]
    code, shown = evaluate(capsys, tmp_path / "model.onnx", *arguments, *limits)
    assert code == 3
    assert "Warning" not in shown.err
    assert max(map(len, shown.out.splitlines())) < 150
    limits += ["--output", tmp_path / "report", "--json"]
    code, shown = evaluate(capsys, tmp_path / "model.onnx", *arguments, *limits)
    facts = json.loads(shown.out)
    assert facts["figures"]["mae"]["value"] == pytest.approx(abs(float(label)) / 3)


def test_models_that_answer_texts_and_numbers_are_not_compared(tmp_path, capsys):
    for name, kind in (("texts", 8), ("numbers", 7)):
        answer = "string" if kind == 8 else "int64"
        graph = f"g (int64[N] x) => ({answer}[N] label) {{ label = Cast <to = {kind}> (x) }}"
        text = f'<ir_version: 9, opset_import: ["" : 17]> {graph}'
        onnx.save(onnx.parser.parse_model(text), tmp_path / f"{name}.onnx")
    (tmp_path / "rows.csv").write_text("x,label\n1,1\n2,2\n1,1\n")
    models = (tmp_path / "texts.onnx", tmp_path / "rows.csv", tmp_path / "numbers.onnx")
    code, shown = evaluate(capsys, *models)
    assert code != 0
    assert "to one model the first label is '1', and 1 to the other: compare models that" in shown.err
    code, shown = evaluate(capsys, models[2], models[1], "--json")
    assert json.loads(shown.out)["figures"]["accuracy"]["value"] == 1.0
