"""The dashboards: what each panel has to have, and that it asks for what our processes export.

Whether the queries have answers is asked of a real Prometheus in `tests/integration/operator`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hack.generate.dashboards import dashboard_files
from hack.generate.metrics import exported_series
from tests.support.promql import find_unknown, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "charts/modelservice-operator/files/dashboards").glob("*.json"))
BOARDS: list[dict[str, Any]] = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
SERIES = exported_series()
LIMIT_BYTES = 350_000
"""A ConfigMap takes a megabyte, all dashboards may lie in one."""


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in board["panels"] if panel["type"] != "row")


def expressions(board: dict[str, Any]) -> Iterator[str]:
    for panel in panels(board):
        yield from (target["expr"] for target in panel["targets"])
    yield from (one["expr"] for one in board.get("annotations", {}).get("list", ()))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"].removeprefix("label_values(").rpartition(",")[0]


def test_files_are_those_that_the_generator_writes():
    assert {ROOT / path: text for path, text in dashboard_files().items()} == {
        file: file.read_text(encoding="utf-8") for file in FILES
    }
    assert sum(len(file.read_bytes()) for file in FILES) < LIMIT_BYTES


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_dashboard_names_only_what_is_exported(board):
    unknown = [(expr, what) for expr in expressions(board) for what in find_unknown(expr, SERIES)]
    assert unknown == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_panels_say_what_they_show_in_which_unit_and_where_from(board):
    titles = [panel["title"] for panel in panels(board)]
    assert all(titles)
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"]
        lines = [target.get("legendFormat") for target in panel["targets"]]
        assert len(set(lines)) == len(lines), f"{panel['title']}: lines cannot be told apart"
        assert len({target["refId"] for target in panel["targets"]}) == len(lines)
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_dashboard_goes_nowhere_outside_and_finds_the_others(board):
    text = json.dumps(board)
    assert "://" not in text
    assert board["uid"].startswith("modelservice-")
    (link,) = board["links"]
    assert set(link["tags"]) <= set(board["tags"])
    assert board["templating"]["list"][0]["type"] == "datasource"
    asked = {name for expr in expressions(board) for name in ("namespace", "service") if f"${name}" in expr}
    assert asked <= {variable["name"] for variable in board["templating"]["list"]}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_panels_do_not_lie_on_each_other(board):
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("sum(modelservice_operator_queue_depht)", ["series modelservice_operator_queue_depht"]),
        ('sum by (reason) (rate(nv_inference_request_failure{raeson="x"}[1m]))',
         ["label raeson of nv_inference_request_failure"]),
        ("sum by (cause) (modelservice_operator_queue_depth)", ["label cause"]),
        ('{__name__=~"modelservice_(operator|autoscaler)_built_info"}',
         ["series like modelservice_(operator|autoscaler)_built_info"]),
        ("rate(modelservice_operator_reconcile_duration_seconds[1m])",
         ["series modelservice_operator_reconcile_duration_seconds"]),
        ("a_b == on (namespace) group_left (limit) modelservice_info", ["series a_b", "label limit"]),
    ],
)  # fmt: skip
def test_what_is_misspelt_is_found(expression, unknown):
    assert find_unknown(expression, SERIES) == unknown


def test_names_in_an_expression_are_found_in_every_place():
    named = names_in(
        "topk(10, histogram_quantile(0.95, sum by (le, a) "
        '(rate(x_bucket{n=~"$n",m!="}"}[$__rate_interval])))) or '
        '0 * count(y{}) unless on (b) z offset 5m == 1e3 and {__name__=~"q.*",r="s"}'
    )
    assert named.selected == [("x_bucket", frozenset({"n", "m"})), ("y", frozenset()), ("z", frozenset())]
    assert named.patterns == ["q.*"]
    assert named.grouped == {"le", "a", "b"}
