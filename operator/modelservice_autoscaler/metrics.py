"""The autoscaler's own Prometheus metrics; what it counts as every process does is in `common_metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

PREFIX = "modelservice_autoscaler"

LOOKS = Counter(
    f"{PREFIX}_looks", "Questions to pods, by result (ok, silent).", ["result"], registry=REGISTRY
)
LOOK_SECONDS = Histogram(
    f"{PREFIX}_look_duration_seconds",
    "Time until all ready pods of a service had answered, or were given up.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
FOLLOWED = Gauge(f"{PREFIX}_followed_services", "Services whose pods are looked at.", registry=REGISTRY)
PODS = Gauge(f"{PREFIX}_ready_pods", "Ready pods of all services that are known.", registry=REGISTRY)
DECISIONS = Counter(
    f"{PREFIX}_decisions",
    "Changes of replicas, by direction (up, down, idle).",
    ["direction"],
    registry=REGISTRY,
)
BROKEN = Counter(
    f"{PREFIX}_broken_turns", "Turns of a service that ended in an error of our own.", registry=REGISTRY
)

# Counters that have not counted yet are told as 0: rates and alerts would miss the first event otherwise.
for _result in ("ok", "silent"):
    LOOKS.labels(_result)
for _direction in ("up", "down", "idle"):
    DECISIONS.labels(_direction)
