"""The explainer beside a model: it comes and goes without touching the model's pods."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.builders import (
    DEFAULT_RUNTIME,
    NOW,
    World,
    make_model_service,
    make_observed,
)

from modelservice_operator.decide.decide import decide
from modelservice_operator.decide.resources.routes import read_backends
from modelservice_operator.facts import labels
from modelservice_operator.facts.observed import ClusterFacts, RouteChild
from modelservice_operator.facts.routes import RoutePlan

Object = dict[str, Any]
NAME = "spam-explainer"
PEERS = [{"podSelector": {"matchLabels": {"app": "web"}}}]


def children(**spec: Any) -> dict[tuple[str, str], Object]:
    cluster = ClusterFacts(kinds=frozenset({"HTTPRoute", "Ingress"}))
    made = decide(make_observed(make_model_service(**spec), DEFAULT_RUNTIME, cluster=cluster), NOW).desired
    return {(one["kind"], one["metadata"]["name"]): one for one in made}


def test_an_explainer_that_comes_and_goes_leaves_the_model_alone() -> None:
    world = World()
    revision = world.settle().stable
    before = dict(world.objects)

    world.edit(explainer={"method": "exact"})
    world.settle()
    assert {("Deployment", NAME), ("Service", NAME), ("NetworkPolicy", NAME)} == {
        *world.objects.keys() - before.keys()
    }
    assert world.status["stableRevision"] == world.status["targetRevision"] == revision
    deployment = ("Deployment", f"spam-{revision}")
    assert world.objects[deployment]["spec"] == before[deployment]["spec"]
    assert world.status["explainer"]["url"] == f"http://{NAME}.mail.svc/v1/models/spam:explain"

    world.edit(explainer=None)
    world.settle()
    assert world.objects.keys() == before.keys()
    assert "explainer" not in world.status
    assert world.status["stableRevision"] == revision


def test_no_selector_of_the_model_finds_the_explainers_pods() -> None:
    made = children(explainer={}, autoscaling={"maxReplicas": 3})
    pods = made["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    assert labels.NAME not in pods
    assert labels.REVISION not in pods
    for (kind, name), one in made.items():
        spec = one.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        if selector is not None and name != NAME:
            selected = selector.get("matchLabels", selector)
            assert not selected.items() <= pods.items(), (kind, name)


def test_the_explainer_takes_image_name_and_secrets_of_the_revision_that_serves() -> None:
    world = World()
    old = world.settle().stable
    world.edit(explainer={})
    world.settle()
    world.edit(model={**world.service["spec"]["model"], "name": "other"})
    world.reconcile()
    (container,) = world.objects["Deployment", NAME]["spec"]["template"]["spec"]["containers"]
    assert world.status["stableRevision"] == old
    assert container["args"][:2] == ["--url", "http://spam.mail.svc/v2/models/spam"]

    world.settle()
    (container,) = world.objects["Deployment", NAME]["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--url", "http://spam.mail.svc/v2/models/other"]


def test_a_spec_that_became_invalid_leaves_the_explainer_alone() -> None:
    world = World()
    world.edit(explainer={})
    world.settle()
    world.edit(replicas=-1)
    world.reconcile()
    assert ("Deployment", NAME) in world.objects
    world.edit(explainer={"method": "none"})
    world.reconcile()
    assert ("Deployment", NAME) in world.objects


def test_who_may_ask_the_model_may_ask_the_explainer_and_it_may_ask_the_model() -> None:
    made = children(explainer={}, networkPolicy={"from": PEERS})
    asker = {"podSelector": {"matchLabels": {labels.EXPLAINER: "spam"}}}
    assert made["NetworkPolicy", NAME]["spec"]["ingress"][0]["from"] == PEERS
    assert made["NetworkPolicy", "spam"]["spec"]["ingress"][0]["from"] == [*PEERS, asker]
    assert ("NetworkPolicy", NAME) not in children(explainer={}, networkPolicy={"mode": "Disabled"})
    assert "from" not in children(explainer={})["NetworkPolicy", "spam"]["spec"]["ingress"][0]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/", "/v1/models/spam:explain"),
        ("/v1", "/v1/models/spam:explain"),
        ("/v1/models", "/v1/models/spam:explain"),
        ("/v2/models/spam", None),
        ("/v1/mod", None),
        ("/spam", "/spam/v1/models/spam:explain"),
    ],
)
def test_a_route_leads_one_path_to_the_explainer(path: str, asked: str | None) -> None:
    route = {"parentRefs": [{"name": "public"}], "path": path}
    everybody, *others = children(explainer={}, route=route)["HTTPRoute", "spam"]["spec"]["rules"]
    assert everybody == children(route=route)["HTTPRoute", "spam"]["spec"]["rules"][0]
    assert [rule["matches"][0]["path"] for rule in others] == (
        [] if asked is None else [{"type": "Exact", "value": asked}]
    )
    if path.startswith("/v") or path == "/":
        ingress = children(explainer={}, route={"ingress": {}, "path": path})["Ingress", "spam"]
        paths = [one["path"] for one in ingress["spec"]["rules"][0]["http"]["paths"]]
        assert paths == ([path] if asked is None else [path, asked])


def test_a_route_to_the_explainer_is_none_to_a_revision() -> None:
    route = {"parentRefs": [{"name": "public"}]}
    spec = children(explainer={}, route=route)["HTTPRoute", "spam"]["spec"]
    child = make_route(spec)
    assert read_backends("spam", child) == RoutePlan()


def make_route(spec: Object) -> RouteChild:
    return RouteChild(
        kind="HTTPRoute",
        namespace="mail",
        name="spam",
        uid="u",
        resource_version="1",
        owner_uid="u",
        owner_name="spam",
        deleting=False,
        created_at="",
        labels={},
        fingerprint="",
        spec=spec,
    )


def test_the_explainer_of_a_model_with_tls_speaks_tls_with_the_same_certificate() -> None:
    world = World()
    world.edit(explainer={}, tls={"secretName": "certificate"})
    world.settle()
    assert world.status["explainer"]["url"] == f"https://{NAME}.mail.svc/v1/models/spam:explain"
    (port,) = world.objects["Service", NAME]["spec"]["ports"]
    assert (port["port"], port["appProtocol"]) == (443, "https")
    pod = world.objects["Deployment", NAME]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][1] == "https://spam.mail.svc/v2/models/spam"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    files = {
        f"{mount['mountPath']}/{item['path']}": bool(source["secret"].get("optional"))
        for volume in pod["volumes"]
        for mount in container["volumeMounts"]
        if volume["name"] == mount["name"]
        for source in volume.get("projected", {}).get("sources", ())
        for item in source["secret"]["items"]
        if source["secret"]["name"] == "certificate"
    }
    flags = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert files == {flags["--tls-cert"]: False, flags["--tls-key"]: False, flags["--ca-file"]: True}


def test_the_explainer_leaves_tls_with_the_revision_that_serves() -> None:
    world = World()
    world.edit(explainer={}, tls={"secretName": "certificate"})
    world.settle()
    world.edit(tls=None)
    world.reconcile()
    assert world.status["explainer"]["url"].startswith("https:")
    world.settle()
    assert world.status["explainer"]["url"].startswith("http:")
    spec = world.objects["Deployment", NAME]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["tmp"]
    assert "--tls-cert" not in spec["containers"][0]["args"]
