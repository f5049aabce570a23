"""The alert rules by Debian's promtool: each fires on series as our processes export them, and rests."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.packages import ensure_packages, find_program
from hack.cluster.testing import METRICS_PROGRAMS
from tests.unit.manifests.alert_cases import CASES, Case
from tests.unit.manifests.test_alerts import ALERTS, FILE, GROUPS, RULES

if TYPE_CHECKING:
    from pathlib import Path


def promtool(*arguments: str) -> str:
    """What it prints; AssertionError where it is not content."""
    ensure_packages(METRICS_PROGRAMS)
    found = subprocess.run(
        [str(find_program("promtool")), *arguments], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_promtool_takes_the_rules():
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", str(FILE))


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
