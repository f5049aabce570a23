"""The chart's README tells every value."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[3] / "charts" / "modelservice-operator"
README = (CHART / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([\w.]+) \| \w+ \| (`.*?`) \| (.*) \|$", re.MULTILINE)


def leaves(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def test_every_value_has_a_row_with_a_sentence():
    told = {key: description for key, _, description in ROW.findall(README)}
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for key in leaves(values):
        row = next((row for row in told if key == row or key.startswith(f"{row}.")), None)
        assert row, f"{key} has no comment that begins with `# --`"
        # Of a comment with `--` in its middle helm-docs takes the end.
        assert re.match(r"[A-Z`].*\.$|[a-z0-9]+: .*\.$", told[row]), f"{row}: {told[row]}"


def test_pictures_and_addresses_of_others_are_left_out():
    assert "![" not in README
    assert all("://docs.example.com/" in link for link in re.findall(r"\S+://\S+", README))
