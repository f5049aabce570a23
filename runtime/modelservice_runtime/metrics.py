"""Prometheus metrics under the names dashboards for Triton already know, on a port of their own.

A collector reads the plain counters of ``statistics.py`` when somebody asks; the request path knows nothing
of Prometheus. prometheus_client would rename Triton's counters to ``..._total``, so they are collected as
untyped and given their type in the text.
Source of the names: Triton, ``docs/user_guide/metrics.md``.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric, UntypedMetricFamily
from prometheus_client.registry import Collector

from modelservice_runtime.gpu_devices import GpuReader
from modelservice_runtime.repository import ModelHandle, ModelTable
from modelservice_runtime.server.http import TEXT, HttpRequest, HttpResponse
from modelservice_runtime.server.status import error_body
from modelservice_runtime.statistics import DURATION_BUCKETS_SECONDS, ModelStatistics

_LABELS = ("model", "version")
_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("nv_inference_request_success", "Requests answered.", "success_count"),
    ("nv_inference_count", "Inferences: every row of a batch counts.", "inference_count"),
    ("nv_inference_exec_count", "Runs of the model.", "execution_count"),
    ("nv_inference_request_duration_us", "Time of answered requests, end to end.", "success_ns"),
    ("nv_inference_queue_duration_us", "Time requests waited.", "queue_ns"),
    ("nv_inference_compute_input_duration_us", "Time spent decoding inputs.", "compute_input_ns"),
    ("nv_inference_compute_infer_duration_us", "Time spent in the model.", "compute_infer_ns"),
    ("nv_inference_compute_output_duration_us", "Time spent encoding outputs.", "compute_output_ns"),
)


class ModelCollector(Collector):
    """Every model's counters at the moment of the scrape."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        handles = self._table.handles()
        yield from (_counter(name, text, attribute, handles) for name, text, attribute in _COUNTERS)
        yield _failures(handles)
        yield _pending(handles)
        yield _durations(handles)


class GpuCollector(Collector):
    """Every device at the moment of the scrape; one that tells no utilization has none."""

    def __init__(self, gpus: GpuReader) -> None:
        self._gpus = gpus

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        labels = ("gpu_uuid",)
        utilization = GaugeMetricFamily("nv_gpu_utilization", "Busy share, 0 to 1.", labels=labels)
        total = GaugeMetricFamily("nv_gpu_memory_total_bytes", "Memory of the device.", labels=labels)
        used = GaugeMetricFamily("nv_gpu_memory_used_bytes", "Memory in use, by anybody.", labels=labels)
        for device in self._gpus.read():
            if device.utilization is not None:
                utilization.add_metric((device.uuid,), device.utilization)
            total.add_metric((device.uuid,), device.memory_total_bytes)
            used.add_metric((device.uuid,), device.memory_used_bytes)
        yield from (utilization, total, used)


class MetricsApplication:
    """Answers ``GET /metrics``, and nothing else."""

    def __init__(self, table: ModelTable, gpus: GpuReader | None = None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(ModelCollector(table))
        if gpus is not None:
            self._registry.register(GpuCollector(gpus))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        if request.target.partition(b"?")[0] != b"/metrics":
            request.reply(HttpResponse(404, error_body("the metrics are at /metrics")))
        elif request.method not in (b"GET", b"HEAD"):
            allow = ((b"Allow", b"GET, HEAD"),)
            request.reply(HttpResponse(405, error_body("this path takes GET, HEAD"), headers=allow))
        else:
            request.reply(HttpResponse(200, self.render(), TEXT))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry).replace(b" untyped\n", b" counter\n")


def _counter(name: str, text: str, attribute: str, handles: list[ModelHandle]) -> Metric:
    metric = UntypedMetricFamily(name, text, labels=_LABELS)
    for handle in handles:
        value = getattr(handle.statistics, attribute)
        scale = 1000 if attribute.endswith("_ns") else 1
        metric.add_metric(_labels(handle), value // scale)
    return metric


def _failures(handles: list[ModelHandle]) -> Metric:
    metric = UntypedMetricFamily(
        "nv_inference_request_failure", "Requests that failed, by reason.", labels=(*_LABELS, "reason")
    )
    for handle in handles:
        for reason, count in handle.statistics.failures.items():
            metric.add_metric((*_labels(handle), reason), count)
    return metric


def _pending(handles: list[ModelHandle]) -> Metric:
    metric = GaugeMetricFamily(
        "nv_inference_pending_request_count", "Requests that wait or run.", labels=_LABELS
    )
    for handle in handles:
        metric.add_metric(_labels(handle), handle.lane.pending)
    return metric


def _durations(handles: list[ModelHandle]) -> Metric:
    metric = HistogramMetricFamily(
        "modelservice_request_duration_seconds",
        "Time from a request's last byte to its answer.",
        labels=_LABELS,
    )
    for handle in handles:
        counted = handle.statistics
        metric.add_metric(
            _labels(handle), list(_cumulative(counted)), sum_value=counted.duration_sum_ns / 1e9
        )
    return metric


def _cumulative(counted: ModelStatistics) -> Iterator[tuple[str, float]]:
    bounds = [str(bound) for bound in DURATION_BUCKETS_SECONDS] + ["+Inf"]
    total = 0
    for bound, count in zip(bounds, counted.duration_counts, strict=True):
        total += count
        yield bound, total


def _labels(handle: ModelHandle) -> tuple[str, str]:
    return handle.spec.name, handle.spec.version
