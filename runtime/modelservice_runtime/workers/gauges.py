"""What the supervisor itself has to tell Prometheus."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class WorkerGauges(Collector):
    """How many workers are ready, and how often one was started again."""

    def __init__(self) -> None:
        self.ready = 0
        self.restarts = 0

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield GaugeMetricFamily("modelservice_workers_ready", "Workers that serve.", value=self.ready)
        yield CounterMetricFamily(
            "modelservice_worker_restarts", "Workers started again after an early end.", value=self.restarts
        )
