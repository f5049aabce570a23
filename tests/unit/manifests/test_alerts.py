"""The alert rules name only what is exported and lead to runbooks; `tests/integration/chart` fires them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.generate.metrics import exported_series
from tests.support.promql import find_unknown, names_in
from tests.unit.manifests.alert_cases import CASES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FILE = ROOT / "charts/modelservice-operator/files/alerts.yaml"
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
GROUPS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in RULES if "alert" in rule}
SERIES = exported_series()


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_rule_names_only_what_is_exported(name, expression):
    recorded = {rule["record"]: () for rule in RULES if "record" in rule}
    assert find_unknown(expression, {**SERIES, **recorded}) == [], name


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_how_bad_it_is_what_it_means_and_what_to_do(name):
    rule = ALERTS[name]
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"__RUNBOOK_BASE__#{name.lower()}"
    assert re.search(rf"^## {name}$", RUNBOOKS, re.MULTILINE), f"docs/runbooks.md has no section {name}"


def test_runbooks_speak_of_no_alert_that_is_gone():
    assert set(re.findall(r"^## (ModelService\w+)$", RUNBOOKS, re.MULTILINE)) == set(ALERTS)


def test_every_alert_has_a_case():
    assert [case.name for case in CASES] == list(ALERTS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_made_of_series_that_are_exported_with_their_labels(case):
    for series in (*case.fires, *case.rests):
        ((name, labels),) = names_in(series).selected
        assert not find_unknown(series, SERIES)
        assert set(SERIES[name]) <= labels, f"{series} lacks labels that processes export"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_texts_of_an_alert_name_labels_that_it_has(case):
    texts = " ".join(ALERTS[case.name]["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= set(case.labels)
