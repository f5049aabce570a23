"""The language model learns from a slice; the file that is served draws texts as its settings say."""

from pathlib import Path
from typing import Any

import pytest
from hack.local_server import serve

ARGUMENTS = ("--texts", "800", "--width", "64", "--vocabulary", "500", "--epochs", "5", "--held-out", "60")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generate")


@pytest.fixture(scope="module")
def report(train, output) -> dict[str, Any]:
    report, _ = train("14-generate", output, *ARGUMENTS)
    return report


def test_train_a_slice_loss_falls(report):
    assert report["losses"][-1] < report["losses"][0] - 0.3
    assert report["parity"]["prompts"] > 40


def test_served_writer_draws_by_its_settings(report, output, ask):
    with serve(output / "model.onnx") as url:

        def complete(prompts: list[str], seeds: list[int], top_k: int = 0, most: int = 12) -> list[str]:
            count = len(prompts)
            inputs = {
                "prompt": prompts,
                "max_tokens": [most] * count,
                "temperature": [1.0] * count,
                "top_k": [top_k] * count,
                "seed": seeds,
            }
            return ask(url, inputs)

        seeds = list(range(20))
        drawn = complete(["Click"] * 20, seeds)
        assert len(set(drawn)) > 10
        assert drawn == [complete(["Click"], [seed])[0] for seed in seeds]
        assert len(set(complete(["Click"] * 20, seeds, top_k=1))) == 1
        assert complete(["Click", "", "Click"], [5, 6, 5], most=0) == ["", "", ""]
