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
    shown = [yaml.safe_load(block)["spec"] for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]

    assert "route" in shown[0]
    for spec in shown:
        parse_model_service(make_model_service(**spec), strict=True)
