"""Prometheus metrics under the names dashboards for Triton already know, on a port of their own.

A collector reads the plain counters of `statistics.py` when somebody asks; the request path knows nothing
of Prometheus. prometheus_client would rename Triton's counters to `..._total`, so they are collected as
untyped and given their type in the text.
Source of the names: Triton, `docs/user_guide/metrics.md`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate

import orjson
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.registry import Collector

from modelservice_runtime.errors import internal_error
from modelservice_runtime.execution.statistics import DURATION_BUCKETS_SECONDS, QUEUE_BUCKETS_SECONDS
from modelservice_runtime.machine.gpu_devices import GpuReader
from modelservice_runtime.machine.memory.cgroup import (
    find_control_groups,
    find_memory_limit,
    working_set_bytes,
)
from modelservice_runtime.models.snapshots import ModelSnapshot, Snapshots, SnapshotSource
from modelservice_runtime.protocols.metadata import model_statistics
from modelservice_runtime.transport.http import TEXT, HttpRequest, HttpResponse
from modelservice_runtime.transport.status import error_body, error_response

log = logging.getLogger(__name__)

_LABELS = ("model", "version")
_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("nv_inference_request_success", "Requests answered.", "success_count"),
    ("nv_inference_count", "Inferences: every row of a batch counts.", "inference_count"),
    ("nv_inference_exec_count", "Runs of the model.", "execution_count"),
    (
        "modelservice_nonfinite_responses_total",
        "Requests whose answer had NaN or infinite numbers.",
        "nonfinite_count",
    ),
    ("nv_inference_request_duration_us", "Time of answered requests, end to end.", "success_ns"),
    ("nv_inference_queue_duration_us", "Time requests waited.", "queue_ns"),
    ("nv_inference_compute_input_duration_us", "Time spent decoding inputs.", "compute_input_ns"),
    ("nv_inference_compute_infer_duration_us", "Time spent in the model.", "compute_infer_ns"),
    ("nv_inference_compute_output_duration_us", "Time spent encoding outputs.", "compute_output_ns"),
)


class ModelCollector(Collector):
    """Every model's counters, as they were put into `snapshots`."""

    def __init__(self) -> None:
        self.snapshots: Snapshots = []

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        snapshots = self.snapshots
        yield from (_counter(name, text, attribute, snapshots) for name, text, attribute in _COUNTERS)
        yield _arrivals(snapshots)
        yield _failures(snapshots)
        yield from _in_flight(snapshots)
        yield from _batching(snapshots)
        yield _durations(snapshots)
        yield _waits(snapshots)


class GpuCollector(Collector):
    """Every device at the moment of the scrape; one that tells no utilization has none."""

    def __init__(self, gpus: GpuReader) -> None:
        self._gpus = gpus

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
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


class MemoryCollector(Collector):
    """What the container uses and may use, all workers together; nothing where no control group tells."""

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        groups = find_control_groups()
        limit = find_memory_limit(groups)
        yield from memory_metrics(working_set_bytes(groups), None if limit is None else limit.limit_bytes)


class FileGauges(Collector):
    """Which of the files that are read again when they change could not be used; see `FilePoller.refused`."""

    def __init__(self, refused: Callable[[], Mapping[str, bool]]) -> None:
        self._refused = refused

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        gauge = GaugeMetricFamily(
            "modelservice_file_refused",
            "1 where a file changed to what cannot be used, so that the one before it still holds.",
            labels=("file",),
        )
        for name, is_refused in self._refused().items():
            gauge.add_metric((name,), is_refused)
        yield gauge


def memory_metrics(used_bytes: int | None, limit_bytes: int | None) -> Iterator[Metric]:
    """What is known of the container's memory."""
    if used_bytes is not None:
        text = "Memory of the container without idle files, as the kubelet counts it."
        yield GaugeMetricFamily("modelservice_memory_working_set_bytes", text, value=used_bytes)
    if limit_bytes is not None:
        text = "The container's limit of memory."
        yield GaugeMetricFamily("modelservice_memory_limit_bytes", text, value=limit_bytes)


class MetricsApplication:
    """Answers `GET /metrics`, and `GET /v2/models/stats` as the REST port does; nothing else."""

    def __init__(
        self, source: SnapshotSource, gpus: GpuReader | None = None, collectors: Iterable[Collector] = ()
    ) -> None:
        self._source = source
        self._models = ModelCollector()
        self._registry = CollectorRegistry()
        self._registry.register(self._models)
        if gpus is not None:
            self._registry.register(GpuCollector(gpus))
        self._registry.register(MemoryCollector())
        for collector in collectors:
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        build = {b"/metrics": self._metrics, b"/v2/models/stats": _statistics}.get(
            request.target.partition(b"?")[0]
        )
        if build is None:
            request.reply(HttpResponse(404, error_body("the metrics are at /metrics")))
        elif request.method not in (b"GET", b"HEAD"):
            allow = ((b"Allow", b"GET, HEAD"),)
            request.reply(HttpResponse(405, error_body("this path takes GET, HEAD"), headers=allow))
        else:
            self._source.gather(partial(_answer, request, build))

    def _metrics(self, snapshots: Snapshots) -> HttpResponse:
        return HttpResponse(200, self.render(snapshots), TEXT)

    def render(self, snapshots: Snapshots) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        self._models.snapshots = snapshots
        return generate_latest(self._registry).replace(b" untyped\n", b" counter\n")


