"""What the dashboards have in common: variables, links, rollouts as annotations, and their text as JSON.

Nothing in them has an address: the data source is a variable, links find the other dashboards by a tag.
"""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "modelservice"
OF_PODS = 'namespace="$namespace",modelservice_dev_name="$service"'
"""What finds the series of a service's pods."""
OF_SERVICE = 'namespace="$namespace",name="$service"'
"""What finds what the operator tells of a service."""
RATE = "[$__rate_interval]"
_ANNOTATIONS = {"Rollouts": "{{phase}} {{reason}}"}
"""Annotation -> what is written at it. The SDK knows no fields of Prometheus' annotations."""


def board(name: str, title: str, description: str) -> Dashboard:
    """An empty dashboard that knows its data source and the others."""
    others = (
        DashboardLink("ModelService dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    return (
        Dashboard(title)
        .uid(f"modelservice-{name}")
        .description(description)
        .tags([TAG])
        .link(others)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def query_variable(name: str, label: str, query: str) -> QueryVariable:
    """A variable with the values that Prometheus has."""
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def to_text(dashboard: Dashboard) -> str:
    """The dashboard as JSON, with a number for each panel, as links to one need it."""
    model: dict[str, Any] = json.loads(JSONEncoder().encode(dashboard.build()))
    for number, panel in enumerate(model["panels"], start=1):
        panel["id"] = number
    for annotation in (model.get("annotations") or {}).get("list", ()):
        annotation["titleFormat"] = _ANNOTATIONS[annotation["name"]]
    return json.dumps(model, indent=1, sort_keys=True) + "\n"
