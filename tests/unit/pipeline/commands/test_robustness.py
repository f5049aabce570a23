"""`modelservice model robustness`: its report, verdicts and sentences."""

import json

import pytest
from tests.unit.pipeline.commands.test_evaluate import make_model

from modelservice_cli.main import main


def try_it(capsys, *arguments):
    code = main(["model", "robustness", *map(str, arguments)])
    return code, capsys.readouterr()


@pytest.fixture
def files(tmp_path):
    make_model(tmp_path / "model.onnx")
    (tmp_path / "rows.csv").write_text("x,y,label\n" + "0,0,0\n4,0,1\n0,4,2\n2.1,0,1\n" * 10)
    return tmp_path / "model.onnx", tmp_path / "rows.csv"


def test_rates_and_verdicts_are_in_the_report(files, tmp_path, capsys):
    code, shown = try_it(
        capsys, *files, "--json", "--output", tmp_path / "report", "--max-changed", "noise=0.5"
    )
    facts = json.loads(shown.out)
    assert code == 0
    assert facts["score"] == "accuracy"
    assert facts["score_before"] == 1.0
    names = [one["name"] for one in facts["perturbations"]]
    assert names == ["noise", "mean", "zero", "minus-one", "largest", "smallest", "tiny", "nan", "infinity"]
    assert (tmp_path / "report/report.md").read_text().count("|") > 20
    code, shown = try_it(capsys, *files, "--strength", "1", "--only", "noise", "--max-changed", "noise=0")
    assert code == 3
    assert "allowed 0 %: fails" in shown.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "typo"], "no perturbation 'typo'; there are: typos"),
        (["--max-changed", "noise=5"], "is not NAME=SHARE"),
        (["--strength", "0"], "must be above 0 and at most 1"),
        (["--fuzz"], "--fuzz and --stress need a server"),
        (["--only", "noise", "--max-changed", "typos=0.1"], "changes no row of the data"),
    ],
)
def test_wrong_use_is_a_sentence(files, capsys, flags, message):
    code, shown = try_it(capsys, *files, *flags)
    assert code == 1
    assert message in shown.err


def test_other_machines_are_not_attacked(files, capsys):
    code, shown = try_it(capsys, "http://192.0.2.1/v2/models/m", files[1], "--stress")
    assert code == 1
    assert "--allow-host 192.0.2.1" in shown.err
