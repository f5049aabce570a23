"""What is shown of services and pods, before it is known where: rows, and the same as JSON values. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelservice_cli.rollout.facts import Object
from modelservice_cli.rollout.report import Part, Table
from modelservice_cli.top.busy import Busy, busy_together
from modelservice_operator.facts import labels
from modelservice_operator.facts.pods import is_ready
from modelservice_operator.facts.recorded import condition_of

_NOT_TOLD = "-"
_MIB = 1 << 20
_COLUMNS: tuple[tuple[str, Callable[[Busy], str]], ...] = (
    ("CONC", lambda busy: f"{busy.concurrency:.1f}"),
    ("WAIT", lambda busy: str(busy.waiting)),
    ("RPS", lambda busy: f"{busy.requests_per_second:.1f}"),
    ("P99", lambda busy: _time(busy.p99_seconds)),
    ("QUEUE", lambda busy: _time(busy.queue_p95_seconds)),
    ("CPU", lambda busy: f"{busy.cpu_cores:.2f}"),
    ("MEM", lambda busy: f"{busy.memory_bytes / _MIB:.0f}Mi"),
    ("GPU", lambda busy: _percent(busy.gpu_utilization)),
    ("VRAM", lambda busy: _percent(busy.gpu_memory)),
)
"""How each number is written; short, so that all fit into 80 columns."""
_ONLY_WHERE_TOLD = ("GPU", "VRAM", "ENGINE")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow:
    """A pod; `busy` is None where it does not answer, or has not yet twice."""

    name: str
    revision: str
    is_ready: bool
    busy: Busy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """A ModelService and its pods, by their names."""

    name: str
    service: Object
    pods: tuple[PodRow, ...]

    @property
    def ready(self) -> int:
        """Pods that clients may find."""
        return sum(pod.is_ready for pod in self.pods)

    @property
    def wanted(self) -> int | None:
        """Pods that are wanted; None where neither the spec nor the status says a number yet."""
        spec, status = self.service.get("spec") or {}, self.service.get("status") or {}
        found = spec.get("replicas", status.get("replicas"))
        return None if found is None else int(found)

    @property
    def busy(self) -> Busy | None:
        """All pods together."""
        return busy_together(pod.busy for pod in self.pods if pod.busy is not None)

    @property
    def engine(self) -> str:
        """Who steers the number of pods; empty where nobody does."""
        return str(_status(self.service, "autoscaling").get("engine") or "")

    @property
    def decision(self) -> Mapping[str, Any]:
        """What the autoscaler decided last, empty where it is not ours, or has not yet."""
        return _status(self.service, "autoscaler")

    @property
    def steering(self) -> Mapping[str, Any]:
        """The condition AutoscalingActive: whether the engine works, and why not; empty without one."""
        return condition_of(self.service.get("status") or {}, "AutoscalingActive")


def service_rows(
    services: Iterable[Object], pods: Sequence[Object], busy: Mapping[str, Busy]
) -> list[ServiceRow]:
    """Rows by name; `busy` is by the pods' uid."""
    of_service: dict[str, list[PodRow]] = {}
    for pod in sorted(pods, key=lambda one: str(one["metadata"]["name"])):
        metadata = pod["metadata"]
        known = metadata.get("labels") or {}
        row = PodRow(
            name=str(metadata["name"]),
            revision=str(known.get(labels.REVISION, "")),
            is_ready=is_ready(pod) and not metadata.get("deletionTimestamp"),
            busy=busy.get(str(metadata.get("uid"))),
        )
        of_service.setdefault(str(known.get(labels.NAME, "")), []).append(row)
    named = {str(service["metadata"]["name"]): service for service in services}
    return [
        ServiceRow(name=name, service=named[name], pods=tuple(of_service.get(name, ())))
        for name in sorted(named)
    ]


