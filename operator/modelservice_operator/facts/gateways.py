"""What Gateways and their classes say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  msgspec reads the annotations at run time
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts.labels import GATEWAY_FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterable


_TRIED = {
    "gateway.envoyproxy.io/gatewayclass-controller": frozenset(
        {
            "HTTPRoutePathRewrite",
            "HTTPRouteRequestMirror",
            "HTTPRouteRequestPercentageMirror",
            "HTTPRouteRequestTimeout",
        }
    )
}
"""What was seen to work with controllers whose classes list no features: Envoy Gateway 1.9."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of an object that is not ours."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """One listener of a Gateway."""

    name: str
    port: int
    protocol: str
    hostname: str = ""
    conditions: tuple[Condition, ...] = ()


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A Gateway, with what decides where its routes answer."""

    namespace: str
    name: str
    class_name: str
    listeners: tuple[Listener, ...]
    addresses: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


class GatewayClass(msgspec.Struct, frozen=True, kw_only=True):
    """A class of Gateways. `features` are those that it says it supports, None where it says nothing."""

    name: str
    features: frozenset[str] | None = None
    conditions: tuple[Condition, ...] = ()


class RouteParent(msgspec.Struct, frozen=True, kw_only=True):
    """What a Gateway says of a route, by the reference that the route makes to it."""

    ref: Mapping[str, Any]
    conditions: tuple[Condition, ...]


def read_gateway(obj: Mapping[str, Any]) -> Gateway:
    """Return what a Gateway says, as read."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    said = {one.get("name"): one.get("conditions") or () for one in status.get("listeners") or ()}
    return Gateway(
        namespace=metadata["namespace"],
        name=metadata["name"],
        class_name=spec.get("gatewayClassName") or "",
        listeners=tuple(
            _read_listener(one, said.get(one.get("name"), ())) for one in spec.get("listeners") or ()
        ),
        addresses=tuple(one["value"] for one in status.get("addresses") or () if one.get("value")),
        conditions=read_conditions(status.get("conditions") or ()),
    )


def _read_listener(one: Mapping[str, Any], said: Iterable[Mapping[str, Any]]) -> Listener:
    return Listener(
        name=one.get("name") or "",
        port=one.get("port") or 0,
        protocol=one.get("protocol") or "",
        hostname=one.get("hostname") or "",
        conditions=read_conditions(said),
    )


def read_gateway_class(obj: Mapping[str, Any]) -> GatewayClass:
    """Return what a GatewayClass says, as read."""
    return GatewayClass(
        name=obj["metadata"]["name"],
        features=_read_features(obj),
        conditions=read_conditions((obj.get("status") or {}).get("conditions") or ()),
    )


def _read_features(obj: Mapping[str, Any]) -> frozenset[str] | None:
    """Return what the administrator says, else the class, else what is known of its controller."""
    told = (obj["metadata"].get("annotations") or {}).get(GATEWAY_FEATURES)
    if told is not None:
        return frozenset(told.replace(",", " ").split())
    # They are objects today, and were texts once.
    listed = (obj.get("status") or {}).get("supportedFeatures")
    if listed:
        return frozenset(str(one["name"] if isinstance(one, dict) else one) for one in listed)
    return _TRIED.get((obj.get("spec") or {}).get("controllerName") or "")


def read_conditions(found: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Return conditions without their times, which change nothing."""
    return tuple(
        Condition(
            type=one.get("type") or "",
            status=one.get("status") or "",
            reason=one.get("reason") or "",
            message=one.get("message") or "",
        )
        for one in found
    )


def read_parents(status: Mapping[str, Any], generation: int) -> tuple[RouteParent, ...]:
    """Return what Gateways say of this generation of a route."""
    return tuple(
        RouteParent(
            ref=one.get("parentRef") or {},
            conditions=read_conditions(
                condition
                for condition in one.get("conditions") or ()
                if condition.get("observedGeneration", generation) >= generation
            ),
        )
        for one in status.get("parents") or ()
    )
