"""Every metric that our processes export, with its labels, asked of the code that exports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.operator.builders import make_model_service
from tests.unit.runtime.fake_nvml import make_nvml

from modelservice_activator import metrics as activator
from modelservice_autoscaler import metrics as autoscaler
from modelservice_operator import common_metrics
from modelservice_operator import metrics as operator
from modelservice_operator.common_metrics import process_registry
from modelservice_operator.explain.states import FAMILIES, read_states
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.model import Batching
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.models.snapshots import ModelSnapshot
from modelservice_runtime.observe import metrics as runtime
from modelservice_runtime.workers.gauges import WorkerGauges

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

MEMORY = ("modelservice_memory_working_set_bytes", "modelservice_memory_limit_bytes")
_SUFFIXES = {"counter": "_total", "info": "_info"}
_COMPONENTS = {
    "operator": (operator, (common_metrics.CLIENT, common_metrics.LEASE)),
    "autoscaler": (autoscaler, (common_metrics.CLIENT, common_metrics.LEASE)),
    "activator": (activator, (common_metrics.CLIENT,)),
}


class Exported(NamedTuple):
    """One metric as documents name it; `series` are the names that queries know."""

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


def exported() -> dict[str, list[Exported]]:
    """All metrics by process: server, operator, autoscaler, activator."""
    found = {"server": list(_of_server())}
    for name, (own, common) in _COMPONENTS.items():
        found[name] = list(_of_component(own, common))
    found["operator"].extend(_states())
    return found


def exported_series() -> dict[str, tuple[str, ...]]:
    """Labels of all series by their names."""
    return {
        name: labels
        for metrics in exported().values()
        for metric in metrics
        for name, labels in metric.series.items()
    }


def _of_component(own: ModuleType, common: tuple[CollectorRegistry, ...]) -> Iterator[Exported]:
    registry = process_registry(own.PREFIX, own.REGISTRY, *common)
    # Labels are known of those that have no child yet, too.
    labels = {
        metric._name: tuple(metric._labelnames)
        for module in (own, common_metrics)
        for metric in vars(module).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    }
    for metric in registry.collect():
        suffix = _SUFFIXES.get(metric.type, "")
        bare = metric.name.removeprefix(f"{own.PREFIX}_")
        known = labels.get(metric.name, labels.get(bare, ("version", "python") if bare == "build" else ()))
        yield Exported(metric.name + suffix, metric.type, known, metric.documentation)


def _of_server() -> Iterator[Exported]:
    statistics = ModelStatistics()
    batching = Batching(max_batch_size=2, source="graph", obstacle=None)
    application = runtime.MetricsApplication(
        ModelTable(), open_gpus(lambda _: make_nvml(1)), [WorkerGauges()]
    )
    text = application.render([ModelSnapshot("m", "1", 0, statistics, batching)]).decode()
    for family in text_string_to_metric_families(text):
        names = {sample.name for sample in family.samples}
        # The parser gives counters the suffix that OpenMetrics wants; Triton's have none.
        name = family.name
        if family.type == "counter" and f"# TYPE {name} counter" not in text:
            name += "_total"
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        assert names
        yield Exported(name, family.type, tuple(labels), family.documentation)
    for name in MEMORY:
        if f"# TYPE {name} " not in text:  # no control group of this machine tells it
            yield Exported(name, "gauge", (), "")


def _states() -> Iterator[Exported]:
    decision = {"desired": 1, "limit": "MaxReplicas"}
    rollout = {"phase": "Paused", "paused": "Requested", "step": 1, "steps": 2, "weight": 50}
    status = {"autoscaling": {"engine": "Builtin"}, "autoscaler": decision, "rollout": rollout}
    service = make_model_service(status=status, autoscaling={"maxReplicas": 2})
    lines = dict(read_states(msgspec.json.encode(service)))
    for family in FAMILIES:
        (metric,) = text_string_to_metric_families(lines[family])
        yield Exported(family.name, "gauge", tuple(metric.samples[0].labels), family.text)
