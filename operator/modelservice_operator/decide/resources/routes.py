"""HTTPRoute and GRPCRoute (gateway.networking.k8s.io/v1): requests through Gateways.

The first rule is for everybody, the next for testers: gateways go by what a rule matches, not by its place.
But Envoy Gateway names what it tells Envoy by the place: where the one for everybody moved, some requests got
503 or an answer of the new revision. Defaults of the API server are written out, so that what is read back is
what was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.explainer import explain_path
from modelservice_operator.decide.resources.metadata import build_metadata
from modelservice_operator.facts import names, ports
from modelservice_operator.facts.kinds import GATEWAY_API, GRPC_ROUTES, HTTP_ROUTES
from modelservice_operator.facts.routes import RoutePlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelservice_operator.api import ParentRef, Route
    from modelservice_operator.decide.resources.metadata import Owner
    from modelservice_operator.facts.kinds import Resource
    from modelservice_operator.facts.observed import RouteChild

GRPC_SERVICES = (
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
_HTTP_PORT = 80
_MIRROR = "RequestMirror"


def build_http_route(
    owner: Owner, route: Route, plan: RoutePlan, explained: str | None = None
) -> dict[str, Any]:
    """Return the HTTPRoute; `explained` is the model that has an explainer."""
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": route.path}}
    filters = [] if route.keeps_path else [_remove_path()]
    common: dict[str, Any] = {"matches": [match], **({"filters": filters} if filters else {})}
    if route.timeout_seconds is not None:
        common["timeouts"] = {"request": f"{route.timeout_seconds}s"}
    rules = [{**common, "backendRefs": _backends(owner, plan, _HTTP_PORT)}]
    if route.mirror_percent is not None and plan.shown is not None:
        rules[0]["filters"] = [*filters, _mirror(owner, plan.shown, route.mirror_percent)]
    rules += [
        {**common, "matches": [{**match, **headers}], "backendRefs": _to(owner, plan.shown, _HTTP_PORT)}
        for headers in _of_testers(route, plan)
    ]
    if explained is not None:
        rules += _of_explainer(owner, route, explained)
    return _route(HTTP_ROUTES, owner, route, rules)


def build_grpc_route(owner: Owner, route: Route, plan: RoutePlan) -> dict[str, Any]:
    """Return the GRPCRoute: of the services of the protocols, which leaves other paths to other routes."""
    methods = [{"method": {"type": "Exact", "service": service}} for service in GRPC_SERVICES]
    rules: list[dict[str, Any]] = [
        {"matches": methods, "backendRefs": _backends(owner, plan, ports.GRPC)},
        *(
            {
                "matches": [{**method, **headers} for method in methods],
                "backendRefs": _to(owner, plan.shown, ports.GRPC),
            }
            for headers in _of_testers(route, plan)
        ),
    ]
    return _route(GRPC_ROUTES, owner, route, rules)


def with_backends(owner: Owner, existing: RouteChild, plan: RoutePlan) -> dict[str, Any]:
    """Return a route as it exists, for everybody by another plan; nobody else is led to the new revision."""
    port = _HTTP_PORT if existing.kind == HTTP_ROUTES.kind else ports.GRPC
    rule = {**_of_everybody(existing.spec["rules"]), "backendRefs": _backends(owner, plan, port)}
    if "filters" in rule:
        rule["filters"] = [one for one in rule["filters"] if one["type"] != _MIRROR]
    return {
        "apiVersion": f"{GATEWAY_API}/v1",
        "kind": existing.kind,
        "metadata": build_metadata(owner, owner.name),
        "spec": {**existing.spec, "rules": [rule, *_explaining(owner.name, existing.spec["rules"])]},
    }


def read_backends(owner: str, existing: RouteChild) -> RoutePlan:
    """Return the plan by which a route was built."""
    rules = existing.spec.get("rules") or [{}]
    everybody = _of_everybody(rules)
    refs = everybody.get("backendRefs") or []
    weights: dict[str, int] | None = {_revision(owner, one["name"]): one.get("weight", 1) for one in refs}
    if [one["name"] for one in refs] in ([], [owner]):
        weights = None
    mirrors = (one for one in everybody.get("filters") or () if one["type"] == _MIRROR)
    shown = [one["requestMirror"]["backendRef"]["name"] for one in mirrors]
    others = [rule for rule in rules if rule is not everybody and rule not in _explaining(owner, rules)]
    shown += [one["name"] for rule in others for one in rule.get("backendRefs") or ()]
    return RoutePlan(weights=weights, shown=_revision(owner, shown[0]) if shown else None)


def _of_everybody(rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the rule that asks for no header. It was the last one once."""
    return next(
        (rule for rule in rules if not any(one.get("headers") for one in rule.get("matches") or ())), rules[0]
    )


