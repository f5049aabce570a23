"""Routes of one ModelService from the spec to the status: what is written, recorded, and said of Gateways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.operator.builders import World, model

from modelservice_operator.decide.resources.routes import read_backends
from modelservice_operator.explain.status import compute_status
from modelservice_operator.facts.gateways import Condition, Gateway, GatewayClass, Listener, RouteParent
from modelservice_operator.facts.kinds import GATEWAY_KINDS, ROUTE_KINDS
from modelservice_operator.facts.observed import ApplyFailure, ClusterFacts, RouteChild

KINDS = frozenset({*ROUTE_KINDS, *(one.kind for one in GATEWAY_KINDS)})
ROUTE = {
    "parentRefs": [{"name": "web"}],
    "hostnames": ["spam.example.com"],
    "grpcHostnames": ["grpc.example.com"],
}
STEPS = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]
CANARY = {"strategy": "Canary", "canary": {"steps": STEPS}}
WEB = Gateway(
    namespace="mail",
    name="web",
    class_name="plain",
    listeners=(Listener(name="web", port=8000, protocol="HTTP", hostname="*.example.com"),),
    addresses=("10.0.0.1",),
)
FEATURES = ("HTTPRoute", "GRPCRoute")


def make_world(*features: str, route: Any = ROUTE, **spec: Any) -> World:
    world = World(**{"replicas": 4, "model": model(1), "rollout": CANARY, "route": route, **spec})
    plain = GatewayClass(name="plain", features=frozenset({*FEATURES, *features}))
    world.cluster = ClusterFacts(kinds=KINDS, gateways=(WEB,), gateway_classes=(plain,))
    return world


def go_on(world: World, steps: int = 60) -> None:
    """Let time pass until nothing changes any more."""
    for _ in range(steps):
        world.settle()
        world.wait(5)


def backends(world: World, kind: str = "HTTPRoute") -> dict[str, int]:
    """Return the weights of the last rule, by the end of the Service's name."""
    refs = world.objects[kind, "spam"]["spec"]["rules"][0]["backendRefs"]
    return {one["name"].removeprefix("spam").removeprefix("-"): one["weight"] for one in refs}


def resume(world: World) -> None:
    target = world.status["targetRevision"]
    rounds = world.service["metadata"].setdefault("annotations", {})
    rounds["modelservice.dev/rollout-action"] = f"resume@{target}@{world.now.timestamp()}"


def test_weights_of_both_routes_are_those_of_the_step() -> None:
    world = make_world()
    go_on(world, 2)
    old = world.status["stableRevision"]
    assert backends(world) == backends(world, "GRPCRoute") == {"": 1}

    world.edit(model=model(2))
    go_on(world)
    new = world.status["targetRevision"]
    assert backends(world) == backends(world, "GRPCRoute") == {old: 90, new: 10}
    assert {one["revision"]: one["weight"] for one in world.status["route"]["backends"]} == {old: 90, new: 10}
    assert world.replicas() == {old: 4, new: 1}

    resume(world)
    go_on(world)
    assert (backends(world), world.replicas()) == ({old: 50, new: 50}, {old: 2, new: 2})
    resume(world)
    go_on(world)
    assert (backends(world), world.replicas()) == ({"": 1}, {new: 4})
    assert "backends" not in world.status["route"]


def test_service_at_rest_writes_nothing() -> None:
    world = make_world()
    go_on(world, 3)
    world.reconcile()

    assert world.writes == []


def test_weight_waits_for_routes_that_disagree_and_takes_no_pod_of_either() -> None:
    world = make_world()
    go_on(world, 2)
    world.edit(model=model(2))
    go_on(world)
    resume(world)
    lagging = world.children["GRPCRoute", "spam"]
    go_on(world, 1)
    wanted = world.replicas()
    for _ in range(10):
        world.children["GRPCRoute", "spam"] = lagging
        world.run_controllers()
        world._reconcile_once()
        world.wait(5)
    old = world.status["stableRevision"]
    assert world.replicas()[old] >= wanted[old] - 1


