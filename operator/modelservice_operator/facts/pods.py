"""Reading pods: the few fields of a raw pod that say how far it is and why it is not further. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import labels
from modelservice_operator.facts.names import FETCH_CONTAINER, SERVER_CONTAINER
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

MOMENT_SECONDS = 2.0
"""Kubernetes cuts times to whole seconds, and a time that is told after a write is later than the write."""


def of_revision(pods: Sequence[Mapping[str, Any]], revision: str) -> list[Mapping[str, Any]]:
    """Return the pods of a revision that are here to stay, oldest first.

    One that ended as a whole (evicted, past its deadline, refused by its node) does not come back: its
    ReplicaSet counts it no more and has made another.
    """
    return [pod for pod in _all_of(pods, revision) if not _has_ended(pod)]


def last_failed(pods: Sequence[Mapping[str, Any]], revision: str) -> Mapping[str, Any]:
    """Return the newest pod that failed as a whole, nothing where a later one has become ready since."""
    newest_first = _all_of(pods, revision)[::-1]
    nothing: Mapping[str, Any] = {}
    found = next((pod for pod in newest_first if is_ready(pod) or _phase(pod) == "Failed"), nothing)
    return nothing if is_ready(found) else found


def _all_of(pods: Sequence[Mapping[str, Any]], revision: str) -> list[Mapping[str, Any]]:
    mine = [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(labels.REVISION) == revision
        and not pod["metadata"].get("deletionTimestamp")
    ]
    return sorted(mine, key=_age)


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return _phase(pod) in ("Failed", "Succeeded")


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase"))


def _age(pod: Mapping[str, Any]) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp") or ""), _name(pod)


def _name(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("name", ""))


def condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the pod's condition of this type, an empty mapping where there is none."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item.get("type") == kind), {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod gets requests."""
    return bool(condition(pod, "Ready").get("status") == "True")


def containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the status of each container, the fetcher's first."""
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def fetcher(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of the init container, an empty mapping where there is none."""
    return next((one for one in containers(pod) if one.get("name") == FETCH_CONTAINER), {})


def server(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of the server's container, an empty mapping where there is none."""
    return next((one for one in containers(pod) if one.get("name") == SERVER_CONTAINER), {})


def state(container: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the container's present state if it is `waiting` or `terminated`, else nothing."""
    return (container.get("state") or {}).get(kind) or {}


def is_running(container: Mapping[str, Any]) -> bool:
    """Whether the container runs now."""
    return (container.get("state") or {}).get("running") is not None


def failure(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how the container failed last (`terminated`), nothing where it succeeded or never ended.

    A container that is being tried again has still failed: only success makes a failure history.
    """
    ended = state(container, "terminated") or (container.get("lastState") or {}).get("terminated") or {}
    return ended if ended.get("exitCode", 0) != 0 or ended.get("reason") == "OOMKilled" else {}


def has_started(pod: Mapping[str, Any]) -> bool:
    """Whether any container of the pod has ever run: all its volumes are mounted then."""
    return any(is_running(one) or state(one, "terminated") or one.get("lastState") for one in containers(pod))


def container_spec(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the pod's container of this name as specified, an empty mapping where there is none."""
    spec = pod.get("spec") or {}
    both = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return next((one for one in both if one.get("name") == name), {})


def args(pod: Mapping[str, Any], name: str) -> Sequence[str]:
    """Return the arguments of the pod's container of this name."""
    found: Sequence[str] = container_spec(pod, name).get("args") or ()
    return found


def is_made_since(pod: Mapping[str, Any], time: datetime) -> bool:
    """Whether the pod was made after this time or a moment before: who tells the time is a little late."""
    created = parse_time(pod["metadata"].get("creationTimestamp"))
    return created is not None and created > time - timedelta(seconds=MOMENT_SECONDS)
