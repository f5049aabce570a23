"""The translator learns from a slice; the file that is served writes what torch writes."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hack.local_server import serve

ARGUMENTS = (
    "--pairs",
    "800",
    "--hidden",
    "64",
    "--vocabulary",
    "600",
    "--epochs",
    "8",
    "--minimum-bleu",
    "0",
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translator")


@pytest.fixture(scope="module")
def report(train, output) -> dict[str, Any]:
    report, _ = train("13-translator", output, *ARGUMENTS)
    return report


def test_train_a_slice_both_losses_fall(report):
    first, last = report["progress"][0], report["progress"][-1]
    assert last["loss"] < first["loss"] - 1
    assert last["guidance"] < first["guidance"]


def test_train_a_slice_every_string_is_torchs(report):
    """The training itself fails where one differs, alone or in a batch."""
    assert report["parity"]["texts"] > 40


def test_served_translator_answers_each_of_many_clients_as_torch_does(report, output, ask):
    lines = (output / "translations.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({row["translation"] for row in rows}) > 5
    with serve(output / "model.onnx") as url:

        def translate(texts: list[str]) -> list[str]:
            return ask(url, {"text": texts})

        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda row: translate([row["text"]]), rows))
        assert answers == [[row["translation"]] for row in rows]
        assert translate(["", rows[0]["text"], " "]) == ["", rows[0]["translation"], ""]
