"""Gateways, their classes, and kinds that come and go: what is kept, and whom it concerns."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.operator_objects import make_model_service

from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key, WorkQueue
from modelservice_operator.facts.gateways import read_gateway, read_gateway_class, read_parents
from modelservice_operator.facts.kinds import DEPLOYMENTS, GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES
from modelservice_operator.sources.children import GatewayListener
from modelservice_operator.sources.watch import Seen

GATEWAY: dict[str, Any] = {
    "metadata": {"namespace": "infra", "name": "web", "resourceVersion": "1"},
    "spec": {
        "gatewayClassName": "plain",
        "listeners": [{"name": "web", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"}],
    },
    "status": {
        "addresses": [{"type": "IPAddress", "value": "10.0.0.1"}],
        "conditions": [{"type": "Programmed", "status": "True", "reason": "Programmed", "message": ""}],
        "listeners": [
            {
                "name": "web",
                "attachedRoutes": 1,
                "conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "RefNotPermitted"}],
            }
        ],
    },
}


class Recording(WorkQueue):
    def __init__(self) -> None:
        super().__init__()
        self.added: list[Key] = []

    def add(self, key: Key, *_: Any, **__: Any) -> None:
        self.added.append(key)


@pytest.fixture
def world() -> tuple[Ingest, Store, Recording]:
    store, queue = Store(), Recording()
    ingest = Ingest(store, queue)
    routed = make_model_service("routed")
    routed["spec"]["route"] = {"parentRefs": [{"name": "web", "namespace": "infra"}]}
    for service in (routed, make_model_service("plain")):
        ingest.on_service(None, service)
    queue.added.clear()
    return ingest, store, queue


async def test_gateway_concerns_services_with_a_route_alone_and_only_where_it_says_something_new(
    world: tuple[Ingest, Store, Recording],
) -> None:
    ingest, store, queue = world
    ingest.on_gateway(GATEWAYS, "ADDED", GATEWAY)
    assert queue.added == [Key("mail", "routed")]

    more = {**GATEWAY["status"]["listeners"][0], "attachedRoutes": 2}
    status = {**GATEWAY["status"], "listeners": [more]}
    ingest.on_gateway(GATEWAYS, "MODIFIED", {**GATEWAY, "status": status})
    assert len(queue.added) == 1
    ingest.on_gateway(GATEWAYS, "DELETED", GATEWAY)
    assert len(queue.added) == 2
    assert store.cluster.gateways == ()


async def test_list_drops_gateways_that_are_gone(world: tuple[Ingest, Store, Recording]) -> None:
    ingest, store, _ = world
    listener = GatewayListener(store, ingest, GATEWAYS)
    listener.on_object(None, GATEWAY)
    listener.on_list(frozenset({("infra", "web")}), "1")
    assert len(store.cluster.gateways) == 1
    listener.on_list(frozenset(), "2")
    assert store.cluster.gateways == ()

    classes = GatewayListener(store, ingest, GATEWAY_CLASSES)
    classes.on_object(None, {"metadata": {"name": "plain"}})
    classes.on_absent(True)
    assert store.cluster.gateway_classes == ()
    assert "GatewayClass" in store.cluster.forbidden


async def test_kind_that_comes_or_goes_concerns_everybody_once(
    world: tuple[Ingest, Store, Recording],
) -> None:
    ingest, store, queue = world
    ingest.on_offer(HTTP_ROUTES, is_served=True)
    ingest.on_offer(HTTP_ROUTES, is_served=True)
    ingest.on_offer(DEPLOYMENTS, is_served=True)
    assert sorted(queue.added) == [Key("mail", "plain"), Key("mail", "routed")]
    assert store.cluster.kinds == {"HTTPRoute"}
    ingest.on_offer(HTTP_ROUTES, is_served=False)
    assert len(queue.added) == 4


async def test_kind_that_one_namespace_lacks_is_there_in_the_others(
    world: tuple[Ingest, Store, Recording],
) -> None:
    ingest, store, queue = world
    ingest.on_offer(HTTP_ROUTES, scope="mail", is_served=True)
    added = len(queue.added)
    ingest.on_offer(HTTP_ROUTES, scope="shop", is_served=False, is_forbidden=True)
    assert (store.cluster.kinds, store.cluster.forbidden) == ({"HTTPRoute"}, set())
    assert len(queue.added) == added
    ingest.on_offer(HTTP_ROUTES, scope="mail", is_served=False, is_forbidden=True)
    assert (store.cluster.kinds, store.cluster.forbidden) == (set(), {"HTTPRoute"})


async def test_list_of_one_namespace_says_nothing_of_another(world: tuple[Ingest, Store, Recording]) -> None:
    ingest, store, _ = world
    listener = GatewayListener(store, ingest, GATEWAYS, "mail")
    listener.on_object(None, GATEWAY)  # of the namespace infra
    listener.on_list(Seen("mail", frozenset()), "2")
    listener.on_absent(False)
    assert len(store.cluster.gateways) == 1
    GatewayListener(store, ingest, GATEWAYS, "infra").on_absent(False)
    assert store.cluster.gateways == ()


def test_gateway_is_read_with_what_its_listeners_say() -> None:
    gateway = read_gateway(GATEWAY)

    assert (gateway.class_name, gateway.addresses) == ("plain", ("10.0.0.1",))
    (listener,) = gateway.listeners
    assert (listener.port, listener.hostname) == (80, "*.example.com")
    assert listener.conditions[0].reason == "RefNotPermitted"


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([{"name": "HTTPRoute"}, {"name": "GRPCRoute"}], {"HTTPRoute", "GRPCRoute"}),
        (["HTTPRoute"], {"HTTPRoute"}),
        ([], None),
        (None, None),
    ],
)
def test_class_that_lists_no_feature_says_nothing(features: Any, expected: Any) -> None:
    status = {} if features is None else {"supportedFeatures": features}

    assert read_gateway_class({"metadata": {"name": "a"}, "status": status}).features == expected


def read_features(controller: str, annotation: str | None = None, *listed: str) -> frozenset[str] | None:
    annotations = {} if annotation is None else {"modelservice.dev/supported-features": annotation}
    return read_gateway_class(
        {
            "metadata": {"name": "a", "annotations": annotations},
            "spec": {"controllerName": controller},
            "status": {"supportedFeatures": [{"name": one} for one in listed]},
        }
    ).features


def test_administrator_speaks_for_a_class() -> None:
    assert read_features("example.com/a", "A, B,C ", "D") == {"A", "B", "C"}
    assert read_features("example.com/a", "", "D") == frozenset()


def test_controller_that_was_tried_is_known_where_its_class_lists_nothing() -> None:
    envoy = "gateway.envoyproxy.io/gatewayclass-controller"

    known = read_features(envoy)

    assert known is not None
    assert {"HTTPRouteRequestPercentageMirror", "HTTPRouteRequestTimeout", "HTTPRoutePathRewrite"} < known
    assert read_features("example.com/a") is None
    assert read_features(envoy, None, "D") == {"D"}
    assert read_features(envoy, "E") == {"E"}


def test_what_was_said_of_an_older_route_is_not_heard() -> None:
    def said(generation: int) -> dict[str, Any]:
        return {"type": "Accepted", "status": "True", "observedGeneration": generation}

    status = {"parents": [{"parentRef": {"name": "web"}, "conditions": [said(1)]}]}
    assert [one.type for one in read_parents(status, 1)[0].conditions] == ["Accepted"]
    assert read_parents(status, 2)[0].conditions == ()
