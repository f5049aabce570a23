"""The auditor finds what watches lost, drops what is gone, and knows when the past has changed."""

import pytest
from aiohttp import web
from tests.support.operator_objects import make_child, make_model_runtime, make_model_service

from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key, WorkQueue
from modelservice_operator.facts.errors import OperatorError
from modelservice_operator.facts.kinds import DEPLOYMENTS, MODEL_RUNTIMES, MODEL_SERVICES
from modelservice_operator.sources.auditor import Auditor

KINDS = (MODEL_RUNTIMES, MODEL_SERVICES)


class Cluster:
    """What the API server lists at `version`."""

    def __init__(self, version: int, *objects: dict) -> None:
        self.version = version
        self.objects = objects

    async def __call__(self, request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[1]
        for obj in self.objects:
            if obj["metadata"]["name"] == name:
                return web.json_response(obj)
        items = [{"metadata": obj["metadata"]} for obj in self.objects]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items or None})


@pytest.fixture
async def audit(api, server):
    async def run(cluster: Cluster, resource, *cached: dict) -> tuple[int, Store, WorkQueue]:
        server.answer(cluster)
        store, queue = Store(), WorkQueue()
        ingest = Ingest(store, queue)
        for obj in cached:
            ingest.on_event(resource, None, obj)
        auditor = Auditor(api, store, ingest, scopes=(None,), kinds=KINDS)
        corrections = await auditor.audit(resource, settle_seconds=0)
        return corrections, store, queue

    return run


async def test_audit_of_a_complete_cache_corrects_nothing(audit, server):
    service = make_model_service(version=5)
    corrections, _, _ = await audit(Cluster(9, service), MODEL_SERVICES, service)
    assert corrections == 0
    assert len(server.requests) == 1
    assert "PartialObjectMetadataList" in server.requests[0].headers["Accept"]


async def test_audit_fetches_what_is_missing_and_what_is_old(audit):
    old, new, unseen = (
        make_model_service("a", version=5),
        make_model_service("a", version=7, generation=2),
        make_model_service("b", version=6),
    )
    corrections, store, queue = await audit(Cluster(9, new, unseen), MODEL_SERVICES, old)
    assert corrections == 2
    assert store.service(Key("mail", "a")).generation == 2
    assert store.service(Key("mail", "b")) is not None
    assert len(queue) == 2


async def test_audit_drops_what_is_gone_and_wakes_its_owner(audit):
    corrections, store, _ = await audit(Cluster(9), DEPLOYMENTS, make_child(version=5))
    assert corrections == 1
    assert list(store.children("Deployment")) == []
    corrections, store, _ = await audit(Cluster(9), MODEL_RUNTIMES, make_model_runtime(version=5))
    assert (corrections, store.runtimes()) == (1, ())


async def test_audit_with_a_list_older_than_the_cache_starts_over(audit):
    # The second list is no newer: etcd was restored from a backup.
    with pytest.raises(OperatorError, match="backwards"):
        await audit(Cluster(9), DEPLOYMENTS, make_child(version=10))


async def test_fill_reads_whole_objects_and_queues_every_service(api, server):
    def page(*items: dict) -> web.Response:
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": list(items)})

    server.answer(page(make_model_runtime()), page(make_model_service("a"), make_model_service("b")))
    store, queue = Store(), WorkQueue()
    await Auditor(api, store, Ingest(store, queue), scopes=(None,), kinds=KINDS).fill()
    assert [one["spec"] for one in store.runtimes()] == [make_model_runtime()["spec"]]
    assert store.observe(Key("mail", "b")).service["spec"] == make_model_service("b")["spec"]
    assert len(queue) == 2


async def test_each_namespace_is_listed_and_compared_for_itself(api, server):
    # Lists have different ages: what is newer than the list of another namespace is no leap in history.
    versions = {"mail": "9", "shop": "30"}
    listed = {"mail": [make_model_service("kept", version=5)], "shop": []}

    async def answer(request: web.Request) -> web.Response:
        namespace = request.path.split("/")[5]
        page = {"metadata": {"resourceVersion": versions[namespace]}, "items": listed[namespace]}
        return web.json_response(page)

    server.answer(answer)
    store = Store()
    ingest = Ingest(store, WorkQueue())
    auditor = Auditor(api, store, ingest, scopes=("mail", "shop"), kinds=(MODEL_SERVICES,))
    await auditor.fill()
    assert store.service_keys() == [Key("mail", "kept")]
    ingest.on_event(MODEL_SERVICES, None, make_model_service("gone", namespace="shop", uid="b", version=20))
    assert await auditor.audit(MODEL_SERVICES, "mail", settle_seconds=0) == 0
    assert await auditor.audit(MODEL_SERVICES, "shop", settle_seconds=0) == 1
    assert store.service_keys() == [Key("mail", "kept")]
    assert {"namespaces" in request.path for request in server.requests} == {True}
