"""Where the ready pods of services are, from the EndpointSlices that Kubernetes makes for their Services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelservice_autoscaler import metrics
from modelservice_autoscaler.watching.services import Key
from modelservice_operator.facts.labels import MANAGED_BY_SELECTOR, NAME

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

SERVICE_NAME = "kubernetes.io/service-name"
SELECTOR = f"endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io,{MANAGED_BY_SELECTOR}"
"""Slices have the labels of their Service; those that lead to the activator have another manager."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod that is ready."""

    uid: str
    address: str


@dataclass(frozen=True, slots=True)
class _Slice:
    key: Key
    version: str
    endpoints: tuple[Endpoint, ...]


class Endpoints:
    """The ready pods of every service; listens to a watch of EndpointSlices."""

    def __init__(self) -> None:
        self._slices: dict[tuple[str, str], _Slice] = {}
        self._of: dict[Key, dict[str, _Slice]] = {}

    def ready(self, key: Key) -> tuple[Endpoint, ...]:
        """The ready pods of a service, each once: with both families it stands in two slices."""
        found = {one.uid: one for part in self._of.get(key, {}).values() for one in part.endpoints}
        return tuple(found.values())

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in a slice as the watch tells it."""
        metadata = obj["metadata"]
        place = (metadata["namespace"], metadata["name"])
        self._drop(place)
        labels = metadata.get("labels") or {}
        name = labels.get(SERVICE_NAME)
        # A revision's own Service has another name than the ModelService.
        if event == "DELETED" or name is None or labels.get(NAME) != name:
            return
        part = _Slice(Key(place[0], name), metadata["resourceVersion"], tuple(read_endpoints(obj)))
        self._slices[place] = part
        self._of.setdefault(part.key, {})[place[1]] = part
        metrics.PODS.inc(len(part.endpoints))

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """Forget what went unseen."""
        for place, part in tuple(self._slices.items()):
            if place not in seen and int(part.version) <= int(version):
                self._drop(place)

    def _drop(self, place: tuple[str, str]) -> None:
        part = self._slices.pop(place, None)
        if part is None:
            return
        metrics.PODS.dec(len(part.endpoints))
        rest = self._of[part.key]
        del rest[place[1]]
        if not rest:
            del self._of[part.key]


def read_endpoints(obj: Mapping[str, Any]) -> Iterator[Endpoint]:
    """The ready pods of a slice; those that end are not ready."""
    for endpoint in obj.get("endpoints") or ():
        # Left out means true (discovery.k8s.io/v1).
        is_ready = (endpoint.get("conditions") or {}).get("ready") is not False
        uid, addresses = (endpoint.get("targetRef") or {}).get("uid"), endpoint.get("addresses")
        if is_ready and uid and addresses:
            yield Endpoint(uid, addresses[0])
