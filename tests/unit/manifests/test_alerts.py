"""The alert rules: promtool takes them; each fires on series as our processes export them, and rests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.packages import ensure_packages, find_program
from hack.cluster.testing import METRICS_PROGRAMS
from hack.generate.metrics import exported_series
from tests.support.promql import find_unknown, names_in
from tests.unit.manifests.alert_cases import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FILE = ROOT / "charts/modelservice-operator/files/alerts.yaml"
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
GROUPS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in RULES if "alert" in rule}
SERIES = exported_series()


def promtool(*arguments: str) -> str:
    """What it prints; AssertionError where it is not content."""
    ensure_packages(METRICS_PROGRAMS)
    found = subprocess.run(
        [str(find_program("promtool")), *arguments], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]


def test_promtool_takes_the_rules():
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", str(FILE))


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


def test_each_alert_fires_and_rests(tmp_path: Path):
    files = []
    for group in GROUPS:
        rules = {"groups": [group]}
        cases = [case for case in CASES if case.name in {rule.get("alert") for rule in group["rules"]}]
        tests = [one for case in cases for one in (unit(case, fires=True), unit(case, fires=False))]
        files.append(write_tests(tmp_path / group["name"], rules, tests))
    assert promtool("test", "rules", *files).count("SUCCESS") == len(GROUPS)


def test_promtool_finds_an_alert_that_does_not_fire(tmp_path: Path):
    case = next(one for one in CASES if one.name == "ModelServiceOperatorNoLeader")
    rule = dict(ALERTS[case.name])
    rule["expr"] = rule["expr"].replace("_leader", "_laeder")
    rules = {"groups": [{"name": "misspelt", "rules": [rule]}]}
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", write_tests(tmp_path, rules, [unit(case, fires=True)]))


def write_tests(folder: Path, rules: dict[str, Any], tests: list[dict[str, Any]]) -> str:
    """A file of promtool's, whose rules are looked at every five minutes: one waits for a day."""
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(json.dumps(rules), encoding="utf-8")
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": tests}
    (folder / "test.yaml").write_text(json.dumps(document), encoding="utf-8")
    return str(folder / "test.yaml")


def unit(case: Case, *, fires: bool) -> dict[str, Any]:
    """One test in promtool's form: half an hour after the alert had to wait, it fires or does not."""
    rule = ALERTS[case.name]
    series = (case.fires if fires else case.rests).items()
    labels = {**case.labels, **rule["labels"], "alertname": case.name, "alertstate": "firing"}
    told = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    question = {
        "expr": f'ALERTS{{alertname="{case.name}",alertstate="firing"}}',
        "eval_time": f"{minutes(rule.get('for', '0m')) + 30}m",
        "exp_samples": [{"labels": f"ALERTS{{{told}}}", "value": 1}] if fires else [],
    }
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [question],
    }


def minutes(duration: str) -> int:
    """Of a duration with one unit, such as 5m and 24h."""
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]
