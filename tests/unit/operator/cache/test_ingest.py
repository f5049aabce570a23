"""Ingest: what counts as news, for whom, and how urgently."""

import asyncio

from tests.support.operator_objects import make_child, make_model_runtime, make_model_service

from modelservice_operator.cache.ingest import CHILD_DEBOUNCE_SECONDS, MOVING_DEBOUNCE_SECONDS, Ingest
from modelservice_operator.cache.project import project_child
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key, Priority, WorkQueue
from modelservice_operator.facts.kinds import (
    AUTOSCALERS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    MODEL_RUNTIMES,
    MODEL_SERVICES,
    SCALED_OBJECTS,
    SERVICES,
)

KEY = Key("mail", "spam")


class RecordingQueue(WorkQueue):
    """A work queue that notes what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[tuple[Key, Priority, bool]] = []
        self.delays: list[float] = []

    def add(self, key: Key, priority: Priority = Priority.NORMAL, after_seconds: float = 0.0) -> None:
        self.added.append((key, priority, after_seconds > 0))
        self.delays.append(after_seconds)
        super().add(key, priority, after_seconds)

    def taken(self) -> list[tuple[Key, Priority, bool]]:
        added, self.added = self.added, []
        return added


async def prepare(**fields) -> tuple[Ingest, Store, RecordingQueue]:
    await asyncio.sleep(0)
    store, queue = Store(), RecordingQueue()
    ingest = Ingest(store, queue)
    ingest.on_event(MODEL_SERVICES, None, make_model_service(**fields))
    ingest.on_event(DEPLOYMENTS, "ADDED", make_child(version=10))
    queue.taken()
    return ingest, store, queue


async def test_listed_service_is_normal_and_new_one_is_urgent():
    store, queue = Store(), RecordingQueue()
    ingest = Ingest(store, queue)
    ingest.on_service(None, make_model_service("listed"))
    ingest.on_service("ADDED", make_model_service("new"))
    assert queue.taken() == [
        (Key("mail", "listed"), Priority.NORMAL, False),
        (Key("mail", "new"), Priority.URGENT, False),
    ]


async def test_edit_is_urgent_and_status_of_somebody_else_is_normal():
    ingest, _, queue = await prepare()
    ingest.on_service("MODIFIED", make_model_service(version=2, generation=2))
    assert queue.taken() == [(KEY, Priority.URGENT, False)]
    ingest.on_service("MODIFIED", make_model_service(version=3, generation=2, status={"forged": 1}))
    assert queue.taken() == [(KEY, Priority.NORMAL, False)]


async def test_event_that_repeats_our_status_write_is_no_news():
    ingest, _, queue = await prepare()
    answer = make_model_service(version=2, status={"replicas": 1})
    ingest.on_service_written(answer)
    ingest.on_service("MODIFIED", answer)
    assert queue.taken() == []


async def test_answer_of_status_write_that_shows_an_edit_is_urgent():
    # The event of the edit is older than the answer and will be ignored: nothing else tells of it.
    ingest, store, queue = await prepare()
    ingest.on_service_written(make_model_service(version=12, generation=2, status={"replicas": 1}))
    ingest.on_service("MODIFIED", make_model_service(version=11, generation=2))
    assert queue.taken() == [(KEY, Priority.URGENT, False)]
    assert store.service(KEY).generation == 2


async def test_decision_of_the_autoscaler_asks_for_one_of_ours():
    ingest, _, queue = await prepare(status={"replicas": 1})
    decided = {"replicas": 1, "autoscaler": {"desired": 2}}
    ingest.on_service("MODIFIED", make_model_service(version=2, status=decided))
    assert queue.taken() == [(KEY, Priority.NORMAL, False)]
    ingest.on_service("MODIFIED", make_model_service(version=3, status=decided))
    assert queue.taken() == []


async def test_answer_of_status_write_that_shows_a_decision_of_the_autoscaler_is_told():
    # Its event is older than the answer, as an edit's would be.
    ingest, _, queue = await prepare(status={"replicas": 1})
    decided = {"replicas": 2, "autoscaler": {"desired": 2}}
    ingest.on_service_written(make_model_service(version=12, status=decided))
    ingest.on_service("MODIFIED", make_model_service(version=11, status={**decided, "replicas": 1}))
    assert queue.taken() == [(KEY, Priority.NORMAL, False)]
    ingest.on_service_written(make_model_service(version=13, status={**decided, "replicas": 3}))
    assert queue.taken() == []


async def test_child_status_change_is_debounced_and_its_repetition_ignored():
    ingest, _, queue = await prepare()
    ingest.on_child(DEPLOYMENTS, "MODIFIED", make_child(version=11, available=1))
    assert queue.taken() == [(KEY, Priority.NORMAL, True)]
    ingest.on_child(DEPLOYMENTS, "MODIFIED", make_child(version=11, available=1))
    assert queue.taken() == []


async def test_deployment_is_looked_at_less_often_while_its_pods_are_on_their_way():
    ingest, _, queue = await prepare()
    queue.delays.clear()
    ingest.on_child(DEPLOYMENTS, "MODIFIED", make_child(version=11, replicas=3, available=1))
    ingest.on_child(DEPLOYMENTS, "MODIFIED", make_child(version=12, replicas=3, available=2))
    ingest.on_child(DEPLOYMENTS, "MODIFIED", make_child(version=13, replicas=3, available=3))
    assert queue.delays == [MOVING_DEBOUNCE_SECONDS, MOVING_DEBOUNCE_SECONDS, CHILD_DEBOUNCE_SECONDS]


async def test_event_that_repeats_what_is_known_is_not_even_read():
    ingest, store, queue = await prepare()
    known = make_child(version=10)["metadata"]
    identity = {name: known[name] for name in ("namespace", "name", "uid", "resourceVersion")}
    ingest.on_child(DEPLOYMENTS, "MODIFIED", {"metadata": identity})
    assert queue.taken() == []
    assert store.child("Deployment", known["namespace"], known["name"]).labels == known["labels"]


async def test_deployment_whose_pods_came_and_went_unseen_is_news():
    ingest, _, queue = await prepare()
    ingest.on_child(DEPLOYMENTS, "MODIFIED", make_child(version=11, available=1))
    queue.taken()
    ingest.on_child(DEPLOYMENTS, None, make_child(version=13, available=1))
    assert [taken[0] for taken in queue.taken()] == [KEY]


async def test_child_deleted_by_somebody_is_urgent():
    ingest, _, queue = await prepare()
    ingest.on_child(DEPLOYMENTS, "DELETED", make_child(version=11))
    assert queue.taken() == [(KEY, Priority.URGENT, False)]
    ingest.on_child(DEPLOYMENTS, "DELETED", make_child(version=11))
    assert queue.taken() == []


async def test_child_that_loses_its_owner_wakes_the_former_owner():
    ingest, _, queue = await prepare()
    orphan = make_child(
        version=11, owner=None, labels={"app.kubernetes.io/managed-by": "modelservice-operator"}
    )
    ingest.on_child(DEPLOYMENTS, "MODIFIED", orphan)
    assert queue.taken() == [(KEY, Priority.NORMAL, True)]


async def test_child_of_an_unknown_service_wakes_nobody():
    ingest, _, queue = await prepare()
    ingest.on_child(SERVICES, "ADDED", make_child("Service", "ham", owner="ham", owner_uid="uid-ham"))
    assert queue.taken() == []


async def test_answer_of_our_apply_wakes_nobody_and_is_readable_at_once():
    ingest, store, queue = await prepare()
    answer = make_child(version=20, replicas=3)
    assert ingest.on_child_written(DEPLOYMENTS, answer) == project_child(DEPLOYMENTS, answer)
    ingest.on_child(DEPLOYMENTS, "MODIFIED", answer)
    assert queue.taken() == []
    assert store.observe(KEY).deployments[0].spec_replicas == 3


async def test_runtime_wakes_services_that_use_it():
    ingest, _, queue = await prepare()
    ingest.on_event(MODEL_RUNTIMES, "ADDED", make_model_runtime("gpu"))
    assert queue.taken() == []
    ingest.on_event(MODEL_RUNTIMES, "ADDED", make_model_runtime("onnx", default=True))
    assert queue.taken() == [(KEY, Priority.NORMAL, False)]
    # It is no longer the default one: services that relied on that have to know.
    ingest.on_event(MODEL_RUNTIMES, "MODIFIED", make_model_runtime("onnx", version=2))
    assert queue.taken() == [(KEY, Priority.NORMAL, False)]


async def test_deleted_service_is_forgotten():
    ingest, store, queue = await prepare()
    ingest.on_service("DELETED", make_model_service(version=30))
    assert store.observe(KEY) is None
    assert [added[0] for added in queue.taken()] == [KEY]


def autoscaler(version: int = 1, **status) -> dict:
    return {**make_child("HorizontalPodAutoscaler", "spam", version=version), "status": status}


def test_autoscaler_is_read_with_the_sentence_of_what_keeps_it_from_scaling():
    broken = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetResourceMetric",
        "message": "no",
    }
    fine = {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale", "message": "changes"}
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"}
    found = project_child(AUTOSCALERS, autoscaler(conditions=[broken, fine, limited], desiredReplicas=4))
    assert (found.failing, found.reasons) == ((broken,), {"ScalingLimited": "TooManyReplicas"})
    assert found.desired == 4


async def test_autoscaler_is_news_where_it_decides_and_not_where_it_measures():
    ingest, store, queue = await prepare()
    condition = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}
    ingest.on_child(AUTOSCALERS, "ADDED", autoscaler(11, desiredReplicas=2, conditions=[condition]))
    queue.taken()
    measured = {"desiredReplicas": 2, "currentMetrics": [{"type": "Resource"}]}
    ingest.on_child(
        AUTOSCALERS, "MODIFIED", autoscaler(12, **measured, conditions=[{**condition, "message": "new"}])
    )
    assert queue.taken() == []
    assert store.child("HorizontalPodAutoscaler", "mail", "spam").metrics == ({"type": "Resource"},)
    ingest.on_child(AUTOSCALERS, "MODIFIED", autoscaler(13, desiredReplicas=3, conditions=[condition]))
    assert queue.taken() == [(KEY, Priority.NORMAL, True)]


async def test_scaled_object_is_news_where_what_it_says_of_itself_changes():
    ingest, _, queue = await prepare()

    def scaled(version: int, status: str, active_at: str) -> dict:
        condition = {"type": "Active", "status": status, "reason": "ScalerActive", "message": "it is"}
        obj = make_child("ScaledObject", "spam", version=version)
        return {**obj, "status": {"conditions": [condition], "lastActiveTime": active_at}}

    ingest.on_child(SCALED_OBJECTS, "ADDED", scaled(11, "True", "2026-01-01T00:00:00Z"))
    queue.taken()
    ingest.on_child(SCALED_OBJECTS, "MODIFIED", scaled(12, "True", "2026-01-01T00:00:05Z"))
    assert queue.taken() == []
    ingest.on_child(SCALED_OBJECTS, "MODIFIED", scaled(13, "False", "2026-01-01T00:00:05Z"))
    assert queue.taken() == [(KEY, Priority.NORMAL, True)]


def test_service_is_read_as_clients_meet_it():
    obj = make_child("Service", "spam")
    obj["spec"] = {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http"}]}
    found = project_child(SERVICES, obj)
    assert (found.type, found.selector, found.ports) == ("NodePort", {"a": "b"}, {("TCP", 80, "http")})
    obj["spec"] = {"type": "ExternalName", "externalName": "example.org"}
    assert project_child(SERVICES, obj).ports == frozenset()


def test_slice_of_the_activator_is_read_with_its_addresses_and_ports():
    obj = make_child("EndpointSlice", "spam-activator")
    obj |= {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": False}}],
        "ports": [{"name": "http", "port": 20000}],
    }
    found = project_child(ENDPOINT_SLICES, obj).slice
    assert [(one.address, one.ready) for one in found.endpoints] == [("10.0.0.9", False)]
    assert found.ports == {"http": 20000}