def services_report(rows: Sequence[ServiceRow]) -> list[Part]:
    """One line for each service, and below them what steers it, and how that goes."""
    if not rows:
        return ["There is no ModelService here."]
    header = ("NAME", "PODS", *(name for name, _ in _COLUMNS), "ENGINE")
    lines = [
        (row.name, f"{row.ready}/{_wanted(row)}", *_numbers(row.busy), row.engine or _NOT_TOLD)
        for row in rows
    ]
    told = [f"{row.name}: {_steering(row)}" for row in rows if row.steering]
    table = _without_empty_columns(header, lines)
    return [table, "\n".join(told)] if told else [table]


def pods_report(row: ServiceRow) -> list[Part]:
    """One line for each pod of a service, and what is wanted of it above."""
    sentences = [f"{row.name}: {row.ready} of {_wanted(row)} pods are ready"]
    if row.steering:
        sentences.append(_steering(row))
    header = ("POD", *(name for name, _ in _COLUMNS))
    lines = [(_pod_name(pod), *_numbers(pod.busy)) for pod in row.pods]
    if len(lines) > 1:
        lines.append(("all", *_numbers(row.busy)))
    headline = "; ".join(sentences)
    return [headline, _without_empty_columns(header, lines)] if lines else [headline]


def _without_empty_columns(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """Not everybody has GPUs, or somebody who steers."""
    kept = [
        index
        for index, name in enumerate(header)
        if name not in _ONLY_WHERE_TOLD or any(line[index] != _NOT_TOLD for line in lines)
    ]
    rows = tuple(tuple(line[index] for index in kept) for line in lines)
    return Table(tuple(header[index] for index in kept), rows)


def as_json(row: ServiceRow) -> dict[str, Any]:
    """A service and its pods; null is what is not known."""
    return {
        "name": row.name,
        "readyPods": row.ready,
        "wantedPods": row.wanted,
        "engine": row.engine or None,
        "decision": dict(row.decision) or None,
        "autoscaling": _steering_json(row.steering),
        "load": _busy_json(row.busy),
        "pods": [
            {"name": pod.name, "revision": pod.revision, "ready": pod.is_ready, "load": _busy_json(pod.busy)}
            for pod in row.pods
        ],
    }


def _steering_json(told: Mapping[str, Any]) -> dict[str, Any] | None:
    if not told:
        return None
    return {"active": told.get("status") == "True", "reason": told["reason"], "message": told["message"]}


def _busy_json(busy: Busy | None) -> dict[str, Any] | None:
    if busy is None:
        return None
    return {
        "running": busy.running,
        "waiting": busy.waiting,
        "concurrency": busy.concurrency,
        "requestsPerSecond": busy.requests_per_second,
        "latencyP99Seconds": busy.p99_seconds,
        "queueP95Seconds": busy.queue_p95_seconds,
        "cpuCores": busy.cpu_cores,
        "memoryBytes": busy.memory_bytes,
        "gpuUtilization": busy.gpu_utilization,
        "gpuMemoryUtilization": busy.gpu_memory,
    }


def _status(service: Object, field: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (service.get("status") or {}).get(field) or {}
    return found


def _numbers(busy: Busy | None) -> tuple[str, ...]:
    return tuple(_NOT_TOLD if busy is None else write(busy) for _, write in _COLUMNS)


def _wanted(row: ServiceRow) -> str:
    return "?" if row.wanted is None else str(row.wanted)


def _pod_name(pod: PodRow) -> str:
    return pod.name if pod.is_ready else f"{pod.name} (not ready)"


def _steering(row: ServiceRow) -> str:
    """What is true now: the engine and its last decision, or why it makes none."""
    told = row.steering
    message = str(told.get("message") or "").rstrip(".")
    return message if told.get("status") == "True" else f"{told.get('reason')}: {message}"


def _time(seconds: float | None) -> str:
    """Three digits that matter, in a unit that suits."""
    if seconds is None:
        return _NOT_TOLD
    if seconds >= 1:
        return f"{seconds:.3g}s"
    return f"{seconds * 1000:.3g}ms" if seconds >= 0.001 else f"{seconds * 1e6:.3g}us"


def _percent(share: float | None) -> str:
    return _NOT_TOLD if share is None else f"{share:.0%}"
