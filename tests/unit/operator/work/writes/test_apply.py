"""Writes to children: order, ownership, preconditions and what a refusal stops."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.operator_objects import make_child

from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.project import project_child
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key, WorkQueue
from modelservice_operator.facts.errors import ApiError, ConflictError, LeadershipLostError, NotFoundError
from modelservice_operator.facts.kinds import CHILD_BY_KIND, Resource
from modelservice_operator.work.writes import rewrites
from modelservice_operator.work.writes.apply import Applier
from modelservice_operator.work.writes.write import Owner

OWNER = Owner(key=Key("mail", "spam"), uid="uid-spam")


class MemoryApi:
    """Objects in memory, with the API server's rules for UIDs; `refuse` raises for a kind."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.refuse: dict[str, Exception] = {}
        self.version = 100
        self.rewrite: int | None = None
        """The replicas that admission makes of any."""
        self.races = 0
        """Writes of somebody else that come before our next patches."""

    async def get(self, resource: Resource, _namespace: str, name: str) -> dict[str, Any]:
        self.calls.append(("get", resource.kind))
        if (resource.kind, name) not in self.objects:
            raise NotFoundError("none", status=404)
        return self.objects[resource.kind, name]

    async def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        kind, name = body["kind"], body["metadata"]["name"]
        self.calls.append(("apply", kind))
        if kind in self.refuse:
            raise self.refuse[kind]
        known = self.objects.get((kind, name))
        wanted = body["metadata"].get("uid")
        if wanted and (known is None or known["metadata"]["uid"] != wanted):
            raise ConflictError("uid mismatch", status=409)
        self.version += 1
        uid = known["metadata"]["uid"] if known else f"uid-new-{self.version}"
        replicas = body["spec"]["replicas"] if self.rewrite is None else self.rewrite
        obj = make_child(kind, name, uid=uid, version=self.version, replicas=replicas)
        self.objects[kind, name] = obj
        return obj

    async def patch_subresource(self, *args: Any) -> None:
        self.calls.append(("scale", args[-1]))
        if "scale" in self.refuse:
            raise self.refuse["scale"]

    async def patch_child(
        self, resource: Resource, _namespace: str, name: str, patch: dict[str, Any]
    ) -> dict[str, Any]:
        self.calls.append(("patch", resource.kind))
        obj = self.objects[resource.kind, name]
        if self.races:
            self.races -= 1
            obj["metadata"]["resourceVersion"] += "0"
        if patch["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise ConflictError("modified meanwhile", status=409)
        obj["metadata"] |= patch["metadata"]
        self.refuse.pop(resource.kind, None)
        return obj

    async def delete(
        self, resource: Resource, _namespace: str, name: str, uid: str, *, owned_first: bool
    ) -> None:
        self.calls.append(("delete, owned first" if owned_first else "delete", resource.kind))
        if self.objects[resource.kind, name]["metadata"]["uid"] != uid:
            raise ConflictError("uid mismatch", status=409)

    def kinds(self, operation: str) -> list[str]:
        """Kinds in the order in which an operation was asked for."""
        return [kind for name, kind in self.calls if name == operation]


class World:
    """An Applier with its store and the API server in memory."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.store = Store()
        self.applier = Applier(self.api, self.store, Ingest(self.store, WorkQueue()))  # type: ignore[arg-type]

    def exists(self, obj: dict[str, Any], kind: str = "Deployment", *, cached: bool = True) -> None:
        """An object of the cluster, known to the cache or not."""
        self.api.objects[kind, obj["metadata"]["name"]] = obj
        if cached:
            self.store.put_child(project_child(CHILD_BY_KIND[kind], obj))

    async def apply(self, *desired: dict[str, Any], retire=()):
        return await self.applier.apply(OWNER, desired, retire)


@pytest.fixture
def world() -> World:
    return World()


def desire(kind: str = "Deployment", name: str = "spam-bx5c9d7fgz", replicas: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": CHILD_BY_KIND[kind].api_version,
        "kind": kind,
        "metadata": {
            "namespace": "mail",
            "name": name,
            "labels": {"modelservice.dev/revision": "bx5c9d7fgz"},
        },
        "spec": {"replicas": replicas},
    }


FAMILY = [
    desire("Service"),
    desire("Deployment"),
    desire("NetworkPolicy"),
    desire("ServiceAccount"),
    desire("ControllerRevision"),
]


async def test_apply_writes_a_deployment_after_what_its_pods_need(world):
    applied = await world.apply(*FAMILY)
    order = world.api.kinds("apply")
    for kind in ("ControllerRevision", "ServiceAccount", "NetworkPolicy"):
        assert order.index(kind) < order.index("Deployment")
    assert applied.failures == ()
    assert applied.written == {one["kind"] for one in FAMILY}


async def test_apply_looks_absent_names_up_once_and_remembers_what_was_written(world):
    await world.apply(desire())
    child = world.store.child("Deployment", "mail", "spam-bx5c9d7fgz")
    assert child.resource_version == "101"
    assert world.api.calls == [("get", "Deployment"), ("apply", "Deployment")]


async def test_apply_of_what_is_there_already_calls_nothing(world):
    # What our manager owns of the observed object is exactly `spec.replicas`.
    desired = {
        "kind": "Deployment",
        "metadata": desire()["metadata"] | {"labels": {}},
        "spec": {"replicas": 1},
    }
    world.exists(make_child(replicas=1))
    applied = await world.apply(desired)
    assert (world.api.calls, applied.written) == ([], frozenset())


async def test_apply_of_a_cached_child_sends_its_uid(world):
    world.exists(make_child(replicas=1))
    applied = await world.apply(desire(replicas=2))
    assert world.api.calls == [("apply", "Deployment")]
    assert applied.written == {"Deployment"}


async def test_apply_of_a_child_that_vanished_looks_again_and_makes_it_anew(world):
    world.exists(make_child(replicas=1))
    world.api.objects.clear()
    applied = await world.apply(desire(replicas=2))
    assert applied.failures == ()
    assert [name for name, _ in world.api.calls] == ["apply", "get", "apply"]


async def test_apply_of_a_child_that_was_replaced_by_a_foreign_one_is_a_conflict(world):
    world.exists(make_child(replicas=1))
    world.exists(make_child(uid="theirs", owner=None, managed=False), cached=False)
    applied = await world.apply(desire(replicas=2))
    assert [failure.reason for failure in applied.failures] == ["NameConflict"]
    assert applied.recheck_seconds is not None
    assert world.api.objects["Deployment", "spam-bx5c9d7fgz"]["metadata"]["uid"] == "theirs"


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        (make_child(owner=None, managed=False), "NameConflict"),
        (make_child(owner="spam", owner_uid="uid-cron", owner_kind="CronJob"), "NameConflict"),
        (make_child(owner="ham", owner_uid="uid-ham"), "NameConflict"),
        (make_child(owner="spam", owner_uid="uid-old-spam"), "Unavailable"),
        (make_child(deleting=True), "Unavailable"),
    ],
    ids=["foreign", "other-controller", "other-service", "predecessor", "deleting"],
)
@pytest.mark.parametrize("cached", [True, False])
async def test_apply_never_writes_to_what_is_not_ours_to_write(world, obj, reason, cached):
    world.exists(obj, cached=cached)
    applied = await world.apply(desire(replicas=7))
    assert [failure.reason for failure in applied.failures] == [reason]
    assert world.api.kinds("apply") == []


INVALID = ApiError("ports[1].name: Duplicate value", status=422)


def edited_child() -> dict[str, Any]:
    """A child in which a person set a field of the spec."""
    obj = make_child(replicas=1)
    fields = {"f:spec": {"f:paused": {}}}
    obj["metadata"]["managedFields"] += [
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields}
    ]
    return obj


async def test_refused_apply_takes_over_what_a_person_set_and_applies_again(world):
    world.exists(edited_child())
    world.api.refuse["Deployment"] = INVALID
    applied = await world.apply(desire(replicas=2))
    assert applied.failures == ()
    assert [name for name, _ in world.api.calls] == ["get", "apply", "get", "patch", "apply"]
    [child] = world.store.children("Deployment")
    assert child.uid == edited_child()["metadata"]["uid"]


@pytest.mark.parametrize(("races", "reasons"), [(2, []), (9, ["Unavailable"])])
async def test_takeover_is_tried_again_where_somebody_else_writes(world, races, reasons):
    world.exists(edited_child())
    world.api.refuse["Deployment"] = INVALID
    world.api.races = races
    applied = await world.apply(desire(replicas=2))
    assert [failure.reason for failure in applied.failures] == reasons


async def test_refused_apply_with_nobody_elses_fields_stays_refused(world):
    world.exists(make_child(replicas=1))
    world.api.refuse["Deployment"] = INVALID
    applied = await world.apply(desire(replicas=2))
    assert [failure.reason for failure in applied.failures] == ["Rejected"]
    assert [name for name, _ in world.api.calls] == ["apply", "get"]


async def test_refused_apply_of_a_new_object_looks_for_nothing_to_take_over(world):
    world.api.refuse["Deployment"] = INVALID
    await world.apply(desire(replicas=2))
    assert world.api.kinds("patch") == []
    assert len(world.api.kinds("get")) == 1


# What `make_child` says that we own of an object.
PLAIN = {**desire(replicas=2), "metadata": desire()["metadata"] | {"labels": {}}}


async def test_what_admission_made_of_an_apply_is_told_once_and_not_applied_again(world, caplog):
    world.api.rewrite = 7
    for _ in range(5):
        applied = await world.apply(PLAIN)
        assert applied.failures == ()
    assert applied.written == frozenset()
    assert world.api.kinds("apply") == ["Deployment"]
    [record] = caplog.records
    assert record.getMessage() == "admission changed what was applied: spec.replicas"
    assert record.child == "spam-bx5c9d7fgz"


async def test_another_intent_and_a_later_edit_of_what_admission_rewrites_are_applied(world, caplog):
    world.api.rewrite = 7
    await world.apply(PLAIN)
    await world.apply({**PLAIN, "spec": {"replicas": 3}})
    assert len(world.api.kinds("apply")) == 2
    uid = world.api.objects["Deployment", "spam-bx5c9d7fgz"]["metadata"]["uid"]
    world.exists(make_child(uid=uid, version=900, replicas=9))
    await world.apply({**PLAIN, "spec": {"replicas": 3}})
    assert len(world.api.kinds("apply")) == 3
    assert len(caplog.records) == 1


async def test_object_that_admission_rewrote_is_applied_again_after_a_while(monkeypatch, world):
    world.api.rewrite = 7
    await world.apply(PLAIN)
    monkeypatch.setattr(rewrites, "ACCEPTED_SECONDS", 0.0)
    world.api.rewrite = None
    await world.apply(PLAIN)
    await world.apply(PLAIN)
    assert len(world.api.kinds("apply")) == 2


async def test_apply_takes_up_its_own_orphan(world):
    world.exists(make_child(owner=None))
    applied = await world.apply(desire(replicas=2))
    assert (applied.failures, applied.written) == ((), {"Deployment"})


async def test_refused_snapshot_keeps_its_deployment_back_and_nothing_else(world):
    world.api.refuse["ControllerRevision"] = ApiError("no", status=403)
    applied = await world.apply(*FAMILY)
    assert [failure.kind for failure in applied.failures] == ["ControllerRevision"]
    assert applied.written == {"Service", "NetworkPolicy", "ServiceAccount"}


async def test_refused_service_account_keeps_new_deployments_back_but_not_known_ones(world):
    world.api.refuse["ServiceAccount"] = ApiError("no", status=403)
    assert "Deployment" not in (await world.apply(*FAMILY)).written
    world.exists(make_child(replicas=5))
    assert "Deployment" in (await world.apply(*FAMILY)).written


async def test_retire_deletes_only_what_is_ours_and_not_going_already(world):
    ours, theirs = make_child(name="ours"), make_child(name="theirs", owner_uid="uid-other")
    going = make_child(name="going", deleting=True)
    for obj in (ours, theirs, going):
        world.exists(obj)
    children = [project_child(CHILD_BY_KIND["Deployment"], obj) for obj in (ours, theirs, going)]
    applied = await world.apply(retire=children)
    assert world.api.calls == [("delete", "Deployment")]
    assert applied.failures == ()
    assert world.store.child("Deployment", "mail", "ours").deleting


@pytest.mark.parametrize(
    ("status", "call"),
    [
        ({"replicas": 0, "terminatingReplicas": 0}, "delete, owned first"),
        ({"replicas": 0, "terminatingReplicas": 1}, "delete"),
        ({"replicas": 1, "terminatingReplicas": 0}, "delete"),
        ({"replicas": 0}, "delete"),  # before Kubernetes 1.35
    ],
)
async def test_deployment_whose_pods_have_ended_goes_after_their_objects(world, status, call):
    obj = make_child(name="ours") | {"status": status}
    world.exists(obj)
    await world.apply(retire=[project_child(CHILD_BY_KIND["Deployment"], obj)])
    assert world.api.calls == [(call, "Deployment")]


async def test_terminating_namespace_is_hopeless(world):
    details = {"causes": [{"reason": "NamespaceTerminating"}]}
    world.api.refuse["Deployment"] = ApiError("terminating", status=403, details=details)
    assert (await world.apply(desire())).is_hopeless


async def test_retry_after_of_the_slowest_refusal_is_kept(world):
    world.api.refuse["Deployment"] = ApiError("slow", status=429, retry_after_seconds=3.0)
    world.api.refuse["Service"] = ApiError("slow", status=429, retry_after_seconds=7.0)
    applied = await world.apply(*FAMILY)
    assert applied.retry_after_seconds == 7.0
    assert applied.recheck_seconds is None


async def test_lost_leadership_ends_the_reconciliation(world):
    world.api.refuse["Deployment"] = LeadershipLostError("lost")
    with pytest.raises(LeadershipLostError):
        await world.apply(desire())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, None),
        (ConflictError("somebody wrote it since", status=409), None),
        (NotFoundError("gone", status=404), None),
        (ApiError("not allowed", status=403), "Forbidden"),
    ],
)
async def test_scale_writes_the_number_unless_there_is_news(world, error, reason):
    if error is not None:
        world.api.refuse["scale"] = error
    failure = await world.applier.scale(OWNER.key, 6, "17")
    assert (failure and failure.reason) == reason
    assert world.api.calls == [("scale", {"metadata": {"resourceVersion": "17"}, "spec": {"replicas": 6}})]
