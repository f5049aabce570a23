"""What docs/architecture.md promises: its table names files that exist, and its picture is up to date."""

import re
from pathlib import Path

import pytest
from hack.generate.layers import layers_picture

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PACKAGES = {
    "o": ROOT / "operator/modelservice_operator",
    "s": ROOT / "operator/modelservice_autoscaler",
    "v": ROOT / "operator/modelservice_activator",
    "r": ROOT / "runtime/modelservice_runtime",
    "p": ROOT / "pipeline/modelservice_pipeline",
    "c": ROOT / "cli/modelservice_cli",
    "h": ROOT / "charts/modelservice-operator",
}
ROWS = re.findall(
    r"^\| (?!To change|---)([^|]+) \| ([^|]+) \|$", PAGE.split("## Where to change what")[1], re.MULTILINE
)


def test_table_answers_at_least_twenty_questions() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("what", "where"), ROWS)
def test_row_names_one_or_two_places_that_exist(what: str, where: str) -> None:
    named = re.findall(r"\b([orpchsv]) `([^`]+)`", where)
    assert 1 <= len(named) <= 2, f"{what}: {where}"
    for package, path in named:
        assert (PACKAGES[package] / path).exists(), f"{what}: {path}"
    for path in re.findall(r"`(tests/[^`]+)`", where):
        assert (ROOT / path).exists(), f"{what}: {path}"


def test_committed_picture_of_the_rooms_is_generated() -> None:
    for path, text in layers_picture(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, "run `make generate`"