def _explaining(owner: str, rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules that lead to the explainer."""
    explainer = [names.explainer(owner)]
    return [rule for rule in rules if [one["name"] for one in rule.get("backendRefs") or ()] == explainer]


def explained_path(route: Route, model: str) -> str | None:
    """Return the path by which the explainer is asked from outside, None where the route is for others."""
    path = explain_path(model)
    if not route.keeps_path:
        return route.path + path
    return path if path.startswith(route.path.rstrip("/") + "/") else None


def _of_explainer(owner: Owner, route: Route, model: str) -> Iterator[dict[str, Any]]:
    """Yield the rule that leads to the explainer: one path, nothing else."""
    path = explained_path(route, model)
    if path is None:
        return
    rule: dict[str, Any] = {"matches": [{"path": {"type": "Exact", "value": path}}]}
    if not route.keeps_path:
        rewrite = {"path": {"type": "ReplaceFullPath", "replaceFullPath": explain_path(model)}}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    yield {**rule, "backendRefs": [{**_backend(names.explainer(owner.name), _HTTP_PORT), "weight": 1}]}


def _revision(owner: str, service: str) -> str:
    return service.removeprefix(names.of_revision(owner, ""))


def _route(resource: Resource, owner: Owner, route: Route, rules: list[dict[str, Any]]) -> dict[str, Any]:
    is_grpc = resource is GRPC_ROUTES
    hostnames = route.grpc_hostnames if is_grpc else route.hostnames
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": build_metadata(owner, owner.name),
        "spec": {
            "parentRefs": [_parent(one) for one in route.parent_refs or ()],
            **({"hostnames": list(hostnames)} if hostnames else {}),
            "rules": rules,
        },
    }


def _parent(ref: ParentRef) -> dict[str, Any]:
    return {"group": GATEWAY_API, "kind": "Gateway", **ref.to_dict()}


def _remove_path() -> dict[str, Any]:
    path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
    return {"type": "URLRewrite", "urlRewrite": {"path": path}}


def _mirror(owner: Owner, revision: str, percent: int) -> dict[str, Any]:
    backend = _backend(names.of_revision(owner.name, revision), _HTTP_PORT)
    part = {} if percent == 100 else {"percent": percent}
    return {"type": _MIRROR, "requestMirror": {"backendRef": backend, **part}}


def _of_testers(route: Route, plan: RoutePlan) -> Iterator[dict[str, Any]]:
    """Yield what the rule for testers matches, where there is one."""
    if route.testers is not None and plan.shown is not None:
        header = {"type": "Exact", "name": route.testers.header, "value": route.testers.value}
        yield {"headers": [header]}


def _to(owner: Owner, revision: str | None, port: int) -> list[dict[str, Any]]:
    return [{**_backend(names.of_revision(owner.name, revision or ""), port), "weight": 1}]


def _backends(owner: Owner, plan: RoutePlan, port: int) -> list[dict[str, Any]]:
    if plan.weights is None:
        return [{**_backend(owner.name, port), "weight": 1}]
    return [
        {**_backend(names.of_revision(owner.name, name), port), "weight": weight}
        for name, weight in sorted(plan.weights.items())
    ]


def _backend(service: str, port: int) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": service, "port": port}
