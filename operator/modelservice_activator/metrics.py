"""The activator's own Prometheus metrics; what it counts as every process does is in `common_metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

PREFIX = "modelservice_activator"

HELD_REQUESTS = Gauge(f"{PREFIX}_held_requests", "Requests that wait for a pod.", registry=REGISTRY)
HELD_BYTES = Gauge(f"{PREFIX}_held_bytes", "Bytes of requests that wait for a pod.", registry=REGISTRY)
HOLD_SECONDS = Histogram(
    f"{PREFIX}_hold_duration_seconds",
    "How long requests waited that were given to a pod.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320),
    registry=REGISTRY,
)
REQUESTS = Counter(
    f"{PREFIX}_requests",
    "Requests, by protocol (http1, http2, tunnel) and outcome (passed, refused, lost: the pod ended "
    "without an answer, left: the client did not wait).",
    ["protocol", "outcome"],
    registry=REGISTRY,
)
WAKES = Counter(
    f"{PREFIX}_wakes",
    "Attempts to wake a service, by outcome (written, conflict, failed).",
    ["outcome"],
    registry=REGISTRY,
)
CONNECT_FAILURES = Counter(
    f"{PREFIX}_connect_failures", "Pods that could not be reached; no request was sent.", registry=REGISTRY
)
CONNECTIONS = Gauge(f"{PREFIX}_connections", "Connections of clients.", registry=REGISTRY)
TURNED_AWAY = Counter(
    f"{PREFIX}_connections_turned_away", "Connections closed because there were too many.", registry=REGISTRY
)
LISTENING = Gauge(f"{PREFIX}_listening_ports", "Ports on which clients are awaited.", registry=REGISTRY)
TAKEN = Gauge(
    f"{PREFIX}_taken_ports",
    "1 for each port of a service on which we cannot listen.",
    ["namespace", "name", "port"],
    registry=REGISTRY,
)

# Counters that have not counted yet are told as 0: rates and alerts would miss the first event otherwise.
for _protocol in ("http1", "http2", "tunnel"):
    for _outcome in ("passed", "refused", "lost", "left"):
        REQUESTS.labels(_protocol, _outcome)
for _outcome in ("written", "conflict", "failed"):
    WAKES.labels(_outcome)
