"""What docs show to be pasted is taken as it is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from tests.unit.operator.builders import make_model_service

from modelservice_operator.api import parse_model_service

DOCS = Path(__file__).parents[4] / "docs"


def test_spec_of_the_gateway_page_is_good_as_pasted() -> None:
    text = (DOCS / "gateway.md").read_text(encoding="utf-8")
    shown = [
        yaml.safe_load(block)["spec"] for block in re.findall(r"```yaml\n(spec:.*?)```", text, re.DOTALL)
    ]

    assert "route" in shown[0]
    for spec in shown:
        parse_model_service(make_model_service(**spec), strict=True)


def test_ways_to_ask_for_a_gpu_are_good_as_pasted() -> None:
    text = (DOCS / "gpu.md").read_text(encoding="utf-8")
    table = text.partition("| `spec.gpu` |")[2].partition("\n\n")[0]
    ways = [yaml.safe_load(cell) for cell in re.findall(r"^\| `(.*?)`", table, re.MULTILINE)]

    assert len(ways) == 8
    for way in ways:
        parse_model_service(make_model_service(gpu=way), strict=True)
