"""What is gathered around a service that may sleep, and the look at the pods that its clients find."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web
from tests.support.operator_objects import make_model_service

from modelservice_operator.cache.activators import ActivatorPods
from modelservice_operator.cache.ports import PortBook
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.observed import Observed
from modelservice_operator.facts.standby import Surroundings
from modelservice_operator.work.pods.reader import PodReader
from modelservice_operator.work.standby.listening import Listening
from modelservice_operator.work.standby.standby import Standbys

KEY = Key("mail", "spam")


def make_observed(min_replicas: int | None) -> Observed:
    service = make_model_service()
    if min_replicas is not None:
        service["spec"]["autoscaling"] = {"minReplicas": min_replicas, "maxReplicas": 3}
    return Observed(service=service, runtimes=(), revisions=(), deployments=(), others=())


def make_slice(manager: str, pod: str, *, ready: bool = True) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "spam", "endpointslice.kubernetes.io/managed-by": manager}
    endpoint = {
        "addresses": ["10.0.0.7"],
        "conditions": {"ready": ready},
        "targetRef": {"kind": "Pod", "name": pod, "uid": f"uid-{pod}"},
    }
    return {"metadata": {"name": pod, "namespace": "mail", "labels": labels}, "endpoints": [endpoint]}


class Cluster:
    """Slices and pods as the API server lists them; without the right to pods it says so."""

    def __init__(self, *slices: dict[str, Any], may_list_pods: bool = True) -> None:
        self.slices = slices
        self.may_list_pods = may_list_pods

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/endpointslices"):
            assert request.query["labelSelector"] == "kubernetes.io/service-name=spam"
            return web.json_response({"metadata": {"resourceVersion": "5"}, "items": list(self.slices)})
        if not self.may_list_pods:
            return web.json_response({"code": 403, "message": "no"}, status=403)
        if "watch" in request.query:
            return web.Response(body=json.dumps({}), status=410)
        pods = [{"metadata": {"name": name, "uid": f"uid-{name}"}} for name in ("a", "b")]
        return web.json_response({"metadata": {"resourceVersion": "5"}, "items": pods})


@pytest.fixture
async def standbys(api):
    pods = PodReader(api, lambda _: None)
    yield Standbys(
        api=api,
        pods=pods,
        book=PortBook(),
        listening=Listening(lambda _: None),
        activators=ActivatorPods("system", lambda: None),
    )
    pods.forget(KEY)


async def test_only_what_may_sleep_has_surroundings_and_ports(standbys):
    for min_replicas in (None, 1):
        observed = make_observed(min_replicas)
        assert standbys.surround(KEY, observed) is observed
    assert standbys.book.keys == ()
    found = standbys.surround(KEY, make_observed(0)).surroundings
    assert found.activators is not None
    assert found.ports == standbys.book.offer(KEY)
    standbys.forget(KEY)
    assert standbys.book.keys == ()


async def test_what_a_look_has_shown_counts_also_for_what_may_not_sleep_any_more(standbys):
    led = ({"metadata": {"name": "a", "uid": "uid-a"}},)
    found = standbys.surround(KEY, make_observed(1), led)
    assert found.surroundings == Surroundings(led=led)
    assert standbys.book.keys == ()


async def test_without_an_activator_no_ports_are_given_away(api, standbys):
    alone = Standbys(
        api=api, pods=standbys.pods, book=PortBook(), listening=standbys.listening, activators=None
    )
    assert alone.surround(KEY, make_observed(0)).surroundings == Surroundings()
    assert alone.book.keys == ()


async def test_look_sees_ready_pods_and_not_the_activator(server, standbys):
    server.answer(
        Cluster(
            make_slice("endpointslice-controller.k8s.io", "a"),
            make_slice("endpointslice-controller.k8s.io", "b", ready=False),
            make_slice("activator.modelservice.dev", "activator-1"),
        )
    )
    found = await standbys.look(KEY)
    assert [pod["metadata"]["name"] for pod in found] == ["a"]


async def test_look_reads_no_pods_where_clients_find_none(server, standbys):
    server.answer(Cluster(make_slice("activator.modelservice.dev", "activator-1")))
    assert await standbys.look(KEY) == ()
    assert len(server.requests) == 1


async def test_look_without_the_right_to_pods_knows_their_names(server, standbys):
    server.answer(Cluster(make_slice("endpointslice-controller.k8s.io", "a"), may_list_pods=False))
    assert await standbys.look(KEY) == ({"metadata": {"name": "a", "uid": "uid-a"}},)
