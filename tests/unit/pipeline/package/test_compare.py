"""What differs between two artifacts is told, and nothing else."""

import json
from pathlib import Path

import pytest
from tests.unit.pipeline.package.folders import FILES, NAMED, PLAIN, write

from modelservice_cli.main import main


def diff(capsys: pytest.CaptureFixture[str], *targets: Path) -> dict[str, object]:
    assert main(["model", "diff", *map(str, targets), "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_diff_of_the_same_says_so(capsys, tmp_path: Path) -> None:
    found = diff(capsys, write(tmp_path / "a", FILES), write(tmp_path / "b", FILES))
    assert found["same"] is True
    assert (found["files"], found["tensors"], found["card"]) == ([], {}, {})


def test_diff_tells_files_licence_and_figures(capsys, tmp_path: Path) -> None:
    card = (
        "---\nlicense: mit\nmodel_name: Grüße\ndate: 2026-11-29\nmodel-index: [{name: m, results: [{dataset: "
        "{name: d}, task: {type: t}, metrics: [{type: f1, value: 0.5}]}]}]\n---\n"
    )
    other = {name: data for name, data in FILES.items() if name != "config.json"}
    other |= {"README.md": card.encode(), "new.txt": b"1"}
    found = diff(capsys, write(tmp_path / "a", FILES), write(tmp_path / "b", other))
    changes = {one["path"]: one["change"] for one in found["files"]}
    assert changes == {"README.md": "changed", "config.json": "removed", "new.txt": "added"}
    assert found["figures"] == {"d: f1": [None, 0.5]}
    assert found["card"] == {"date": [None, "2026-11-29"]}


@pytest.mark.parametrize("form", ["modelpack", "image"])
def test_diff_tells_inputs_and_outputs_of_packed_models(capsys, tmp_path: Path, form: str) -> None:
    renamed = PLAIN.replace(b"\x0a\x01x", b"\x0a\x01z").replace(b"\x0a\x01y", b"\x0a\x01q")
    for name, model in (("a", PLAIN), ("b", renamed)):
        write(tmp_path / name, {"model.onnx": model})
        output = str(tmp_path / f"{name}.tar")
        assert main(["model", "package", str(tmp_path / name), "--as", form, "--output", output]) == 0
    capsys.readouterr()
    found = diff(capsys, tmp_path / "a.tar", tmp_path / "b.tar")
    assert found["tensors"] != {}
    assert set(found["tensors"]) <= {"input x", "input z", "output y", "output q"}


def test_diff_with_external_data_reads_the_model_alone(capsys, tmp_path: Path) -> None:
    write(tmp_path / "a", {"model.onnx": NAMED, "model.onnx.data": b"\0" * 16384})
    found = diff(capsys, tmp_path / "a", write(tmp_path / "b", {"model.onnx": PLAIN}))
    assert found["tensors"] == {}
    assert {one["path"] for one in found["files"]} == {"model.onnx", "model.onnx.data"}
