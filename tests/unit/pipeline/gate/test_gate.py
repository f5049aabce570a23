"""The Job's own program: two models, rows, and what it tells the operator."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from modelservice_pipeline.gate.__main__ import CANNOT, main

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 200
LEFT_OUT = ("onnx", "sklearn", "rich", "matplotlib", "sacrebleu", "pydantic", "urllib3", "aiohttp")
"""Packages that the runtime's image lacks, or that nothing here may need."""


def write_model(path: Path, sign: float, threshold: float = 0.0, output: str = "label") -> Path:
    """A model of one number x that answers whether `sign` times it is above a threshold."""
    text = f"""
    <ir_version: 9, opset_import: ["" : 17]>
    g (float[N, 1] x) => (int64[N] {output})
    <float[1] sign = {{{sign}}}, float[1] threshold = {{{threshold}}}, int64[1] axis = {{1}}>
    {{
        signed = Mul (x, sign)
        above = Greater (signed, threshold)
        flat = Squeeze (above, axis)
        {output} = Cast <to = 7> (flat)
    }}
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows whose label is whether x is above 0."""
    numbers = np.random.default_rng(7).normal(size=ROWS)
    path = tmp_path / "data" / "rows.csv"
    path.parent.mkdir()
    path.write_text("x,label\n" + "".join(f"{x:.6f},{int(x > 0)}\n" for x in numbers))
    return path


@pytest.fixture
def run(tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program as the Job does; the exit code, and what stands in the termination message."""
    log = tmp_path / "termination-log"

    def run(model: Path, *more: str, data: str = "") -> tuple[int, dict[str, Any]]:
        log.write_text("")
        code = main(
            ["--model", str(model), "--data", data or str(rows), "--termination-log", str(log), *more]
        )
        printed = json.loads(capsys.readouterr().out)
        said: dict[str, Any] = json.loads(log.read_text())
        assert printed == said
        return code, said

    return run


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_better_model_is_measured_beside_the_one_in_use(tmp_path: Path, rows: Path, run: Any) -> None:
    better, worse = write_model(tmp_path / "new.onnx", 1), write_model(tmp_path / "old.onnx", 1, 0.5)

    code, said = run(better, "--stable", str(worse), "--metric", "f1_macro")

    assert (code, said["value"], said["rows"]) == (0, 1.0, ROWS)
    assert said["stable"] < 0.9
    assert said["bound"] < 0
    assert (said["modelSha256"], said["stableSha256"]) == (sha256(better), sha256(worse))
    assert said["dataSha256"] == sha256(rows)


def test_worse_model_has_a_bound_above_its_drop(tmp_path: Path, run: Any) -> None:
    better, worse = write_model(tmp_path / "old.onnx", 1), write_model(tmp_path / "new.onnx", 1, 0.5)

    _, said = run(worse, "--stable", str(better))

    drop = said["stable"] - said["value"]
    assert 0.1 < drop < said["bound"] < drop + 0.1


def test_first_model_has_a_value_alone(tmp_path: Path, run: Any) -> None:
    code, said = run(write_model(tmp_path / "new.onnx", 1))

    assert (code, said["value"], "stable" in said, "bound" in said) == (0, 1.0, False, False)


def test_same_file_is_asked_once_and_has_no_drop(tmp_path: Path, run: Any) -> None:
    model, copy = write_model(tmp_path / "a.onnx", 1, 0.5), write_model(tmp_path / "b" / "b.onnx", 1, 0.5)

    _, said = run(model, "--stable", str(copy))

    assert (said["stable"], said["bound"]) == (said["value"], 0.0)


def test_rows_lie_beside_the_model_where_a_name_has_no_folder(tmp_path: Path, rows: Path, run: Any) -> None:
    write_model(tmp_path / "models" / "1" / "model.onnx", 1)
    rows.rename(tmp_path / "models" / "1" / "rows.csv")

    assert run(tmp_path / "models", data="rows.csv")[0] == 0
    assert run(tmp_path / "models" / "1" / "model.onnx", data="rows.csv")[0] == 0


@pytest.mark.parametrize(
    ("more", "content", "said"),
    [
        (["--data-sha256", "0" * 64], None, "has the SHA-256"),
        (["--label", "spam"], None, "no column 'spam' for the label"),
        (["--output", "other"], None, "no output 'other'"),
        (["--metric", "nonsense"], None, "there is no metric 'nonsense'"),
        ([], "", "is empty"),
        ([], "x,label\n", "has no rows"),
        ([], "x,label\nmuch,1\n", "'much'"),
        ([], "x,label\n1.0,1\nnan,0\n", "column 'x'"),
        ([], "y,label\n1.0,1\n", None),
        (["--metric", "roc_auc"], None, "needs probabilities"),
    ],
)
def test_what_cannot_be_scored_says_why_and_is_not_tried_again(
    tmp_path: Path, rows: Path, run: Any, more: list[str], content: str | None, said: str | None
) -> None:
    if content is not None:
        rows.write_text(content)

    code, outcome = run(write_model(tmp_path / "new.onnx", 1), *more)

    if said is None:
        assert code == 0  # the only column that is left is the only input's
        return
    assert (code, outcome["reason"]) == (CANNOT, "NotScored")
    assert said in outcome["message"]


def test_model_that_is_none_and_folder_without_one_are_told(tmp_path: Path, run: Any) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("no model")

    assert "no ONNX file" in run(tmp_path / "empty")[1]["message"]
    assert "cannot be loaded" in run(tmp_path / "text.onnx")[1]["message"]


def test_model_in_use_that_takes_other_rows_is_named(tmp_path: Path, run: Any) -> None:
    (tmp_path / "old.onnx").write_text("no model")

    _, said = run(write_model(tmp_path / "new.onnx", 1), "--stable", str(tmp_path / "old.onnx"))

    assert said["message"].startswith("the model in use cannot be scored on the same rows")


def test_program_needs_only_what_the_image_of_the_runtime_has(tmp_path: Path, rows: Path) -> None:
    model = write_model(tmp_path / "new.onnx", 1)
    arguments = ["--model", str(model), "--data", str(rows)]
    program = (
        f"import sys\nfor name in {LEFT_OUT}: sys.modules[name] = None\n"
        f"from modelservice_pipeline.gate.__main__ import main\nsys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["value"] == 1.0
