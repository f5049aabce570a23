import argparse
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.runtime.server_thread import ServerThread

from modelservice_pipeline.commands import explain
from modelservice_pipeline.errors import PipelineError


def run(*words: str | Path) -> None:
    parser = argparse.ArgumentParser()
    explain.add_arguments(parser)
    assert explain.run(parser.parse_args([str(word) for word in words])) == 0


@pytest.fixture(scope="module")
def prizes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of texts: 1 where the word prize is anywhere in one."""
    path = tmp_path_factory.mktemp("model") / "prizes.onnx"
    nodes = [
        helper.make_node("RegexFullMatch", ["text"], ["matches"], pattern="(?s).*prize.*"),
        helper.make_node("Cast", ["matches"], ["p"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "prizes",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n", 1])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("one,two,three,four,label\n" + "1,2,3,4,0\n0.5,-1,2,0,1\n-3,0,0,1,1\n")
    return path


@pytest.mark.parametrize("method", ["lime", "shap", "exact"])
def test_a_file_and_an_endpoint_have_the_same_explanation(
    server: ServerThread,
    model_files: dict[str, Path],
    rows: Path,
    method: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found: list[dict[str, Any]] = []
    for target in (model_files["mlp"], f"http://127.0.0.1:{server.port}/v2/models/mlp"):
        run(target, "--background", rows, "--row", "1", "--method", method, "--json")
        found.append(json.loads(capsys.readouterr().out))
    file, endpoint = found
    assert [one["name"] for one in file["features"]] == ["one", "two", "three", "four"]
    assert [one["value"] for one in file["features"]] == ["0.5", "-1", "2", "0"]
    for mine, theirs in zip(file["features"], endpoint["features"], strict=True):
        assert mine["weight"] == pytest.approx(theirs["weight"], abs=1e-5)
    assert file["prediction"] == pytest.approx(endpoint["prediction"], rel=1e-5)


def test_a_text_is_explained_and_written_as_table_page_and_picture(
    prizes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(prizes, "claim <b>your</b> prize", "--method", "exact", "--output", tmp_path)
    printed = capsys.readouterr().out
    assert "| prize   | +1.0000 |" in printed
    assert json.loads((tmp_path / "report.json").read_text())["additivityError"] == 0
    assert "&lt;b&gt;" in (tmp_path / "explanation.html").read_text()
    assert (tmp_path / "explanation.png").read_bytes().startswith(b"\x89PNG")


def test_an_input_may_be_in_a_file(prizes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("a prize\nfor you")
    run(prizes, "--input-file", tmp_path / "text", "--method", "shap", "--json")
    assert json.loads(capsys.readouterr().out)["features"][1] == {"name": "prize", "value": "", "weight": 1.0}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "give one input"),
        (("text", "--row", "0"), "give one input"),
        (("--row", "0"), "--row needs --background"),
        (("text", "--samples", "1"), "--samples 1: must be at least 2"),
        (("--input-file", "nowhere"), "cannot read nowhere"),
        (("text", "--answer", "q"), "choose of 'p'"),
        (("...", "--method", "exact", "--index", "5"), "from 0 to 0"),
    ],
)
def test_wrong_usage_is_told(prizes: Path, flags: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        run(prizes, *flags)


def test_a_row_that_is_no_json_or_not_there_is_told(model_files: dict[str, Path], rows: Path) -> None:
    with pytest.raises(PipelineError, match="give a row as a list of numbers, or as an object with 'x'"):
        run(model_files["mlp"], "1 2 3 4", "--background", rows)
    for deep in ("[" * 100_000, "[" * 3000 + "]" * 3000, "[" * 1500 + "]" * 1500):
        with pytest.raises(PipelineError, match=r"no JSON|nested too deeply|different lengths|numbers"):
            run(model_files["mlp"], deep, "--background", rows)
    with pytest.raises(PipelineError, match="the background has 3 rows"):
        run(model_files["mlp"], "--background", rows, "--row", "3")


def test_a_row_of_texts_is_explained_by_its_words(
    prizes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.csv").write_text('text,label\n"hello",0\n"a prize, really",1\n')
    run(prizes, "--background", tmp_path / "texts.csv", "--row", "1", "--method", "exact", "--json")
    features = json.loads(capsys.readouterr().out)["features"]
    assert [(one["name"], one["weight"]) for one in features] == [("a", 0), ("prize", 1), ("really", 0)]
