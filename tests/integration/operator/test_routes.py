"""Routes on a real control plane: kinds that come and go, what is written, and what Gateways say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.gateways import (
    install_gateway_api,
    make_gateway,
    make_gateway_class,
    remove_gateway_api,
)
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
ROUTE = {
    "parentRefs": [{"name": "web"}],
    "hostnames": ["spam.example.com"],
    "grpcHostnames": ["grpc.example.com"],
}


@pytest.fixture(scope="module")
def api(shared: Any) -> Iterator[Any]:
    yield shared.kube.api
    remove_gateway_api(shared.kube.api)


def route_of(kube: Any, kind: str = "httproutes", name: str = "spam") -> dict[str, Any] | None:
    found: dict[str, Any] | None = kube.api.find(f"{GATEWAY_API}/namespaces/{kube.namespace}/{kind}/{name}")
    return found


def wait_route(kube: Any, reason: str, name: str = "spam") -> str:
    """Wait for a reason of RouteReady; return the sentence."""
    wait_until(
        lambda: kube.condition("RouteReady", name).get("reason") == reason,
        f"RouteReady has the reason {reason}, not {kube.condition('RouteReady', name)}",
    )
    return str(kube.condition("RouteReady", name)["message"])


def play_class(kube: Any, name: str, *features: str) -> None:
    """A GatewayClass of nobody's, whose status says what it supports."""
    kube.api.apply(make_gateway_class(name))
    accepted = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    status = {"conditions": [accepted], "supportedFeatures": [{"name": one} for one in sorted(features)]}
    kube.api.patch(f"{GATEWAY_API}/gatewayclasses/{name}/status", {"status": status})


def answer(kube: Any, kind: str, name: str, *conditions: tuple[str, str, str]) -> None:
    """Play the controller: say this of a route."""
    route = route_of(kube, kind, name)
    assert route is not None
    said = [
        {
            "type": one,
            "status": status,
            "reason": reason,
            "message": "",
            "observedGeneration": route["metadata"]["generation"],
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
        for one, status, reason in conditions
    ]
    parents = [{"parentRef": {"name": "web"}, "controllerName": "example.com/nobody", "conditions": said}]
    path = f"{GATEWAY_API}/namespaces/{kube.namespace}/{kind}/{name}/status"
    kube.api.patch(path, {"status": {"parents": parents}})


def test_operator_lives_without_the_gateway_api_and_finds_it_when_it_comes(shared: Any, api: Any) -> None:
    kube = shared.kube
    kube.apply_service(route=ROUTE)
    kube.wait_ready()
    assert "install the Gateway API" in wait_route(kube, "NotServed")

    install_gateway_api(api)
    assert "Gateway" in wait_route(kube, "NoGateway")
    assert route_of(kube) is not None
    assert route_of(kube, "grpcroutes") is not None
    assert kube.is_ready()


def test_route_at_rest_is_written_once(shared: Any, api: Any) -> None:
    kube = shared.kube
    before = [route_of(kube, kind)["metadata"]["resourceVersion"] for kind in ("httproutes", "grpcroutes")]  # type: ignore[index]
    kube.api.patch(
        kube.path("modelservices", "spam"), {"metadata": {"annotations": {"example.com/touched": "yes"}}}
    )
    kube.apply_service("other")
    kube.wait_ready("other")
    after = [route_of(kube, kind)["metadata"]["resourceVersion"] for kind in ("httproutes", "grpcroutes")]  # type: ignore[index]
    assert after == before


def test_what_gateways_say_is_told_with_a_remedy(shared: Any, api: Any) -> None:
    kube = shared.kube
    play_class(kube, "nobody", "HTTPRoute", "GRPCRoute")
    api.apply(make_gateway(kube.namespace, class_name="nobody", hostname="*.example.com"))
    assert "no controller has answered (class nobody)" in wait_route(kube, "Pending")

    bad = ("Accepted", "False", "NotAllowedByListeners")
    answer(kube, "httproutes", "spam", bad)
    assert f"admit no route of namespace {kube.namespace}" in wait_route(kube, "NotAllowedByListeners")
    answer(kube, "httproutes", "spam", ("Accepted", "False", "NoMatchingListenerHostname"))
    message = wait_route(kube, "NoMatchingListenerHostname")
    assert "takes spam.example.com (they take *.example.com)" in message
    fine, lost = ("Accepted", "True", "Accepted"), ("ResolvedRefs", "False", "RefNotPermitted")
    answer(kube, "httproutes", "spam", fine, lost)
    assert "ReferenceGrant" in wait_route(kube, "RefNotPermitted")

    for kind in ("httproutes", "grpcroutes"):
        answer(kube, kind, "spam", fine, ("ResolvedRefs", "True", "ResolvedRefs"))
    wait_route(kube, "Accepted")
    status = kube.service()["status"]["route"]
    assert status["urls"] == ["http://spam.example.com:8000/v2/models/spam"]
    assert {one["kind"]: one["accepted"] for one in status["parents"]} == {
        "HTTPRoute": True,
        "GRPCRoute": True,
    }
    assert kube.is_ready()


def test_what_the_class_does_not_support_is_refused_and_the_last_good_route_stays(
    shared: Any, api: Any
) -> None:
    kube = shared.kube
    before = route_of(kube)
    kube.apply_service(route={**ROUTE, "timeoutSeconds": 5})
    message = wait_route(kube, "Unsupported")
    assert "No Gateway of class nobody ends requests that take too long" in message
    assert "last good route" in message
    after = route_of(kube)
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]

    play_class(kube, "nobody", "HTTPRoute", "HTTPRouteRequestTimeout")
    wait_until(lambda: "timeouts" in route_of(kube)["spec"]["rules"][0], "the timeout is written")  # type: ignore[index]


def test_ingress_takes_the_place_of_routes(shared: Any, api: Any) -> None:
    kube = shared.kube
    kube.apply_service(route={"ingress": {"className": "nobody"}, "hostnames": ["spam.example.com"]})
    path = f"/apis/networking.k8s.io/v1/namespaces/{kube.namespace}/ingresses/spam"
    found = api.wait_for(path, bool, what="the Ingress")
    assert found["spec"]["rules"][0]["host"] == "spam.example.com"
    wait_until(lambda: route_of(kube) is None, "the route is gone")
    wait_until(
        lambda: "Ingresses of class nobody" in kube.condition("RouteReady").get("message", ""),
        "it is told of Ingresses",
    )

    kube.apply_service()
    api.wait_gone(path)
    wait_until(lambda: not kube.condition("RouteReady"), "nothing is said of routes")


def test_kinds_that_go_take_no_service_along(shared: Any, api: Any) -> None:
    kube = shared.kube
    kube.apply_service(route=ROUTE)
    wait_until(lambda: route_of(kube) is not None, "the route is there")
    remove_gateway_api(api)
    wait_route(kube, "NotServed")
    assert kube.is_ready()
    kube.apply_service(replicas=2, route=ROUTE)
    kube.wait_ready()
    install_gateway_api(api)
    wait_until(lambda: route_of(kube) is not None, "the route is there again")