def test_invalid_spec_leaves_the_route_and_its_weights_go_on() -> None:
    world = make_world()
    go_on(world, 2)
    world.edit(model=model(2))
    go_on(world)
    world.edit(route={**ROUTE, "path": "nonsense"})
    go_on(world)
    assert world.names("HTTPRoute") == {"spam"}
    assert world.condition("RouteReady")["reason"] == "InvalidSpec"

    target = world.status["targetRevision"]
    action = {"modelservice.dev/rollout-action": f"abort@{target}"}
    world.service["metadata"].setdefault("annotations", {}).update(action)
    go_on(world)
    assert (backends(world), len(world.replicas())) == ({"": 1}, 1)


def test_rollout_that_cannot_be_read_leaves_the_weights_as_they_are() -> None:
    world = make_world()
    go_on(world, 2)
    world.edit(model=model(2))
    go_on(world)
    before = world.objects["HTTPRoute", "spam"]
    world.edit(rollout={**CANARY, "maxSurge": "nonsense"})
    go_on(world, 2)

    assert world.objects["HTTPRoute", "spam"] == before
    assert set(backends(world).values()) == {90, 10}


def test_ingress_serves_on_where_a_gateway_in_its_place_is_refused() -> None:
    world = make_world(route={"ingress": {}})
    go_on(world, 2)
    before = world.objects["Ingress", "spam"]
    world.edit(route={**ROUTE, "timeoutSeconds": 5})
    go_on(world, 2)

    assert world.objects["Ingress", "spam"] == before
    assert world.names("HTTPRoute") == set()
    assert world.condition("RouteReady")["reason"] == "Unsupported"


def test_route_that_is_left_out_goes() -> None:
    world = make_world()
    go_on(world, 2)
    del world.service["spec"]["route"]
    world.settle()

    assert world.names("HTTPRoute") == world.names("GRPCRoute") == set()
    assert "route" not in world.status
    assert all(one["type"] != "RouteReady" for one in world.status["conditions"])


def test_path_of_its_own_is_removed_and_grpc_needs_a_host_of_its_own() -> None:
    route = {"parentRefs": ROUTE["parentRefs"], "hostnames": ROUTE["hostnames"], "path": "/team"}
    world = make_world("HTTPRoutePathRewrite", route=route)
    go_on(world, 2)
    (rule,) = world.objects["HTTPRoute", "spam"]["spec"]["rules"]

    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/team"}}]
    assert rule["filters"][0]["urlRewrite"]["path"]["replacePrefixMatch"] == "/"
    assert world.names("GRPCRoute") == set()
    assert world.status["route"]["urls"] == ["http://spam.example.com:8000/team/v2/models/spam"]


@pytest.mark.parametrize(
    ("fields", "features", "named"),
    [
        ({"timeoutSeconds": 5}, (), "HTTPRouteRequestTimeout"),
        ({"mirrorPercent": 100}, (), "HTTPRouteRequestMirror"),
        ({"mirrorPercent": 10}, ("HTTPRouteRequestMirror",), "HTTPRouteRequestPercentageMirror"),
        ({"path": "/team"}, (), "HTTPRoutePathRewrite"),
    ],
)
def test_what_a_class_does_not_support_is_refused(
    fields: dict[str, Any], features: tuple[str, ...], named: str
) -> None:
    world = make_world(*features)
    go_on(world, 2)
    before = world.objects["HTTPRoute", "spam"]
    world.edit(route={**ROUTE, **fields})
    world.settle()
    said = world.condition("RouteReady")
    assert (said["status"], said["reason"]) == ("False", "Unsupported")
    assert named in said["message"]
    assert next(iter(fields)) in said["message"]
    assert world.objects["HTTPRoute", "spam"] == before
    assert world.condition("Ready")["status"] == "True"

    plain = GatewayClass(name="plain", features=frozenset({*FEATURES, *features, named}))
    world.cluster = msgspec.structs.replace(world.cluster, gateway_classes=(plain,))
    world.settle()
    assert world.condition("RouteReady")["reason"] == "Pending"
    assert world.objects["HTTPRoute", "spam"] != before or "mirrorPercent" in fields


