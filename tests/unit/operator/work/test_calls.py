"""How many calls an edit costs, exactly: with the operator's real parts around a cluster in memory.

Deployments there have their pods as soon as they were written, and every pod says at once what it serves.
So what is counted here is the least that is needed; pods that take longer cost a status more, and a look.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import convert
from tests.support.operator_objects import make_model_runtime, make_model_service

from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.ports import PortBook
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key, WorkQueue
from modelservice_operator.facts.errors import NotFoundError
from modelservice_operator.facts.kinds import CHILD_BY_KIND, DEPLOYMENTS, Resource
from modelservice_operator.facts.labels import MANAGER, REVISION
from modelservice_operator.facts.observed import PodReport
from modelservice_operator.work.concurrency import ConcurrencyLimit
from modelservice_operator.work.measure.measurer import Measurer
from modelservice_operator.work.pods.reader import Pods
from modelservice_operator.work.pods.reports import Answers
from modelservice_operator.work.reconcile import Outcome, Reconciler
from modelservice_operator.work.report import Reporter
from modelservice_operator.work.standby.listening import Listening
from modelservice_operator.work.standby.standby import Standbys
from modelservice_operator.work.writes.apply import Applier

KEY = Key("mail", "spam")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
IDENTITY = {"apiVersion", "kind", "metadata"}
QUIET_TURNS = 10
TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
REPORT = convert(
    {
        "digestsComplete": True,
        "models": [{"name": "spam", "version": "1", "sha256": "a" * 64, "inputs": [TENSOR], "outputs": []}],
    },
    PodReport,
)


class Cluster:
    """The API server, the controllers, the pods and the user, in memory; notes the operator's calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.now = BEGIN
        self.version = 100
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.store = Store()
        self.queue = WorkQueue()
        self.ingest = Ingest(self.store, self.queue)
        self.service = make_model_service()
        self.waits = False
        self.is_called = False
        self.reconciler = self._make_reconciler()
        self.ingest.on_runtime(None, make_model_runtime(default=True))
        self.ingest.on_service("ADDED", self.service)

    def _make_reconciler(self) -> Reconciler:
        api: Any = self
        reporter = Reporter(
            api=api,
            ingest=self.ingest,
            pods=api,
            rounds=api,
            measurer=Measurer(lambda _: None),
            recorder=api,
            concurrency=ConcurrencyLimit(most=1, tell=lambda _: None),
            clock=lambda: (self.now - BEGIN).total_seconds(),
        )
        listening = Listening(lambda _: None)
        standbys = Standbys(api=api, pods=api, book=PortBook(), listening=listening, activators=None)
        return Reconciler(
            store=self.store,
            applier=Applier(api, self.store, self.ingest),
            reporter=reporter,
            pods=api,
            standbys=standbys,
            now=lambda: self.now,
        )

    # The API server

    async def get(self, resource: Resource, _: str, name: str) -> dict[str, Any]:
        self.calls.append(f"get {resource.kind}")
        if (resource.kind, name) not in self.objects:
            raise NotFoundError("none", status=404)
        return self.objects[resource.kind, name]

    async def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        kind, name = body["kind"], body["metadata"]["name"]
        self.calls.append(f"apply {kind}")
        known = self.objects.get((kind, name), {"metadata": {"generation": 0, "uid": f"uid-{kind}-{name}"}})
        self.version += 1
        owned: dict[str, Any] = {f"f:{field}": {} for field in body.keys() - IDENTITY}
        owned["f:metadata"] = {"f:labels": {}, "f:ownerReferences": {}}
        metadata = {
            **body["metadata"],
            "uid": known["metadata"]["uid"],
            "generation": known["metadata"]["generation"] + 1,
            "resourceVersion": str(self.version),
            "creationTimestamp": self.now.isoformat(),
            "managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": owned}],
        }
        obj = {**body, "metadata": metadata, "status": known.get("status", {})}
        self.objects[kind, name] = obj
        return obj

    async def delete(self, resource: Resource, _: str, name: str, uid: str, *, owned_first: bool) -> None:
        del owned_first
        self.calls.append(f"delete {resource.kind}")
        assert self.objects[resource.kind, name]["metadata"]["uid"] == uid

    async def patch_status(self, _: Resource, __: str, ___: str, patch: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("status")
        self._write_service(status=merge(self.service.get("status", {}), patch["status"]))
        return self.service

    # Pods, their rounds, Events

    async def read(self, _: Key, __: datetime, *, follow: bool) -> Pods:
        del follow
        self.calls.append("list Pod")
        pods = tuple(self._pods())
        return Pods(pods, answers=Answers({one["metadata"]["uid"]: REPORT for one in pods}))

    def is_turn(self, _: Key) -> bool:
        self.waits = True
        return self.is_called

    def leave(self, _: Key) -> None:
        self.waits = False

    def forget(self, _: Key) -> None:
        """Nothing is kept."""

    def record(self, _: object, transition: Any) -> None:
        self.calls.append(f"event {transition.reason}")

    def _pods(self) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"uid": f"{name}-{number}", "name": f"{name}-{number}", "labels": labels},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }
            for (kind, name), obj in self.objects.items()
            for labels in [obj["metadata"]["labels"]]
            if kind == "Deployment" and REVISION in labels
            for number in range(obj["spec"]["replicas"])
        ]

    # The user and the controllers

    def edit(self, **spec: Any) -> None:
        """Change the spec; from now on the operator's calls are counted."""
        self.calls.clear()
        self._write_service(spec={**self.service["spec"], **spec}, generation=1)
        self.ingest.on_service("MODIFIED", self.service)

    def _write_service(self, *, generation: int = 0, **fields: Any) -> None:
        self.version += 1
        metadata = self.service["metadata"]
        versions = {
            "resourceVersion": str(self.version),
            "generation": metadata["generation"] + generation,
        }
        self.service = {**self.service, "metadata": {**metadata, **versions}, **fields}

    def run_controllers(self) -> None:
        """Every Deployment has its pods, what was deleted is gone."""
        for (kind, name), obj in list(self.objects.items()):
            child = self.store.child(kind, "mail", name)
            if child is not None and child.deleting:
                self.version += 1
                del self.objects[kind, name]
                version = str(self.version)
                self.ingest.on_child_gone(CHILD_BY_KIND[kind], "mail", name, child.uid, version)
            elif kind == "Deployment":
                self._scale(obj)

    def _scale(self, deployment: dict[str, Any]) -> None:
        metadata, replicas = deployment["metadata"], deployment["spec"]["replicas"]
        status = {
            "observedGeneration": metadata["generation"],
            **dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), replicas),
        }
        if status != deployment["status"]:
            self.version += 1
            deployment = {
                **deployment,
                "metadata": {**metadata, "resourceVersion": str(self.version)},
                "status": status,
            }
            self.objects["Deployment", metadata["name"]] = deployment
            self.ingest.on_child(DEPLOYMENTS, "MODIFIED", deployment)

    async def settle(self) -> list[str]:
        """Reconcile and run the controllers until nothing happens any more; returns the calls."""
        quiet = 0
        while quiet < QUIET_TURNS:
            before = len(self.calls), self.version
            self.now += timedelta(seconds=0.2)
            outcome = await self.reconciler.reconcile(KEY)
            assert isinstance(outcome, Outcome)
            assert not outcome.failed
            self.run_controllers()
            quiet = quiet + 1 if before == (len(self.calls), self.version) else 0
        return self.calls


