"""Where the time of a start from zero went: read off the first pod's conditions and containers. Pure.

Kubernetes writes whole seconds, so a phase may be a second off; what the server says of itself is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.facts.observed import PodReport


def measure(woken_at: str, pods: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return `status.autoscaling.coldStart` by the first pod that became ready, None where none is new.

    `woken_at` is when a pod was wanted again.
    """
    begun = parse_time(woken_at)
    if begun is None:
        return None
    new = [pod for pod in pods if podlib.is_made_since(pod, begun)]
    started = [(ready, pod) for pod in new if (ready := _ready_at(pod)) is not None]
    if not started:
        return None
    ready, pod = min(started, key=lambda one: one[0])
    fetcher, server = podlib.fetcher(pod), podlib.server(pod)
    ended = podlib.state(fetcher, "terminated")
    scheduled = parse_time(podlib.condition(pod, "PodScheduled").get("lastTransitionTime"))
    serves_since = _started_at(server)
    first = parse_time(ended.get("startedAt")) or serves_since
    return _written(
        time=podlib.condition(pod, "Ready")["lastTransitionTime"],
        totalSeconds=_between(begun, ready),
        scheduleSeconds=_between(begun, scheduled),
        pullSeconds=_between(scheduled, first),
        fetchSeconds=_between(parse_time(ended.get("startedAt")), parse_time(ended.get("finishedAt"))),
    )


def complete(
    known: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], reports: Mapping[str, PodReport]
) -> dict[str, Any]:
    """Return the same with what the pod that started says of its load and its warm-up, once it has."""
    if "loadSeconds" in known:
        return {**known}
    for pod in pods:
        report = reports.get(str(pod["metadata"].get("uid")))
        is_it = podlib.condition(pod, "Ready").get("lastTransitionTime") == known.get("time")
        if is_it and report is not None:
            return {
                **known,
                **_written(loadSeconds=report.load_seconds, warmSeconds=report.warm_seconds),
            }
    return {**known}


def _ready_at(pod: Mapping[str, Any]) -> datetime | None:
    ready = podlib.condition(pod, "Ready")
    return parse_time(ready.get("lastTransitionTime")) if ready.get("status") == "True" else None


def _started_at(container: Mapping[str, Any]) -> datetime | None:
    running = (container.get("state") or {}).get("running") or {}
    return parse_time(running.get("startedAt"))


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between two times, none where clocks disagree."""
    if begin is None or end is None:
        return None
    return max(0.0, (end - begin).total_seconds())


def _written(**fields: str | float | None) -> dict[str, Any]:
    """Return what is known, with seconds as the API writes them: decimal numbers as text."""
    return {
        name: value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
        for name, value in fields.items()
        if value is not None
    }
