"""The operator's own Prometheus metrics. Any impure module may count here; `health` serves them.

What the autoscaler and the activator count too is in `common_metrics`, what is told of each service in
`process/states.py`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from modelservice_operator.facts.kinds import CHILD_BY_KIND, MODEL_RUNTIMES, MODEL_SERVICES

REGISTRY = CollectorRegistry()

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
CONCURRENCY_LIMIT = Gauge(
    f"{PREFIX}_concurrency_limit",
    "Reconciliations at once of a namespace without an edit, where many wait: what the API server bears.",
    registry=REGISTRY,
)
RETRIES = Counter(f"{PREFIX}_queue_retries", "Keys put back with a backoff.", registry=REGISTRY)
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
OBJECTS = Gauge(f"{PREFIX}_cached_objects", "Objects in the cache, by kind.", ["kind"], registry=REGISTRY)
FLEET_MEMBERS = Gauge(
    f"{PREFIX}_runtime_rollout_members",
    "Members of a RuntimeRollout, by state (pending, moving, updated, failed, skipped, dropped, rolledBack).",
    ["rollout", "state"],
    registry=REGISTRY,
)
FLEET_PHASE = Gauge(
    f"{PREFIX}_runtime_rollout_phase",
    "1 for the phase that a RuntimeRollout is in, 0 for all others.",
    ["rollout", "phase"],
    registry=REGISTRY,
)
UNREPORTED = Gauge(
    f"{PREFIX}_unreported_services",
    "Services of which the last scrape told nothing: more than --most-reported-services, or unreadable.",
    registry=REGISTRY,
)

# Counters that have not counted yet are told as 0: rates and alerts would miss the first event otherwise.
for _result in ("ok", "retry", "error"):
    RECONCILES.labels(_result)
for _outcome in ("sent", "dropped", "failed"):
    EVENTS.labels(_outcome)
for _phase in ("schedule", "pull", "fetch", "load", "warm", "total"):
    COLD_START_SECONDS.labels(_phase)
for _kind in CHILD_BY_KIND:
    UNCONVERGED.labels(_kind)
for _kind in (MODEL_RUNTIMES.kind, MODEL_SERVICES.kind, *CHILD_BY_KIND):
    AUDIT_CORRECTIONS.labels(_kind)
