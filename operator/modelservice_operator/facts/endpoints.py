"""What an EndpointSlice says: which addresses answer for a Service, and on which ports. Pure.

Whoever needs the ready pods of a service reads them here, and never the pods themselves.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  msgspec reads the annotations at run time
from typing import Any

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a slice, with the pod that has it.

    Conditions that are left out mean what the API says they mean: ready and serving, not terminating.
    """

    address: str
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    pod: str | None = None
    """The pod's name, None where the address is not a pod's."""
    pod_uid: str | None = None


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of one EndpointSlice."""

    address_type: str
    """IPv4, IPv6 or FQDN."""
    endpoints: tuple[Endpoint, ...]
    ports: Mapping[str, int]
    """Numbers by the names of the Service's ports."""


def read_slice(obj: Mapping[str, Any]) -> Slice:
    """Return what an EndpointSlice says, as read."""
    return Slice(
        address_type=obj.get("addressType") or "IPv4",
        endpoints=tuple(_read_endpoint(one) for one in obj.get("endpoints") or () if one.get("addresses")),
        ports={
            one.get("name") or "": one["port"]
            for one in obj.get("ports") or ()
            if one.get("port") is not None
        },
    )


def _read_endpoint(one: Mapping[str, Any]) -> Endpoint:
    # By the API's own word the addresses beyond the first one mean nothing.
    conditions, target = one.get("conditions") or {}, one.get("targetRef") or {}
    is_pod = target.get("kind") == "Pod"
    ready = conditions.get("ready")
    serving = conditions.get("serving")
    return Endpoint(
        address=one["addresses"][0],
        ready=ready is None or ready,
        serving=serving if serving is not None else ready is None or ready,
        terminating=bool(conditions.get("terminating")),
        pod=target.get("name") if is_pod else None,
        pod_uid=target.get("uid") if is_pod else None,
    )