def test_class_that_says_nothing_is_trusted_with_nothing() -> None:
    world = make_world()
    world.cluster = msgspec.structs.replace(world.cluster, gateway_classes=(GatewayClass(name="plain"),))
    world.edit(route={**ROUTE, "timeoutSeconds": 5})
    world.settle()
    said = world.condition("RouteReady")
    assert said["reason"] == "UnknownFeatures"
    assert "modelservice.dev/supported-features: HTTPRouteRequestTimeout on" in said["message"]
    world.edit(route=ROUTE)
    world.settle()
    assert world.names("HTTPRoute") == {"spam"}


def test_testers_and_copies_go_to_the_new_revision_during_a_change_alone() -> None:
    features = ("HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror")
    testers = {"testers": {"header": "X-Tester", "value": "yes"}, "mirrorPercent": 5}
    world = make_world(*features, route={**ROUTE, **testers})
    go_on(world, 2)
    assert len(world.objects["HTTPRoute", "spam"]["spec"]["rules"]) == 1
    world.edit(model=model(2))
    go_on(world)

    new = world.status["targetRevision"]
    everybody, testers_only = world.objects["HTTPRoute", "spam"]["spec"]["rules"]
    assert testers_only["matches"][0]["headers"] == [{"type": "Exact", "name": "X-Tester", "value": "yes"}]
    assert [one["name"] for one in testers_only["backendRefs"]] == [f"spam-{new}"]
    assert everybody["filters"][0]["requestMirror"]["percent"] == 5
    assert everybody["filters"][0]["requestMirror"]["backendRef"]["name"] == f"spam-{new}"
    assert len(world.objects["GRPCRoute", "spam"]["spec"]["rules"]) == 2
    assert next(one for one in world.status["route"]["backends"] if one.get("shown"))["revision"] == new


def test_rule_for_everybody_keeps_its_place_when_that_for_testers_comes_and_goes() -> None:
    """Envoy Gateway names clusters by the place: whoever moves gets another one, which is not ready yet."""
    testers = {"testers": {"header": "X-Tester", "value": "yes"}}
    world = make_world(route={**ROUTE, **testers})
    counts = set()
    for version in (1, 2):
        world.edit(model=model(version))
        for _ in range(30):
            go_on(world, 1)
            for kind in ("HTTPRoute", "GRPCRoute"):
                everybody, *others = world.objects[kind, "spam"]["spec"]["rules"]
                assert not any("headers" in one for one in everybody["matches"])
                assert all("headers" in one for rule in others for one in rule["matches"])
                counts.add(len(others))
    assert counts == {0, 1}


def test_route_of_an_older_operator_that_has_testers_first_is_read_alike() -> None:
    testers = {"testers": {"header": "X-Tester", "value": "yes"}}
    world = make_world(route={**ROUTE, **testers})
    go_on(world, 2)
    world.edit(model=model(2))
    go_on(world)
    for kind in ("HTTPRoute", "GRPCRoute"):
        now = world.children[kind, "spam"]
        assert isinstance(now, RouteChild)
        rules = now.spec["rules"]
        assert len(rules) == 2
        before = msgspec.structs.replace(now, spec={**now.spec, "rules": rules[::-1]})
        assert read_backends("spam", before) == read_backends("spam", now)
        assert read_backends("spam", now).shown == world.status["targetRevision"]


@pytest.mark.parametrize(
    ("kinds", "forbidden", "reason"),
    [((), (), "NotServed"), ((), ("HTTPRoute",), "Forbidden")],
)
def test_cluster_without_the_gateway_api_goes_by_pods(
    kinds: tuple[str, ...], forbidden: tuple[str, ...], reason: str
) -> None:
    world = make_world()
    world.cluster = ClusterFacts(kinds=frozenset(kinds), forbidden=frozenset(forbidden))
    world.settle()
    world.edit(model=model(2))
    world.settle()

    assert world.condition("RouteReady")["reason"] == reason
    assert world.status["rollout"]["phase"] == "Paused"
    assert sorted(world.replicas().values()) == [1, 3]


def said_of(world: World, *conditions: Condition, gateway: Gateway | None = WEB) -> dict[str, Any]:
    """Return RouteReady where a controller says this of every route."""
    world.settle()
    for kind in ("HTTPRoute", "GRPCRoute"):
        child = world.children[kind, "spam"]
        assert isinstance(child, RouteChild)
        parents = (RouteParent(ref={"name": "web"}, conditions=conditions),) if conditions else ()
        world.children[kind, "spam"] = msgspec.structs.replace(child, parents=parents)
    world.cluster = msgspec.structs.replace(world.cluster, gateways=(gateway,) if gateway else ())
    world.settle()
    found: dict[str, Any] = world.condition("RouteReady")
    return found