def merge(value: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return what a merge patch makes of a value (RFC 7396)."""
    merged = dict(value)
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        elif isinstance(part, dict):
            merged[name] = merge(merged.get(name) or {}, part)
        else:
            merged[name] = part
    return merged


@pytest.fixture
async def cluster() -> Cluster:
    cluster = Cluster()
    await cluster.settle()
    return cluster


async def test_nothing_is_called_at_rest(cluster):
    cluster.calls.clear()
    cluster.now += timedelta(hours=1)
    assert await cluster.settle() == []


@pytest.mark.parametrize("replicas", [2, 5, 0])
async def test_edit_of_replicas_costs_the_deployment_and_the_status(cluster, replicas):
    cluster.edit(replicas=replicas)
    assert [one for one in await cluster.settle() if not one.startswith("event")] == [
        "apply Deployment",
        "status",
    ]


async def test_edit_that_changes_no_child_costs_the_status(cluster):
    cluster.edit(rollout={"progressDeadlineSeconds": 900})
    assert await cluster.settle() == ["status"]


async def test_pods_that_came_with_an_edit_are_compared_when_others_are_and_cost_no_write(cluster):
    cluster.edit(replicas=2)
    await cluster.settle()
    assert cluster.waits
    cluster.calls.clear()
    cluster.is_called = True
    assert await cluster.settle() == ["list Pod"], "which one list for many has read already"


async def test_new_revision_costs_what_keeps_clients_safe_and_no_more(cluster):
    cluster.edit(model={"storageUri": "oci://registry.example/models/spam:4"})
    assert await cluster.settle() == [
        # Whether the new names are free.
        *("get ControllerRevision", "get Service"),
        # Clients are led to the old pods alone; then the new one is made.
        *("apply ControllerRevision", "apply Service", "apply Service", "apply Service"),
        *("get Deployment", "apply Deployment"),
        # What the new pod serves is known, and recorded before clients are led to it.
        *("list Pod", "status", "event RolloutStarted", "event ContractPassed"),
        *("apply Service", "apply Service"),
        # What it replaces goes, once nothing of it serves.
        *("apply Deployment", "delete Deployment", "delete Service"),
        *("list Pod", "status", "event RolloutComplete", "event Ready"),
    ]
