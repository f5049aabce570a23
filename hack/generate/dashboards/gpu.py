"""The dashboard of GPUs, as the servers that hold them see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack.generate.dashboards.board import board, query_variable
from hack.generate.dashboards.panels import (
    BYTES,
    NUMBER,
    SECONDS,
    SHARE,
    Levels,
    Query,
    graph,
    listing,
    number,
    rate,
    row,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

SCOPE = 'namespace=~"$namespace",modelservice_dev_name=~"$service"'
DEVICE = "{{pod}} {{gpu_uuid}}"
USED = f"nv_gpu_memory_used_bytes{{{SCOPE}}}"
TOTAL = f"nv_gpu_memory_total_bytes{{{SCOPE}}}"
_FULL = Levels(warning=0.9, bad=0.97)


def gpu_dashboard() -> Dashboard:
    """Devices, and the services on them."""
    dashboard = board(
        "gpu", "ModelService / GPU", "The GPUs of model servers: how busy and how full they are."
    )
    dashboard.with_variable(
        query_variable("namespace", "Namespace", "label_values(nv_gpu_memory_total_bytes, namespace)")
        .multi(True)
        .include_all(True)
        .all_value(".*")
    ).with_variable(
        query_variable(
            "service",
            "Service",
            'label_values(nv_gpu_memory_total_bytes{namespace=~"$namespace"}, modelservice_dev_name)',
        )
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )
    dashboard.with_panel(
        number(
            "Devices",
            "Devices that servers see; those that share one count once.",
            NUMBER,
            Query(f"count(count by (gpu_uuid) ({TOTAL}))"),
        )
    ).with_panel(
        number(
            "Busy",
            "Share of the time in which a device ran something, on average.",
            SHARE,
            Query(f"avg(nv_gpu_utilization{{{SCOPE}}})"),
        )
    ).with_panel(
        number(
            "Memory in use",
            "Of all devices, by anybody.",
            SHARE,
            Query(f"sum(max by (gpu_uuid) ({USED})) / sum(max by (gpu_uuid) ({TOTAL}))"),
            levels=_FULL,
        )
    ).with_panel(
        listing(
            "Devices",
            "Which pod has which.",
            Query(TOTAL),
            "namespace",
            "modelservice_dev_name",
            "pod",
            "gpu_uuid",
            "Value",
        )
    )
    dashboard.with_row(row("Devices")).with_panel(
        graph(
            "Busy",
            "Share of the time in which a device ran something.",
            SHARE,
            Query(f"nv_gpu_utilization{{{SCOPE}}}", DEVICE),
        )
    ).with_panel(
        graph("Memory", "In use on each device, by anybody.", BYTES, Query(USED, DEVICE))
    ).with_panel(
        graph(
            "Memory in use",
            "Share of each device's memory.",
            SHARE,
            Query(f"{USED} / {TOTAL}", DEVICE),
            levels=_FULL,
        )
    )
    of_gpus = f"and on (namespace, pod) {TOTAL}"
    rows, runs, microseconds = (
        rate(f"nv_inference_{name}", SCOPE, by="namespace, pod")
        for name in ("count", "exec_count", "compute_infer_duration_us")
    )
    dashboard.with_row(row("Models on them")).with_panel(
        graph("Runs", "Runs of models, by pod.", "ops", Query(f"{runs} {of_gpus}", "{{pod}}"))
    ).with_panel(
        graph(
            "Time of a run",
            "Average, by pod.",
            SECONDS,
            Query(f"{microseconds} / {runs} / 1e6 {of_gpus}", "{{pod}}"),
        )
    ).with_panel(
        graph(
            "Rows in a run",
            "How full runs are: small ones leave a device idle.",
            NUMBER,
            Query(f"{rows} / {runs} {of_gpus}", "{{pod}}"),
        )
    )
    return dashboard
