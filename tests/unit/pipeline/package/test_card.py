"""Cards as the Hub's own library reads them, whatever stands in names and reports."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.pipeline.package.folders import FILES, MIT, PLAIN, write

from modelservice_cli.main import main
from modelservice_pipeline.package.card import BEGIN, END, plain
from modelservice_pipeline.package.front_matter import split_card

REPORT = {
    "model": "model.onnx",
    "task": "classification",
    "data": {"name": "test | rows <1>.csv", "sha256": "e" * 64, "rows": 120},
    "confidence": 0.95,
    "figures": {
        "accuracy": {"value": 0.975, "low": 0.95, "high": 0.99},
        "f1_macro": {"value": 0.9612345678, "low": 0.93, "high": 0.98},
        "roc_auc": {"value": None, "low": None, "high": None},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {name: data for name, data in FILES.items() if name not in ("README.md", "LICENSE")}
    return write(tmp_path / "spam", files | {"evaluation/report.json": json.dumps(REPORT).encode()})


def card(folder: Path, *arguments: str) -> str:
    assert main(["model", "card", str(folder), *arguments]) == 0
    return (folder / "README.md").read_text(encoding="utf-8")


def test_card_is_read_by_the_hub_with_its_figures(folder: Path) -> None:
    text = card(folder, "--license", "Apache-2.0", "--title", "Spam: 'yes' | [no] #1", "--tag", "sms")
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.tags) == ("apache-2.0", "onnx", ["onnx", "sms"])
    assert data.model_name == "Spam: 'yes' | [no] #1"
    assert data.pipeline_tag == "tabular-classification"
    found = {(one.metric_type, one.metric_value, one.dataset_name) for one in data.eval_results}
    name = "test | rows <1>.csv"
    assert found == {("accuracy", 0.975, name), ("f1", 0.961235, name)}
    assert "0.9750 | 0.9500 to 0.9900" in " ".join(text.split())


def test_card_written_again_is_the_same(folder: Path) -> None:
    assert card(folder, "--license", "mit") == card(folder)


def test_card_keeps_what_a_person_wrote(folder: Path) -> None:
    index = [{"name": "other", "results": []}]
    metadata = {
        "license": "MIT",
        "base_model": "mine",
        "tags": ["a"],
        "model-index": index,
        "model_name": "s",
    }
    own = f"---\n{yaml.safe_dump(metadata)}---\n# Mine\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
    (folder / "README.md").write_text(own)
    found, body = split_card(card(folder, "--tag", "b"))
    assert (found["license"], found["base_model"], found["tags"]) == ("MIT", "mine", ["a", "onnx", "b"])
    assert [entry["name"] for entry in found["model-index"]] == ["other", "s"]
    assert body.startswith("# Mine\n\nBefore.\n")
    assert body.endswith("\n\nAfter.\n")
    assert "\nold\n" not in body


def test_card_takes_the_licence_of_a_text(folder: Path) -> None:
    (folder / "LICENSE").write_text(MIT)
    assert split_card(card(folder))[0]["license"] == "mit"


def test_card_of_licences_to_choose_from_is_a_list(folder: Path) -> None:
    assert split_card(card(folder, "--license", "MIT OR Apache-2.0"))[0]["license"] == ["mit", "apache-2.0"]


@pytest.mark.parametrize("text", ["[", "{}", '{"figures": {}}', "\xff"])
def test_card_of_a_report_that_is_none_says_so(folder: Path, text: str, capsys) -> None:
    (folder.parent / "other.json").write_bytes(text.encode("latin-1"))
    assert main(["model", "card", str(folder), "--report", str(folder.parent / "other.json")]) == 1
    assert "other.json" in capsys.readouterr().err


def test_card_of_a_file_says_that_it_needs_a_folder(folder: Path, capsys) -> None:
    assert main(["model", "card", str(folder / "model.onnx")]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_card_passes_over_reports_of_other_commands(folder: Path) -> None:
    (folder / "report.json").write_text('{"framework": "sklearn", "versions": {}}')
    assert len(ModelCard(card(folder, "--license", "mit")).data.eval_results) == 2


def test_card_counts_an_evaluation_once_wherever_its_report_lies(folder: Path) -> None:
    (folder / "report.json").write_text(json.dumps(REPORT))
    assert card(folder).count("## Evaluation on") == 1


def test_card_of_many_classes_says_each_mean_once(folder: Path) -> None:
    mean = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = (
        "accuracy",
        *(f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_macro")),
    )
    report = REPORT | {"positive": None, "figures": dict.fromkeys(names, mean)}
    (folder / "evaluation/report.json").write_text(json.dumps(report))
    assert len(ModelCard(card(folder)).data.eval_results) == 4
    (folder / "evaluation/report.json").write_text(json.dumps(report | {"positive": "yes"}))
    assert len(ModelCard(card(folder)).data.eval_results) == 7


@given(st.text(max_size=30))
def test_plain_is_one_line_without_markup(text: str) -> None:
    assert len(plain(text).splitlines()) <= 1
    assert "](" not in plain(text).replace("\\]", "").replace("\\[", "")


def test_card_of_another_model_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card(folder, "--license", "mit")
    capsys.readouterr()
    assert main(["model", "package", str(folder)]) == 0
    assert "another model" not in capsys.readouterr().err
    write(folder, {"model.onnx": PLAIN})
    assert main(["model", "package", str(folder)]) == 0
    assert "README.md tells of another model" in capsys.readouterr().err
