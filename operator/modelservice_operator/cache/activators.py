"""The activator's pods: which of them can take over for services that sleep. A listener of a watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.endpoints import Slice, read_slice
from modelservice_operator.facts.standby import Activators

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping


class ActivatorPods:
    """The endpoints of the activator's own Service; calls `changed` when others are ready than before."""

    def __init__(self, namespace: str, changed: Callable[[], None]) -> None:
        self._namespace = namespace
        self._changed = changed
        self._slices: dict[str, Slice] = {}
        self._said: tuple[Slice, ...] = ()

    @property
    def now(self) -> Activators:
        """The pods that are ready, by slice."""
        return Activators(namespace=self._namespace, slices=self._said)

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A slice as listed, or as a watch event brought it."""
        name = obj["metadata"]["name"]
        if event == "DELETED":
            self._slices.pop(name, None)
        else:
            self._slices[name] = read_slice(obj)
        if event is not None:
            self._tell()

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:  # noqa: ARG002  of the protocol
        """A list is complete."""
        known = self._slices.items()
        self._slices = {name: one for name, one in known if (self._namespace, name) in seen}
        self._tell()

    def _tell(self) -> None:
        said = tuple(_ready(self._slices[name]) for name in sorted(self._slices))
        if said != self._said:
            self._said = said
            self._changed()


def _ready(one: Slice) -> Slice:
    endpoints = [endpoint for endpoint in one.endpoints if endpoint.ready and not endpoint.terminating]
    return Slice(
        address_type=one.address_type,
        endpoints=tuple(sorted(endpoints, key=lambda endpoint: endpoint.address)),
        ports=one.ports,
    )