def _answer(request: HttpRequest, build: Callable[[Snapshots], HttpResponse], snapshots: Snapshots) -> None:
    """Perhaps later, where no connection stands behind: the last boundary is here."""
    try:
        response = build(snapshots)
    except Exception:
        log.exception("internal error")
        response = error_response(internal_error())
    request.reply(response)


def _statistics(snapshots: Snapshots) -> HttpResponse:
    return HttpResponse(200, orjson.dumps(model_statistics(snapshots)))


def _counter(name: str, text: str, attribute: str, snapshots: Snapshots) -> Metric:
    metric = UntypedMetricFamily(name, text, labels=_LABELS)
    for snapshot in snapshots:
        value = getattr(snapshot.statistics, attribute)
        scale = 1000 if attribute.endswith("_ns") else 1
        metric.add_metric(_labels(snapshot), value // scale)
    return metric


def _arrivals(snapshots: Snapshots) -> Metric:
    metric = CounterMetricFamily(
        "modelservice_requests", "Requests for the model, by protocol.", labels=(*_LABELS, "protocol")
    )
    for snapshot in snapshots:
        for protocol, count in snapshot.statistics.arrivals.items():
            metric.add_metric((*_labels(snapshot), protocol), count)
    return metric


def _failures(snapshots: Snapshots) -> Metric:
    metric = UntypedMetricFamily(
        "nv_inference_request_failure", "Requests that failed, by reason.", labels=(*_LABELS, "reason")
    )
    for snapshot in snapshots:
        for reason, count in snapshot.statistics.failures.items():
            metric.add_metric((*_labels(snapshot), reason), count)
    return metric


def _in_flight(snapshots: Snapshots) -> Iterator[Metric]:
    """Requests that wait or run, now and on average: the counter's rate misses none between two scrapes."""
    gauges = (
        (
            "nv_inference_pending_request_count",
            "Requests that wait or run.",
            [one.pending for one in snapshots],
        ),
        (
            "modelservice_requests_waiting",
            "Requests that wait for a run.",
            [one.waiting for one in snapshots],
        ),
        (
            "modelservice_requests_running",
            "Requests that are decoded, run or encoded.",
            [one.pending - one.waiting for one in snapshots],
        ),
    )
    for name, text, numbers in gauges:
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        for snapshot, number in zip(snapshots, numbers, strict=True):
            gauge.add_metric(_labels(snapshot), number)
        yield gauge
    total = CounterMetricFamily(
        "modelservice_in_flight_seconds",
        "Requests that wait or run, integrated over time: its rate is how many there are on average.",
        labels=_LABELS,
    )
    for snapshot in snapshots:
        total.add_metric(_labels(snapshot), snapshot.in_flight_ns / 1e9)
    yield total


def _batching(snapshots: Snapshots) -> Iterator[Metric]:
    """How many rows share a run; why, or why none do."""
    rows = GaugeMetricFamily(
        "modelservice_max_batch_size", "Rows that may share a run; 1 without batching.", labels=_LABELS
    )
    info = GaugeMetricFamily(
        "modelservice_batching_info",
        "What says that rows are independent of each other (graph or owner), and what speaks against it.",
        labels=(*_LABELS, "source", "obstacle"),
    )
    for snapshot in snapshots:
        batching = snapshot.batching
        if batching is not None:
            rows.add_metric(_labels(snapshot), batching.max_batch_size)
            info.add_metric((*_labels(snapshot), batching.source or "", batching.obstacle or ""), 1)
    yield from (rows, info)


def _durations(snapshots: Snapshots) -> Metric:
    return _histogram(
        "modelservice_request_duration_seconds",
        "Time from a request's last byte to its answer.",
        DURATION_BUCKETS_SECONDS,
        [(one, one.statistics.duration_counts, one.statistics.duration_sum_ns) for one in snapshots],
    )


def _waits(snapshots: Snapshots) -> Metric:
    return _histogram(
        "modelservice_request_queue_seconds",
        "Time that requests waited for a run, also those that gave up; hardly any where they run at once.",
        QUEUE_BUCKETS_SECONDS,
        [(one, one.statistics.queue_counts, one.statistics.waited_ns) for one in snapshots],
    )


def _histogram(
    name: str,
    text: str,
    bounds: Sequence[float],
    counted: Iterable[tuple[ModelSnapshot, Sequence[int], int]],
) -> Metric:
    """A histogram from what each model counted: the requests of each bucket, and the sum in nanoseconds."""
    metric = HistogramMetricFamily(name, text, labels=_LABELS)
    names = [*map(str, bounds), "+Inf"]
    for snapshot, counts, sum_ns in counted:
        buckets = list(zip(names, accumulate(counts), strict=True))
        metric.add_metric(_labels(snapshot), buckets, sum_value=sum_ns / 1e9)
    return metric


def _labels(snapshot: ModelSnapshot) -> tuple[str, str]:
    return snapshot.name, snapshot.version
