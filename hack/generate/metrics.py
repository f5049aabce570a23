"""Every metric that our processes export, asked of the code that exports them, and the page that lists them.

Tests hold dashboards and alert rules to the same list.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.parser import text_string_to_metric_families

from modelservice_activator import metrics as activator
from modelservice_autoscaler import metrics as autoscaler
from modelservice_operator import common_metrics
from modelservice_operator import metrics as operator
from modelservice_operator.common_metrics import process_registry
from modelservice_operator.explain.states import FAMILIES, read_states
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.generation.statistics import GenerationStatistics
from modelservice_runtime.generation.values import GenerationLimits
from modelservice_runtime.machine.gpu_devices import GpuDevice
from modelservice_runtime.model import Batching
from modelservice_runtime.models.snapshots import ModelSnapshot
from modelservice_runtime.observe.generation_metrics import GenerationMetrics
from modelservice_runtime.observe.metrics import FileGauges, GpuCollector, ModelCollector, memory_metrics
from modelservice_runtime.workers.gauges import WorkerGauges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from prometheus_client.core import Metric

    from modelservice_runtime.generation.values import GenerativeModel
    from modelservice_runtime.machine.gpu_devices import GpuReader

PAGE = Path("docs/reference/metrics.md")
_SUFFIXES = {"counter": "_total", "info": "_info"}
_COMPONENTS = {
    "operator": (operator, (common_metrics.CLIENT, common_metrics.LEASE)),
    "autoscaler": (autoscaler, (common_metrics.CLIENT, common_metrics.LEASE)),
    "activator": (activator, (common_metrics.CLIENT,)),
}
_TITLES = {
    "server": ("Model servers", "Port 8082 of model pods."),
    "operator": ("Operator", "Port 8081."),
    "services": ("States of services", "Port 8081 of the operator that leads."),
    "autoscaler": ("Autoscaler", "Port 8081."),
    "activator": ("Activator", "Port 8081."),
    "process": ("Every process", "Of the Linux process and its Python; the last one of servers alone."),
}


class Exported(NamedTuple):
    """One metric as documents name it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str

    @property
    def series(self) -> dict[str, tuple[str, ...]]:
        """Labels by the names that queries use: a histogram has several."""
        if self.kind != "histogram":
            return {self.name: self.labels}
        counts = {f"{self.name}{suffix}": self.labels for suffix in ("_sum", "_count")}
        return {f"{self.name}_bucket": (*self.labels, "le"), **counts}


class _OneGpu:
    """A device, for its metrics' names."""

    def read(self) -> list[GpuDevice]:
        return [GpuDevice("GPU-0", "GPU", 1, 1, 0.5)]


class _OneLane:
    """A lane of generations, for its metrics' names."""

    limits = GenerationLimits(1, 1, 1, 1)
    statistics = GenerationStatistics()
    kv_usage = 0.5
    running = waiting = tokens_in_flight = 1
    adapters_in_use = frozenset({"a"}), frozenset[str]()


def exported() -> dict[str, list[Exported]]:
    """All metrics: of the server, the components, services, and every process."""
    found = {"server": list(_read(_of_server()))}
    for name, (own, common) in _COMPONENTS.items():
        found[name] = list(_of_component(own, common))
    found["services"] = list(_states())
    found["process"] = list(_read([*ProcessCollector(registry=None).collect(), *_platform()]))
    return {name: found[name] for name in _TITLES}


def exported_series() -> dict[str, tuple[str, ...]]:
    """Labels of all series by their names."""
    return {
        name: labels
        for metrics in exported().values()
        for metric in metrics
        for name, labels in metric.series.items()
    }


def metrics_page() -> dict[Path, str]:
    """The page of the documentation that lists them all."""
    lines = [
        "# Metrics",
        "",
        "What each process tells Prometheus; [Observability](../observability.md) says how.",
    ]
    for part, metrics in exported().items():
        title, where = _TITLES[part]
        lines += [
            "",
            f"## {title}",
            where,
            "",
            "| Metric | Type | Labels | What it tells |",
            "|---|---|---|---|",
        ]
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            text = metric.text if metric.text.endswith((".", ")")) else f"{metric.text}."
            lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {text} |")
    return {PAGE: "\n".join(lines) + "\n"}


def _read(families: Iterable[Metric]) -> Iterator[Exported]:
    """Families with a sample of each; what is of no type in Python is a counter in the text."""
    for family in families:
        kind = "counter" if family.type == "unknown" else family.type
        name = family.name + _SUFFIXES.get(family.type, "")
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        assert family.samples, f"{family.name} has no sample to read its labels off"
        yield Exported(name, kind, tuple(labels), family.documentation)


def _of_server() -> Iterator[Metric]:
    models = ModelCollector()
    batching = Batching(max_batch_size=2, source="graph", obstacle=None)
    models.snapshots = [ModelSnapshot("m", "1", 0, ModelStatistics(), batching)]
    yield from models.collect()
    yield from GpuCollector(cast("GpuReader", _OneGpu())).collect()
    yield from memory_metrics(1, 1)
    yield from WorkerGauges().collect()
    yield from FileGauges(lambda: {"tls": False}).collect()
    generative = SimpleNamespace(name="m", lane=_OneLane(), adapters=("a",))
    yield from GenerationMetrics(lambda: [cast("GenerativeModel", generative)]).collect()


def _of_component(own: ModuleType, common: tuple[CollectorRegistry, ...]) -> Iterator[Exported]:
    # Labels are known of those that have counted nothing yet, too.
    labels = {
        metric._name: tuple(metric._labelnames)
        for module in (own, common_metrics)
        for metric in vars(module).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    }
    for metric in process_registry(own.PREFIX, own.REGISTRY, *common).collect():
        if not metric.name.startswith(own.PREFIX):
            continue  # of the process
        bare = metric.name.removeprefix(f"{own.PREFIX}_")
        known = labels.get(metric.name, labels.get(bare, ("version", "python") if bare == "build" else ()))
        suffix = _SUFFIXES.get(metric.type, "")
        yield Exported(metric.name + suffix, metric.type, known, metric.documentation)


def _states() -> Iterator[Exported]:
    service = {
        "metadata": {"namespace": "mail", "name": "spam"},
        "spec": {"autoscaling": {"maxReplicas": 2}},
        "status": {
            "autoscaling": {"engine": "Builtin"},
            "autoscaler": {"desired": 1, "limit": "MaxReplicas"},
            "rollout": {"phase": "Paused", "paused": "Requested", "step": 1, "steps": 2, "weight": 50},
        },
    }
    lines = dict(read_states(msgspec.json.encode(service)))
    for family in FAMILIES:
        (metric,) = text_string_to_metric_families(lines[family])
        yield Exported(family.name, "gauge", tuple(metric.samples[0].labels), family.text)


def _platform() -> Iterable[Metric]:
    return PlatformCollector(registry=None).collect()