ACCEPTED = Condition(type="Accepted", status="True", reason="Accepted")
RESOLVED = Condition(type="ResolvedRefs", status="True", reason="ResolvedRefs")


@pytest.mark.parametrize(
    ("conditions", "reason", "part"),
    [
        ((), "Pending", "no controller has answered (class plain): is one for its class running?"),
        ((ACCEPTED, RESOLVED), "Accepted", "lead here"),
        (
            (Condition(type="Accepted", status="False", reason="NotAllowedByListeners"),),
            "NotAllowedByListeners",
            "set allowedRoutes.namespaces in mail/web",
        ),
        (
            (Condition(type="Accepted", status="False", reason="NoMatchingListenerHostname"),),
            "NoMatchingListenerHostname",
            "none of its listeners takes spam.example.com (they take *.example.com)",
        ),
        (
            (ACCEPTED, Condition(type="ResolvedRefs", status="False", reason="RefNotPermitted")),
            "RefNotPermitted",
            "ReferenceGrant",
        ),
        (
            (Condition(type="Accepted", status="False", reason="Odd", message="something {odd}."),),
            "Odd",
            "something {odd}.",
        ),
    ],
)
def test_what_a_gateway_says_is_told_with_a_remedy(
    conditions: tuple[Condition, ...], reason: str, part: str
) -> None:
    world = make_world()
    said = said_of(world, *conditions)

    assert said["reason"] == reason
    assert part in said["message"]
    assert not said["message"].endswith(("?.", ".."))
    assert world.condition("Ready")["status"] == "True"


def test_gateway_that_is_not_there_and_one_that_does_not_work() -> None:
    assert "does not exist" in said_of(make_world(), gateway=None)["message"]
    grant = Condition(
        type="ResolvedRefs", status="False", reason="RefNotPermitted", message="Secret tls/cert"
    )
    listener = msgspec.structs.replace(WEB.listeners[0], conditions=(grant,))
    broken = msgspec.structs.replace(WEB, listeners=(listener,))
    message = said_of(make_world(), ACCEPTED, RESOLVED, gateway=broken)["message"]
    assert "ReferenceGrant" in message
    assert "Secret tls/cert" in message


@pytest.mark.parametrize(("namespaces", "reason"), [(("mail",), "NoGateway"), (("shop",), "Pending")])
def test_gateway_in_a_namespace_that_is_not_looked_at_may_exist(
    namespaces: tuple[str, ...], reason: str
) -> None:
    world = make_world()
    world.cluster = msgspec.structs.replace(world.cluster, namespaces=namespaces)
    assert said_of(world, gateway=None)["reason"] == reason


def test_gateway_without_an_address_is_told_with_what_gives_one() -> None:
    said = Condition(type="Programmed", status="False", reason="AddressNotAssigned", message="No addresses")
    waiting = msgspec.structs.replace(WEB, conditions=(said,))
    condition = said_of(make_world(), ACCEPTED, RESOLVED, gateway=waiting)
    assert condition["reason"] == "AddressNotAssigned"
    assert "Services of type LoadBalancer" in condition["message"]
    assert "No addresses" in condition["message"]


def test_refused_route_is_no_matter_of_ready_at_rest() -> None:
    world = make_world()
    go_on(world, 2)
    failure = ApplyFailure(
        kind="HTTPRoute", name="spam", reason="NameConflict", message="somebody's", transient=False
    )
    world.failures = (failure,)
    world.settle()

    assert world.condition("Ready")["status"] == "True"
    assert world.condition("RouteReady")["reason"] == "NameConflict"
    assert "somebody's" in world.condition("RouteReady")["message"]


def test_status_is_the_same_again() -> None:
    world = make_world()
    go_on(world, 2)
    decision = world.reconcile()

    again = compute_status(world.observe(), decision, (), world.now)
    assert again["route"] == world.status["route"]
