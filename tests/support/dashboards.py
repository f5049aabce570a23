"""The queries of the dashboards, and a real Prometheus that is asked for their answers."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.prometheus import Prometheus

FOLDER = Path(__file__).parents[2] / "charts/modelservice-operator/files/dashboards"
_INTERVALS = {"__rate_interval": "5m", "__interval": "15s", "__range": "1h"}


class Query(NamedTuple):
    """One question of a dashboard."""

    board: str
    panel: str
    expression: str


def queries(naming: str = "") -> list[Query]:
    """All of them that name these series, those of variables and annotations included."""
    found: list[Query] = []
    for file in sorted(FOLDER.glob("*.json")):
        board = json.loads(file.read_text(encoding="utf-8"))
        asked = [
            (panel["title"], target["expr"])
            for panel in board["panels"]
            for target in panel.get("targets") or ()
        ]
        asked += [(one["name"], one["expr"]) for one in board.get("annotations", {}).get("list", ())]
        asked += [
            (f"variable {one['name']}", label_values(one["query"]))
            for one in board["templating"]["list"]
            if one["type"] == "query"
        ]
        found += [Query(file.stem, *one) for one in asked if naming in one[1]]
    return found


def label_values(query: str) -> str:
    """The PromQL of what Grafana does for `label_values(SERIES, LABEL)`."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found is not None, query
    series, label = found.groups()
    return f'count by ({label}) ({series}) and on ({label}) count by ({label}) ({{{label}!=""}})'


def filled_in(expression: str, variables: Mapping[str, str]) -> str:
    """An expression with its variables replaced as Grafana does."""
    for name, value in {**variables, **_INTERVALS}.items():
        expression = expression.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return expression


def wait_answered(prometheus: Prometheus, asked: Iterable[Query], variables: Mapping[str, str]) -> None:
    """Wait until each has had an answer; the last of it may come with the next scrape."""
    empty = set(asked)

    def nothing_is_empty() -> bool:
        for one in tuple(empty):
            if prometheus.ask(filled_in(one.expression, variables)):
                empty.discard(one)
        return not empty

    with contextlib.suppress(AssertionError):
        wait_until(nothing_is_empty, "every query has an answer")
    assert sorted(empty) == []
