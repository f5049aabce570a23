"""The operator's Prometheus metrics. Any impure module may count here; `health` serves them."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# The `_created` series double the size of a scrape and say nothing that a rate does not.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

PREFIX = "modelservice_operator"

RECONCILES = Counter(
    f"{PREFIX}_reconcile", "Reconciliations, by result (ok, retry, error).", ["result"], registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    f"{PREFIX}_reconcile_duration_seconds",
    "Duration of one reconciliation.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
API_REQUESTS = Counter(
    f"{PREFIX}_api_requests",
    "Requests to the API server, by method, resource and HTTP code (0: no answer).",
    ["method", "resource", "code"],
    registry=REGISTRY,
)
API_SECONDS = Histogram(
    f"{PREFIX}_api_request_duration_seconds",
    "Time until the answer of an API request other than a watch.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
WRITES = Counter(
    f"{PREFIX}_writes",
    "Writes that the API server accepted, by kind and operation.",
    ["kind", "operation"],
    registry=REGISTRY,
)
UNCONVERGED = Counter(
    f"{PREFIX}_writes_not_kept",
    "Writes whose answer differs from what was sent: something rewrites our fields.",
    ["kind"],
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge(f"{PREFIX}_queue_depth", "Keys that wait for a worker.", registry=REGISTRY)
QUEUE_SECONDS = Histogram(
    f"{PREFIX}_queue_duration_seconds",
    "Time that a key waited for a worker.",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60),
    registry=REGISTRY,
)
RETRIES = Counter(f"{PREFIX}_queue_retries", "Keys put back with a backoff.", registry=REGISTRY)
WATCH_EVENTS = Counter(
    f"{PREFIX}_watch_events", "Watch events received, by resource.", ["resource"], registry=REGISTRY
)
WATCH_RESTARTS = Counter(
    f"{PREFIX}_watch_restarts",
    "Watches started again, by resource and cause.",
    ["resource", "cause"],
    registry=REGISTRY,
)
AUDIT_CORRECTIONS = Counter(
    f"{PREFIX}_audit_corrections",
    "Objects that the audit found missing from, or left over in, the cache.",
    ["kind"],
    registry=REGISTRY,
)
EVENTS = Counter(
    f"{PREFIX}_events",
    "Kubernetes events, by outcome (sent, dropped, failed).",
    ["outcome"],
    registry=REGISTRY,
)
COLD_START_SECONDS = Histogram(
    f"{PREFIX}_cold_start_seconds",
    "Time of a start from zero, by phase (schedule, pull, fetch, load, warm; total from the wish to ready).",
    ["phase"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
    registry=REGISTRY,
)
POD_WATCHES = Gauge(
    f"{PREFIX}_pod_watches",
    "Services whose pods are watched, because they are not available.",
    registry=REGISTRY,
)
LEADER = Gauge(f"{PREFIX}_leader", "1 while this replica holds the Lease.", registry=REGISTRY)
SYNCED = Gauge(f"{PREFIX}_cache_synced", "1 once the cache holds the cluster's state.", registry=REGISTRY)
OBJECTS = Gauge(f"{PREFIX}_cached_objects", "Objects in the cache, by kind.", ["kind"], registry=REGISTRY)
LOOP_LAG_SECONDS = Gauge(
    f"{PREFIX}_event_loop_lag_seconds", "How late the event loop ran its last heartbeat.", registry=REGISTRY
)
