"""From watches of EndpointSlices and ModelServices to the services. What is no news changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_activator.watching.services import Wish
from modelservice_operator.facts.endpoints import read_slice
from modelservice_operator.facts.labels import (
    MANAGED_BY_SELECTOR,
    NAME,
    REVISION,
    SLICE_MANAGED_BY,
    SLICE_OF,
    STANDBY_MANAGER,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from modelservice_activator.watching.services import Key, Services
    from modelservice_operator.facts.endpoints import Slice

SLICES_SELECTOR = f"{MANAGED_BY_SELECTOR},{NAME},!{REVISION}"
"""The operator's own slices, and those of its Services, which have their labels; not those of revisions."""
CONTROLLER = "endpointslice-controller.k8s.io"
"""Who says in a slice of a Service which pods are ready: Kubernetes' own controller, and nobody else."""


class SliceListener:
    """Keeps the slices of services current."""

    def __init__(self, services: Services) -> None:
        self._setters: dict[str, Callable[[Key, str, Slice | None], None]] = {
            STANDBY_MANAGER: services.set_standby,
            CONTROLLER: services.set_backed,
        }
        self._known: dict[Key, tuple[Key, str, str]] = {}
        """By the slice's namespace and name: the service, whose slice it is, its resourceVersion."""

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A slice, as it is or was."""
        metadata = obj["metadata"]
        labels = metadata.get("labels") or {}
        place = metadata["namespace"], metadata["name"]
        owner, service = labels.get(SLICE_MANAGED_BY), labels.get(NAME)
        # The headless Service of a service has other ports, and the same pods.
        wanted = owner in self._setters and labels.get(SLICE_OF) == service
        if event == "DELETED" or not wanted:
            self._forget(place)
            return
        known = self._known.get(place)
        if known is not None and known[2] == metadata["resourceVersion"]:
            return
        key = metadata["namespace"], str(service)
        if known is not None and known[:2] != (key, owner):
            self._forget(place)
        self._known[place] = key, str(owner), metadata["resourceVersion"]
        self._setters[str(owner)](key, place[1], read_slice(obj))

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """Deletions that no watch delivered; what was written after the list stays."""
        for place, (_, _, known_version) in list(self._known.items()):
            if place not in seen and int(known_version) <= int(version):
                self._forget(place)

    def _forget(self, place: Key) -> None:
        known = self._known.pop(place, None)
        if known is not None:
            key, owner, _ = known
            self._setters[owner](key, place[1], None)


class WishListener:
    """Keeps the wishes of ModelServices current."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[Key, int] = {}

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A ModelService, as it is or was."""
        metadata = obj["metadata"]
        key = metadata["namespace"], metadata["name"]
        if event == "DELETED":
            self._known.pop(key, None)
            self._services.set_wish(key, None)
            return
        self._known[key] = int(metadata["resourceVersion"])
        self._services.set_wish(key, read_wish(obj))

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """Deletions that no watch delivered."""
        for key, known_version in list(self._known.items()):
            if key not in seen and known_version <= int(version):
                del self._known[key]
                self._services.set_wish(key, None)


def read_wish(obj: Mapping[str, Any]) -> Wish | None:
    """Return what a ModelService, as read, wants: nothing when it is being deleted.

    One that is not autoscaled may not sleep.
    """
    if obj["metadata"].get("deletionTimestamp"):
        return None
    spec = obj.get("spec") or {}
    autoscaling = spec.get("autoscaling") or {}
    return Wish(
        replicas=int(spec.get("replicas", 1)),
        min_replicas=int(autoscaling.get("minReplicas", 1)),
        version=obj["metadata"]["resourceVersion"],
    )
