"""Whose status a look at a RuntimeRollout is written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from modelservice_operator.cache.fleet import fleet_key
from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import WorkQueue
from modelservice_operator.facts.errors import ConflictError, NotFoundError
from modelservice_operator.work.fleet import FleetReconciler

if TYPE_CHECKING:
    from modelservice_operator.client.events import Recorder
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.kinds import Resource

Object = dict[str, Any]
KEY = fleet_key("may")


class MemoryApi:
    """One RuntimeRollout as the API server keeps it: a write of another version is refused."""

    def __init__(self, rollout: Object) -> None:
        self.rollout: Object | None = rollout

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Object) -> Object:
        if self.rollout is None:
            raise NotFoundError("gone")
        known = self.rollout["metadata"]["resourceVersion"]
        if patch.get("metadata", {}).get("resourceVersion", known) != known:
            raise ConflictError("the object has been modified")
        metadata = {**self.rollout["metadata"], "resourceVersion": str(int(known) + 1)}
        self.rollout = {**self.rollout, "metadata": metadata, "status": patch["status"]}
        return self.rollout


class Told:
    """Events, kept in memory."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def record(self, obj: Object, transition: Any) -> None:
        self.reasons.append(transition.reason)


def make_rollout(uid: str, version: int, **spec: Any) -> Object:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "may", "uid": uid, "generation": 1, "resourceVersion": str(version)},
        "spec": {"target": {"runtime": "onnx"}, **spec},
    }


def make_reconciler(api: MemoryApi) -> tuple[FleetReconciler, Told]:
    store, queue, told = Store(), WorkQueue(), Told()
    ingest = Ingest(store, queue)
    return FleetReconciler(
        api=cast("ApiClient", api), store=store, ingest=ingest, queue=queue, recorder=cast("Recorder", told)
    ), told


async def test_one_that_was_made_anew_by_the_same_name_inherits_nothing():
    ended, anew = make_rollout("first", 5, paused=True), make_rollout("second", 9, paused=True)
    api = MemoryApi(anew)
    reconciler, told = make_reconciler(api)
    reconciler.store.put_rollout(ended)
    await reconciler.reconcile(KEY)
    assert (api.rollout, told.reasons) == (anew, [])
    reconciler.ingest.on_rollout("ADDED", anew)
    await reconciler.reconcile(KEY)
    assert api.rollout is not None
    assert (api.rollout["status"]["phase"], told.reasons) == ("Paused", ["RolloutPaused"])


async def test_one_that_is_gone_is_left_alone():
    api = MemoryApi(make_rollout("first", 5))
    reconciler, told = make_reconciler(api)
    reconciler.store.put_rollout(make_rollout("first", 5, paused=True))
    api.rollout = None
    await reconciler.reconcile(KEY)
    assert told.reasons == []
