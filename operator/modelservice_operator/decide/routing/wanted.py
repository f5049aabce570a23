"""Which route is wanted, whether the Gateways support it, and which objects it is made of. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import Route, parse_part
from modelservice_operator.decide.resources.ingress import build_ingress
from modelservice_operator.decide.resources.routes import build_grpc_route, build_http_route, with_backends
from modelservice_operator.facts.kinds import GATEWAY_API, GRPC_ROUTES, HTTP_ROUTES, INGRESSES
from modelservice_operator.facts.labels import GATEWAY_FEATURES
from modelservice_operator.facts.observed import RouteChild
from modelservice_operator.facts.ownership import is_owned
from modelservice_operator.facts.routes import RoutePlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.decide.resources.metadata import Owner
    from modelservice_operator.facts.gateways import GatewayClass
    from modelservice_operator.facts.observed import Observed

_FEATURES = (
    ("HTTPRouteRequestMirror", "mirrorPercent", "copies requests"),
    ("HTTPRouteRequestTimeout", "timeoutSeconds", "ends requests that take too long"),
    ("HTTPRoutePathRewrite", "path", "removes a path from requests"),
)
"""What a class of Gateways has to support for which field."""
_PART_OF_ALL = "HTTPRouteRequestPercentageMirror"


class RouteProblem(msgspec.Struct, frozen=True):
    """Why a route is not written; what exists stays as it is but for its weights."""

    reason: str
    message: str


class RouteWish(msgspec.Struct, frozen=True, kw_only=True):
    """The route that the spec asks for; None for no route. With a `problem` the last good one goes on."""

    route: Route | None = None
    problem: RouteProblem | None = None
    existing: tuple[RouteChild, ...] = ()

    @property
    def is_gateways(self) -> bool:
        """Whether Gateways split requests."""
        if self.problem is not None:
            return any(one.kind != INGRESSES.kind for one in self.existing)
        return self.route is not None and self.route.parent_refs is not None

    @property
    def shows_candidate(self) -> bool:
        """Whether the new revision gets requests beside its share."""
        return self.problem is None and self.route is not None and self.route.shows_candidate


def find_route(observed: Observed, spec: ModelServiceSpec | None) -> RouteWish:
    """Return what is wanted; where the spec cannot be read (None), its route is read apart from the rest."""
    existing = owned_routes(observed)
    route = spec.route if spec else None
    if spec is None:
        written = observed.service.get("spec")
        is_said = isinstance(written, dict) and written.get("route") is not None
        route = parse_part(observed.service, "route", Route) if is_said else None
        if is_said and route is None:
            message = "The route cannot be read."
            return RouteWish(problem=RouteProblem("InvalidSpec", message), existing=existing)
    if route is None:
        return RouteWish(existing=existing)
    return RouteWish(route=route, problem=_find_problem(observed, route), existing=existing)


def owned_routes(observed: Observed) -> tuple[RouteChild, ...]:
    """Return the routes and Ingresses of the service that are there to stay."""
    uid = observed.service["metadata"]["uid"]
    return tuple(
        one
        for one in observed.others
        if isinstance(one, RouteChild) and is_owned(one, uid) and not one.deleting
    )


def build_routes(
    owner: Owner,
    wish: RouteWish,
    plan: RoutePlan | None,
    served: frozenset[str],
    explained: str | None = None,
) -> list[Any]:
    """Return the objects that the route is made of, of kinds that are served.

    `explained` is the model that has an explainer, None without one.
    """
    if wish.problem is not None:
        known = [one for one in wish.existing if one.kind != INGRESSES.kind and one.kind in served]
        return [with_backends(owner, one, plan) for one in known] if plan else []
    route = wish.route
    if route is None:
        return []
    if route.ingress is not None:
        return [build_ingress(owner, route, explained)] if INGRESSES.kind in served else []
    if HTTP_ROUTES.kind not in served:
        return []
    told = plan or RoutePlan()
    routes = [build_http_route(owner, route, told, explained)]
    if GRPC_ROUTES.kind in served and route.grpc_hostnames:
        routes.append(build_grpc_route(owner, route, told))
    return routes


def _find_problem(observed: Observed, route: Route) -> RouteProblem | None:
    cluster = observed.cluster
    kind = HTTP_ROUTES.kind if route.parent_refs else INGRESSES.kind
    if kind in cluster.forbidden:
        message = f"The operator has no right to {kind}s: set routes.enabled in the values of its chart."
        return RouteProblem("Forbidden", message)
    if kind not in cluster.kinds:
        message = f"The cluster knows no {kind} ({GATEWAY_API}/v1): install the Gateway API and a gateway."
        return RouteProblem("NotServed", message)
    return _find_unsupported(observed, route)


def _find_unsupported(observed: Observed, route: Route) -> RouteProblem | None:
    """Return what some class does not say that it supports: a Gateway may take it all the same, and fail."""
    needed = list(_needed(route))
    for known in _classes(observed, route) if needed else ():
        if known.features is None:
            names = ",".join(feature for feature, _, _ in needed)
            message = (
                f"GatewayClass {known.name} does not say what it supports (status.supportedFeatures), so "
                f"spec.route.{needed[0][1]} may come to nothing: leave it out, or, where its Gateways do it, "
                f"say so by the annotation {GATEWAY_FEATURES}: {names} on the GatewayClass."
            )
            return RouteProblem("UnknownFeatures", message)
        missing = next((one for one in needed if one[0] not in known.features), None)
        if missing is not None:
            message = (
                f"No Gateway of class {known.name} {missing[2]} ({missing[0]} is not among its "
                f"supportedFeatures): leave spec.route.{missing[1]} out, or use a Gateway of another class."
            )
            return RouteProblem("Unsupported", message)
    return None


def _needed(route: Route) -> Iterator[tuple[str, str, str]]:
    is_set = (route.mirror_percent is not None, route.timeout_seconds is not None, not route.keeps_path)
    yield from (feature for feature, wanted in zip(_FEATURES, is_set, strict=True) if wanted)
    if route.mirror_percent not in (None, 100):
        yield _PART_OF_ALL, "mirrorPercent", "copies a part of the requests only"


def _classes(observed: Observed, route: Route) -> Iterator[GatewayClass]:
    """Yield the classes of the Gateways that are known."""
    namespace = observed.service["metadata"]["namespace"]
    classes = {one.name: one for one in observed.cluster.gateway_classes}
    names = {(one.namespace or namespace, one.name) for one in route.parent_refs or ()}
    for gateway in observed.cluster.gateways:
        if (gateway.namespace, gateway.name) in names and gateway.class_name in classes:
            yield classes[gateway.class_name]
