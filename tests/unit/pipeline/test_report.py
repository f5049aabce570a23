"""Reports: JSON that every reader takes, Markdown that lines up, files where they were asked for."""

import argparse
import json

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.report.progress import track
from modelservice_pipeline.report.report import Report, check_output, emit, table

REPORT = Report("Of spam", {"f1": 0.5, "name": "höher"}, ["one", "two"], {"curve.png": b"\x89PNG"})


def test_table_lines_up_and_numbers_stand_right():
    assert table(("name", "f1"), [("a|b\nc", "0.5"), ("d", "10.25")]).splitlines() == [
        "| name   |    f1 |",
        "|--------|------:|",
        "| a\\|b c |   0.5 |",
        "| d      | 10.25 |",
    ]


def test_report_is_printed_and_written(tmp_path, capsys):
    emit(REPORT, argparse.Namespace(json=True, output=tmp_path / "new"))
    assert json.loads(capsys.readouterr().out) == REPORT.facts
    assert json.loads((tmp_path / "new/report.json").read_text(encoding="utf-8")) == REPORT.facts
    assert (tmp_path / "new/report.md").read_text(encoding="utf-8") == "# Of spam\n\none\n\ntwo\n"
    assert (tmp_path / "new/curve.png").read_bytes() == b"\x89PNG"
    emit(REPORT, argparse.Namespace(json=False, output=None))
    assert capsys.readouterr().out == REPORT.to_markdown()


def test_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"cannot write .*file"):
        emit(REPORT, argparse.Namespace(json=True, output=tmp_path / "file"))


def test_report_never_takes_the_place_of_another_step_s(tmp_path, capsys):
    converted, measured = (
        argparse.Namespace(step=step, json=True, output=tmp_path) for step in ("convert", "evaluate")
    )
    emit(REPORT, converted)
    assert json.loads(capsys.readouterr().out) == {"step": "convert", **REPORT.facts}
    check_output(converted)
    with pytest.raises(
        PipelineError, match=r"is a report of 'convert', .* give another folder, such as .*evaluate"
    ):
        check_output(measured)
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(PipelineError, match="is a file of something else"):
        check_output(measured)
    check_output(argparse.Namespace(step="evaluate", output=tmp_path / "evaluate"))
    check_output(argparse.Namespace(step="card"))


def test_nan_never_reaches_json():
    with pytest.raises(ValueError, match="JSON"):
        Report("x", {"f1": float("nan")}).to_json()


def test_track_yields_everything_and_keeps_standard_output_clean(capsys, monkeypatch):
    monkeypatch.setattr("modelservice_pipeline.report.progress._SECONDS_BETWEEN_LINES", 0.0)
    assert list(track([3, 1, 2], "Counting")) == [3, 1, 2]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["Counting: 1 of 3", "Counting: 2 of 3", "Counting: 3 of 3"]
