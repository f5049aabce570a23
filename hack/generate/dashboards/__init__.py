"""Grafana's dashboards of the chart, written with Grafana's own SDK; no alert rules."""

from __future__ import annotations

from pathlib import Path

from hack.generate.dashboards.board import to_text
from hack.generate.dashboards.fleet import fleet_dashboard
from hack.generate.dashboards.generation import generation_dashboard
from hack.generate.dashboards.gpu import gpu_dashboard
from hack.generate.dashboards.operator import operator_dashboard
from hack.generate.dashboards.service import service_dashboard

FOLDER = Path("charts/modelservice-operator/files/dashboards")


def dashboard_files() -> dict[Path, str]:
    """Return every dashboard as JSON, by its path from the root."""
    dashboards = {
        "fleet": fleet_dashboard(),
        "generation": generation_dashboard(),
        "gpu": gpu_dashboard(),
        "operator": operator_dashboard(),
        "service": service_dashboard(),
    }
    return {FOLDER / f"{name}.json": to_text(dashboard) for name, dashboard in dashboards.items()}
