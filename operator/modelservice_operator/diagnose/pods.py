"""Reading pods: the few fields of a raw pod that a diagnosis needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator import labels
from modelservice_operator.resources.pod import FETCH_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def of_revision(pods: Sequence[Mapping[str, Any]], revision: str) -> list[Mapping[str, Any]]:
    """Return the pods of a revision that are here to stay, oldest first."""
    mine = [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(labels.REVISION) == revision
        and not pod["metadata"].get("deletionTimestamp")
    ]
    return sorted(mine, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", _name(pod)))


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
