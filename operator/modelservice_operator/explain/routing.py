"""How requests get to the service from outside, as the status tells it: URLs, and what Gateways say. Pure.

A Gateway is often somebody else's, so nothing here speaks against Ready: it is a condition of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.routing.told import record_told
from modelservice_operator.decide.routing.wanted import owned_routes
from modelservice_operator.explain.conditions import Condition
from modelservice_operator.facts.kinds import GATEWAYS, INGRESSES, ROUTE_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.api import ParentRef, Route
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts import gateways
    from modelservice_operator.facts.gateways import Gateway, Listener, RouteParent
    from modelservice_operator.facts.observed import (
        ApplyFailure,
        ClusterFacts,
        DeploymentChild,
        Observed,
        RouteChild,
    )

ROUTE_READY = "RouteReady"
_TLS = ("HTTPS", "TLS")
_MOST = 32
_REMEDIES = {
    "NotAllowedByListeners": (
        "its listeners admit no route of namespace {namespace}: set allowedRoutes.namespaces in {gateway} "
        "(from: All, or a selector), or name another Gateway"
    ),
    "NoMatchingListenerHostname": (
        "none of its listeners takes {hosts} (they take {listeners}): correct spec.route.hostnames"
    ),
    "HostnameConflict": (
        "a route of another kind has these hosts already: give REST and gRPC hosts of their own "
        "(spec.route.hostnames, grpcHostnames)"
    ),
    "NoMatchingParent": "it has no listener {listener}: correct sectionName or port in spec.route.parentRefs",
    "RefNotPermitted": (
        "something in another namespace is referred to without leave: a ReferenceGrant there has to allow it"
    ),
    "AddressNotAssigned": (
        "nothing has given it an address: does the cluster give Services of type LoadBalancer theirs? "
        "Requests that reach the gateway another way are served"
    ),
    "BackendNotFound": "it does not find the Service yet",
    "InvalidKind": "it takes no Services of this kind",
    "UnsupportedProtocol": "it does not speak the protocol of the Service's port",
}
_BAD_LISTENERS = ("Conflicted", "ResolvedRefs")


def route_status(
    observed: Observed, decision: Decision, deployments: Mapping[str, DeploymentChild], now: datetime
) -> dict[str, Any] | None:
    """Return `status.route`, None without a route."""
    routes = owned_routes(observed)
    wanted = decision.route.route if decision.route else None
    if not routes and wanted is None:
        return None
    reports = list(_reports(observed, routes))
    fields = {
        "urls": _urls(observed, decision, routes, wanted)[:_MOST] or None,
        "parents": [one.as_status() for one in reports][:_MOST] or None,
        **record_told(observed, routes, deployments, now),
    }
    return {name: value for name, value in fields.items() if value is not None} or None


def route_condition(
    observed: Observed, decision: Decision, failures: Sequence[ApplyFailure]
) -> tuple[Condition, ...]:
    """Return the condition of the route, nothing where none is wanted."""
    wish = decision.route
    if wish is None or (wish.route is None and wish.problem is None):
        return ()
    routes = owned_routes(observed)
    if wish.problem is not None:
        stays = " Requests go on by the last good route." if routes else ""
        return (Condition(ROUTE_READY, False, wish.problem.reason, wish.problem.message + stays),)
    refused = next((one for one in failures if one.kind in ROUTE_KINDS), None)
    if refused is not None:
        message = f"{refused.kind} {refused.name!r} was refused: {refused.message}"
        return (Condition(ROUTE_READY, False, refused.reason, message),)
    reports = list(_reports(observed, routes))
    bad = next((one for one in reports if one.reason), None)
    if bad is not None:
        return (Condition(ROUTE_READY, False, bad.reason, _as_sentence(f"{bad.kind}, {bad.message}")),)
    if not reports:
        return (Condition(ROUTE_READY, False, "Pending", "The route is about to be made."),)
    return (Condition(ROUTE_READY, True, "Accepted", "Requests from outside lead here."),)


def _as_sentence(text: str) -> str:
    """End it with a full stop, unless it ends by itself: as a question, or in a controller's words."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one Gateway says of one route; without a `reason` all is well."""

    kind: str
    parent: str
    accepted: bool | None = None
    resolved_refs: bool | None = None
    programmed: bool | None = None
    reason: str = ""
    message: str = ""

    def as_status(self) -> dict[str, Any]:
        fields = {
            "kind": self.kind,
            "parent": self.parent,
            "accepted": self.accepted,
            "resolvedRefs": self.resolved_refs,
            "programmed": self.programmed,
            "message": self.message[:1024] or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _reports(observed: Observed, routes: Sequence[RouteChild]) -> Iterator[_Report]:
    for route in sorted(routes, key=lambda one: one.kind, reverse=True):
        if route.kind == INGRESSES.kind:
            yield _of_ingress(route)
            continue
        for ref in route.spec.get("parentRefs") or ():
            yield _of_parent(observed, route, ref)


def _of_ingress(route: RouteChild) -> _Report:
    """An Ingress has no conditions: that it has an address is all that its controller says."""
    name = str(route.spec.get("ingressClassName") or "")
    shown = f"of class {name}" if name else "of the default class"
    if route.addresses:
        return _Report(kind=route.kind, parent=name, accepted=True)
    message = f"no controller of Ingresses {shown} has given it an address: is one running?"
    return _Report(kind=route.kind, parent=name, reason="Pending", message=message)


def _of_parent(observed: Observed, route: RouteChild, ref: Mapping[str, Any]) -> _Report:
    namespace = ref.get("namespace") or route.namespace
    place = f"{namespace}/{ref['name']}"
    part = ref.get("sectionName") or ref.get("port")
    known = {(one.namespace, one.name): one for one in observed.cluster.gateways}
    gateway = known.get((namespace, ref["name"]))
    said = next((one for one in route.parents if _is_same(one, ref, route.namespace)), None)
    accepted, resolved = _condition(said, "Accepted"), _condition(said, "ResolvedRefs")
    programmed = (
        next((one for one in gateway.conditions if one.type == "Programmed"), None) if gateway else None
    )
    reason, message = _judge(observed, route, ref, gateway, said)
    return _Report(
        kind=route.kind,
        parent=f"{place}/{part}" if part else place,
        accepted=_truth(accepted),
        resolved_refs=_truth(resolved),
        programmed=_truth(programmed),
        reason=reason,
        message=f"Gateway {place}: {message}" if message else "",
    )


def _judge(
    observed: Observed,
    route: RouteChild,
    ref: Mapping[str, Any],
    gateway: Gateway | None,
    said: RouteParent | None,
) -> tuple[str, str]:
    """Return (reason, what is wrong and what to do), two empty texts where nothing is."""
    if (
        gateway is None
        and said is None
        and _would_be_seen(observed.cluster, ref.get("namespace") or route.namespace)
    ):
        return "NoGateway", "it does not exist: create it, or correct spec.route.parentRefs"
    for kind in ("Accepted", "ResolvedRefs"):
        one = _condition(said, kind)
        if one is not None and one.status == "False":
            return one.reason or kind, _remedy(one, route, ref, gateway)
    if gateway is not None:
        for one in (*gateway.conditions, *_of_listeners(gateway, ref)):
            if (one.type == "Programmed" and one.status == "False") or one.reason == "RefNotPermitted":
                return (
                    one.reason or "NotProgrammed",
                    f"it does not work itself: {_remedy(one, route, ref, gateway)}",
                )
    if _condition(said, "Accepted") is None:
        name = f" (class {gateway.class_name})" if gateway else ""
        return "Pending", f"no controller has answered{name}: is one for its class running?"
    return "", ""


def _would_be_seen(cluster: ClusterFacts, namespace: str) -> bool:
    """Whether a Gateway of this namespace would be known."""
    return GATEWAYS.kind in cluster.kinds and (not cluster.namespaces or namespace in cluster.namespaces)


def _remedy(
    one: gateways.Condition, route: RouteChild, ref: Mapping[str, Any], gateway: Gateway | None
) -> str:
    hosts = ", ".join(route.spec.get("hostnames") or ("any host",))
    taken = ", ".join(one.hostname or "any host" for one in gateway.listeners) if gateway else "unknown"
    text = _REMEDIES.get(one.reason, one.message or one.reason)
    facts = {
        "namespace": route.namespace,
        "gateway": f"{ref.get('namespace') or route.namespace}/{ref['name']}",
        "hosts": hosts,
        "listeners": taken,
        "listener": ref.get("sectionName") or f"with port {ref.get('port')}",
    }
    filled = text.format(**facts) if one.reason in _REMEDIES else text
    return (f"{filled} ({one.message})" if one.reason in _REMEDIES and one.message else filled).rstrip(".")


def _of_listeners(gateway: Gateway, ref: Mapping[str, Any]) -> Iterator[gateways.Condition]:
    """Yield what is said of the listeners that the route may be attached to."""
    for listener in _listeners(gateway, ref):
        yield from listener.conditions


def _listeners(gateway: Gateway, ref: Mapping[str, Any]) -> list[Listener]:
    name, port = ref.get("sectionName"), ref.get("port")
    return [one for one in gateway.listeners if name in (None, one.name) and port in (None, one.port)]


def _is_same(said: RouteParent, ref: Mapping[str, Any], namespace: str) -> bool:
    theirs = said.ref
    return (
        theirs.get("name") == ref["name"]
        and (theirs.get("namespace") or namespace) == (ref.get("namespace") or namespace)
        and theirs.get("sectionName") == ref.get("sectionName")
        and theirs.get("port") == ref.get("port")
    )


def _condition(said: RouteParent | None, kind: str) -> gateways.Condition | None:
    return next((one for one in said.conditions if one.type == kind), None) if said else None


def _truth(condition: gateways.Condition | None) -> bool | None:
    return {"True": True, "False": False}.get(condition.status) if condition else None


def _urls(
    observed: Observed, decision: Decision, routes: Sequence[RouteChild], wanted: Route | None
) -> list[str]:
    """Return where the model answers: by host names, else by addresses."""
    if wanted is None or not routes:
        return []
    inputs = decision.serving.snapshot.inputs if decision.serving else {}
    model = inputs.get("model", {}).get("name") or observed.service["metadata"]["name"]
    path = wanted.path.rstrip("/") + f"/v2/models/{model}"
    if wanted.keeps_path and wanted.path != "/":
        path = wanted.path
    if wanted.ingress is not None:
        scheme = "https" if wanted.ingress.tls_secret_name else "http"
        addresses = [address for one in routes for address in one.addresses]
        return [f"{scheme}://{host}{path}" for host in wanted.hostnames or addresses]
    found = [f"{start}{path}" for ref in wanted.parent_refs or () for start in _starts(observed, wanted, ref)]
    return list(dict.fromkeys(found))


def _starts(observed: Observed, wanted: Route, ref: ParentRef) -> Iterator[str]:
    namespace = ref.namespace or observed.service["metadata"]["namespace"]
    for gateway in observed.cluster.gateways:
        if (gateway.namespace, gateway.name) != (namespace, ref.name):
            continue
        for listener in _listeners(gateway, ref.to_dict()):
            scheme, usual = ("https", 443) if listener.protocol in _TLS else ("http", 80)
            port = "" if listener.port == usual else f":{listener.port}"
            own = (
                [listener.hostname]
                if listener.hostname and "*" not in listener.hostname
                else gateway.addresses
            )
            for host in wanted.hostnames or own:
                yield f"{scheme}://{host}{port}"
