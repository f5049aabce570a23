"""What every process of ours counts, and how it is told: under the prefix of the process that tells it.

The names here have no prefix: `api_requests` is `modelservice_autoscaler_api_requests_total` in the
autoscaler, so nobody adds up calls of different processes by mistake.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

# The `_created` series double the size of a scrape and say nothing that a rate does not.
disable_created_metrics()  # type: ignore[no-untyped-call]

CLIENT = CollectorRegistry()
"""Of the API client and the event loop: every process has them."""
LEASE = CollectorRegistry()
"""Of processes of whose replicas one leads."""

API_REQUESTS = Counter(
    "api_requests",
    "Requests to the API server, by method, resource and HTTP code (0: no answer).",
    ["method", "resource", "code"],
    registry=CLIENT,
)
API_SECONDS = Histogram(
    "api_request_duration_seconds",
    "Time until the answer of an API request other than a watch.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=CLIENT,
)
WRITES = Counter(
    "writes",
    "Writes that the API server accepted, by kind and operation.",
    ["kind", "operation"],
    registry=CLIENT,
)
WATCH_EVENTS = Counter("watch_events", "Watch events received, by resource.", ["resource"], registry=CLIENT)
WATCH_RESTARTS = Counter(
    "watch_restarts",
    "Watches started again, by resource and cause.",
    ["resource", "cause"],
    registry=CLIENT,
)
SYNCED = Gauge("cache_synced", "1 once the cache holds the cluster's state.", registry=CLIENT)
LOOP_LAG_SECONDS = Gauge(
    "event_loop_lag_seconds", "How late the event loop ran its last heartbeat.", registry=CLIENT
)
LEADER = Gauge("leader", "1 while this replica holds the Lease.", registry=LEASE)

# What has not been counted yet is told as 0: rates and alerts would miss the first event otherwise.
for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    API_SECONDS.labels(_method)


class Prefixed(Collector):
    """The metrics of a registry, with a prefix before their names."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for metric in self._registry.collect():
            metric.name = f"{self._prefix}_{metric.name}"
            metric.samples = [
                sample._replace(name=f"{self._prefix}_{sample.name}") for sample in metric.samples
            ]
            yield metric


def process_registry(prefix: str, own: CollectorRegistry, *common: CollectorRegistry) -> CollectorRegistry:
    """Everything that one process tells: its own metrics, the `common` ones under its prefix, its build."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(own)
    for part in common:
        registry.register(Prefixed(part, prefix))
    build = Info(f"{prefix}_build", "The version of ModelService and of Python.", registry=registry)
    build.info({"version": _version(), "python": platform.python_version()})
    return registry


def _version() -> str:
    try:
        return version("modelservice")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"
