"""The dashboard of our own processes: the operator, the autoscaler and the activator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack.generate.dashboards.board import RATE, board
from hack.generate.dashboards.panels import (
    BYTES,
    NUMBER,
    PER_SECOND,
    SECONDS,
    Levels,
    Query,
    graph,
    listing,
    number,
    quantiles,
    rate,
    row,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

PROCESSES = ("operator", "autoscaler", "activator")
ELECTED = ("operator", "autoscaler")
WAITING = "sum(modelservice_operator_queue_depth and modelservice_operator_leader == 1)"
"""Nobody takes from the queue of a standby."""
_EVENTS = "ops"


def operator_dashboard() -> Dashboard:
    """All processes of the installation."""
    dashboard = board(
        "operator", "ModelService / Operator", "The operator, the autoscaler and the activator."
    )
    for part in (_summary, _operator, _api, _autoscaler, _activator, _processes):
        part(dashboard)
    return dashboard


def _of_each(expression: str, legend: str = "") -> tuple[Query, ...]:
    """One query for each process; `{}` stands for its name."""
    said = f" {legend}" if legend else ""
    return tuple(Query(expression.replace("{}", name), name + said) for name in PROCESSES)


def _summary(dashboard: Dashboard) -> None:
    for name in ELECTED:
        dashboard.with_panel(
            number(
                f"Leaders of the {name}",
                "One replica holds the Lease; none or two is a fault.",
                NUMBER,
                Query(f"sum(modelservice_{name}_leader)"),
                levels=Levels(warning=0.5, bad=1.5),
            )
        )
    dashboard.with_panel(
        number(
            "Waiting",
            "Services that wait for a worker.",
            NUMBER,
            Query(WAITING),
        )
    ).with_panel(
        number(
            "Not told",
            "Services of which Prometheus is told nothing, for there are too many.",
            NUMBER,
            Query("sum(modelservice_operator_unreported_services)"),
            levels=Levels(warning=1, bad=1000),
        )
    ).with_panel(
        listing(
            "Versions",
            "What runs.",
            Query('{__name__=~"modelservice_(operator|autoscaler|activator)_build_info"}'),
            "pod",
            "version",
            "python",
            width=8,
        )
    )


def _operator(dashboard: Dashboard) -> None:
    p = "modelservice_operator"
    dashboard.with_row(row("Operator")).with_panel(
        graph(
            "Reconciliations",
            "ok, retry: something was refused and is tried again, error: our own fault.",
            _EVENTS,
            Query(rate(f"{p}_reconcile_total", by="result"), "{{result}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Duration of a reconciliation",
            "With all its calls of the API server.",
            SECONDS,
            *quantiles(f"{p}_reconcile_duration_seconds", ""),
        )
    ).with_panel(
        graph(
            "Waiting for a worker",
            "From when a service is due to when a worker takes it.",
            SECONDS,
            *quantiles(f"{p}_queue_duration_seconds", ""),
        )
    ).with_panel(
        graph(
            "Queue",
            "Services that wait for a worker, and how many of one namespace are reconciled at once.",
            NUMBER,
            Query(WAITING, "waiting"),
            Query(f"max({p}_concurrency_limit and {p}_leader == 1)", "at once"),
        )
    ).with_panel(
        graph(
            "Put back",
            "Services that are tried again later, and writes that something else changes at once.",
            _EVENTS,
            Query(rate(f"{p}_queue_retries_total"), "retries"),
            Query(rate(f"{p}_writes_not_kept_total"), "writes not kept"),
        )
    ).with_panel(
        graph(
            "Cache",
            "Objects by kind, of the replica that has most.",
            NUMBER,
            Query(f"max by (kind) ({p}_cached_objects)", "{{kind}}"),
        )
    ).with_panel(
        graph(
            "Corrections",
            "Objects that the audit found missing or left over: a watch lost something.",
            _EVENTS,
            Query(rate(f"{p}_audit_corrections_total", by="kind"), "{{kind}}"),
        )
    ).with_panel(
        graph(
            "Events",
            "Kubernetes events that were sent, dropped or refused.",
            _EVENTS,
            Query(rate(f"{p}_events_total", by="outcome"), "{{outcome}}"),
        )
    ).with_panel(
        graph(
            "Pods watched",
            "Services whose pods are watched, because they are not available.",
            NUMBER,
            Query(f"sum({p}_pod_watches)", "services"),
        )
    )


def _api(dashboard: Dashboard) -> None:
    dashboard.with_row(row("API server")).with_panel(
        graph(
            "Requests by code",
            "0: no answer.",
            PER_SECOND,
            *_of_each(rate("modelservice_{}_api_requests_total", by="code"), "{{code}}"),
        )
    ).with_panel(
        graph(
            "Duration p95",
            "Of requests other than watches.",
            SECONDS,
            *_of_each(
                "histogram_quantile(0.95, sum by (le) "
                f"(rate(modelservice_{{}}_api_request_duration_seconds_bucket{RATE})))"
            ),
        )
    ).with_panel(
        graph(
            "Watches begun again",
            "Ended ones are normal every few minutes; broken and refused ones are not.",
            _EVENTS,
            *_of_each(rate("modelservice_{}_watch_restarts_total", by="cause"), "{{cause}}"),
        )
    ).with_panel(
        graph(
            "Writes",
            "By kind.",
            _EVENTS,
            Query(rate("modelservice_operator_writes_total", by="kind, operation"), "{{kind}} {{operation}}"),
        )
    ).with_panel(
        graph(
            "Events of watches",
            "What the API server tells.",
            _EVENTS,
            *_of_each(rate("modelservice_{}_watch_events_total")),
        )
    ).with_panel(
        graph(
            "Synced",
            "Replicas whose cache holds the cluster's state.",
            NUMBER,
            *_of_each("sum(modelservice_{}_cache_synced)"),
        )
    )


def _autoscaler(dashboard: Dashboard) -> None:
    p = "modelservice_autoscaler"
    dashboard.with_row(row("Autoscaler")).with_panel(
        graph(
            "Questions to pods",
            "ok, or silent: no answer in time.",
            PER_SECOND,
            Query(rate(f"{p}_looks_total", by="result"), "{{result}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Duration of a look",
            "Until all ready pods of a service had answered, or were given up.",
            SECONDS,
            *quantiles(f"{p}_look_duration_seconds", ""),
        )
    ).with_panel(
        graph(
            "Followed",
            "Services and pods that are looked at.",
            NUMBER,
            Query(f"sum({p}_followed_services)", "services"),
            Query(f"max({p}_ready_pods)", "pods"),
        )
    ).with_panel(
        graph(
            "Decisions",
            "Changes of replicas.",
            _EVENTS,
            Query(rate(f"{p}_decisions_total", by="direction"), "{{direction}}"),
        )
    ).with_panel(
        graph(
            "Broken turns",
            "Looks that ended in an error of our own.",
            _EVENTS,
            Query(rate(f"{p}_broken_turns_total"), "broken"),
        )
    )


def _activator(dashboard: Dashboard) -> None:
    p = "modelservice_activator"
    dashboard.with_row(row("Activator")).with_panel(
        graph(
            "Held requests", "Requests that wait for a pod.", NUMBER, Query(f"sum({p}_held_requests)", "held")
        )
    ).with_panel(
        graph(
            "Held bytes",
            "Their bodies, as far as they have been read.",
            BYTES,
            Query(f"sum({p}_held_bytes)", "held"),
        )
    ).with_panel(
        graph(
            "Time until a pod",
            "Of requests that were given to one.",
            SECONDS,
            *quantiles(f"{p}_hold_duration_seconds", ""),
        )
    ).with_panel(
        graph(
            "Requests",
            "By what became of them.",
            PER_SECOND,
            Query(rate(f"{p}_requests_total", by="protocol, outcome"), "{{protocol}} {{outcome}}"),
        )
    ).with_panel(
        graph(
            "Wakes",
            "Writes that wake a service.",
            _EVENTS,
            Query(rate(f"{p}_wakes_total", by="outcome"), "{{outcome}}"),
            Query(rate(f"{p}_connect_failures_total"), "pods not reached"),
        )
    ).with_panel(
        graph(
            "Connections",
            "Of clients, and ports on which clients are awaited.",
            NUMBER,
            Query(f"sum({p}_connections)", "connections"),
            Query(f"sum({p}_listening_ports)", "ports"),
        )
    ).with_panel(
        graph(
            "Turned away",
            "Connections closed because there were too many.",
            _EVENTS,
            Query(rate(f"{p}_connections_turned_away_total"), "connections"),
        )
    )


def _processes(dashboard: Dashboard) -> None:
    mine = 'and on (pod) {__name__=~"modelservice_(operator|autoscaler|activator)_build_info"}'
    dashboard.with_row(row("Processes")).with_panel(
        graph("Memory", "Resident, by pod.", BYTES, Query(f"process_resident_memory_bytes {mine}", "{{pod}}"))
    ).with_panel(
        graph(
            "CPU",
            "In cores, by pod.",
            NUMBER,
            Query(f"rate(process_cpu_seconds_total{RATE}) {mine}", "{{pod}}"),
        )
    ).with_panel(
        graph(
            "Event loop",
            "How late it was; above a second nothing else works.",
            SECONDS,
            *_of_each("max(modelservice_{}_event_loop_lag_seconds)"),
            levels=Levels(warning=0.5, bad=2),
        )
    )
