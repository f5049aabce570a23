from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import (
    NOW,
    SHA_A,
    SHA_B,
    World,
    condition,
    make_model_service,
    make_pod,
    make_ready_pod,
    make_report,
    make_runtime,
    model,
    timestamp,
)

from modelservice_operator.api import ModelServiceStatus
from modelservice_operator.decide.decide import decide
from modelservice_operator.explain.status import compute_status, percentages
from modelservice_operator.explain.transitions import Transition, compute_transitions
from modelservice_operator.facts.observed import ApplyFailure, PodReport, ServiceChild
from modelservice_operator.facts.recorded import is_given_up
from modelservice_operator.facts.signature import Signature, Tensor, signature_in


def settled_world(*runtimes: dict[str, Any], **spec: Any) -> World:
    world = World(*runtimes, **spec)
    world.settle()
    return world


def truth(world: World) -> dict[str, bool]:
    return {one["type"]: one["status"] == "True" for one in world.status["conditions"]}


ALL_WELL = {
    "Ready": True,
    "Available": True,
    "Progressing": False,
    "Degraded": False,
    "Reconciling": False,
    "Stalled": False,
}


def test_compute_status_settled_service_is_complete() -> None:
    world = settled_world(replicas=2, model=model(1, version="7", sha256=SHA_A))
    revision = world.status["stableRevision"]
    conditions = world.status.pop("conditions")

    assert world.status == {
        "observedGeneration": 1,
        "url": "http://spam.mail.svc/v2/models/spam",
        "replicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "selector": "modelservice.dev/name=spam",
        "stableRevision": revision,
        "servedRevisions": [revision],
        "targetRevision": revision,
        "outcomes": [
            {
                "revision": revision,
                "outcome": "Stable",
                "reason": "RolloutComplete",
                "message": "It was rolled out.",
                "time": timestamp(NOW),
            }
        ],
        "traffic": [{"revision": revision, "desired": 100, "actual": 100}],
        "rollout": {
            "strategy": "RollingUpdate",
            "phase": "Complete",
            "revision": revision,
            "weight": 100,
        },
        "model": {"version": "7", "sha256": SHA_A},
        "runtime": {"ref": "onnx", "image": "registry.example/onnx:1"},
    }
    assert {one["type"]: one["status"] == "True" for one in conditions} == ALL_WELL


def test_compute_status_every_field_is_in_the_schema() -> None:
    world = settled_world(replicas=2, model=model(1, version="7", sha256=SHA_A))

    parsed = ModelServiceStatus.model_validate(world.status, extra="forbid")

    assert parsed.to_dict() == world.status


def test_compute_status_same_input_same_output() -> None:
    world = settled_world(replicas=2)
    observed = world.observe()
    decision = decide(observed, NOW)

    assert compute_status(observed, decision, (), NOW) == compute_status(observed, decision, (), NOW)


def test_compute_status_while_pods_start_is_reconciling_not_stalled() -> None:
    world = World()
    world.reconcile()

    assert truth(world) == {
        **ALL_WELL,
        "Ready": False,
        "Available": False,
        "Progressing": True,
        "Reconciling": True,
    }


def test_compute_status_never_ready_before_the_new_revision_is_available() -> None:
    world = settled_world(replicas=2)
    world.edit(model=model(2))
    old = world.status["stableRevision"]
    for _ in range(30):
        world.reconcile()
        if world.condition("Ready")["status"] == "True":
            break
        assert truth(world)["Available"]
        world.run_controllers()

    [deployment] = world.deployments().values()
    assert deployment.revision != old
    assert deployment.available_replicas == 2
    assert world.condition("Ready")["observedGeneration"] == 2


def test_compute_status_more_replicas_wanted_is_not_ready_until_they_are_there() -> None:
    world = settled_world(replicas=1)
    world.edit(replicas=2)
    world.reconcile()
    assert (world.condition("Ready")["status"], world.status["observedGeneration"]) == ("False", 2)

    world.settle()

    assert truth(world) == ALL_WELL


def test_compute_status_deployment_that_nobody_acted_on_yet_is_not_ready() -> None:
    world = settled_world(replicas=2)
    world.set_deployment(world.status["stableRevision"], generation=9)
    world.reconcile()

    assert not truth(world)["Ready"]


def test_compute_status_autoscaled_service_is_ready_with_its_minimum() -> None:
    world = settled_world(replicas=1, autoscaling={"maxReplicas": 5})
    world.edit(replicas=3)
    world.reconcile()
    world.set_deployment(world.status["stableRevision"], observed_generation=99, replicas=3)
    world.reconcile()

    expected = {**ALL_WELL, "Progressing": True, "AutoscalingActive": False}
    assert truth(world) == expected


def test_compute_status_scaled_to_zero_is_ready_and_not_available() -> None:
    world = settled_world(replicas=2)
    world.edit(replicas=0)
    world.reconcile()
    assert world.condition("Ready")["reason"] == "ScalingToZero"

    world.settle()

    assert truth(world) == {**ALL_WELL, "Available": False}
    assert world.condition("Ready")["reason"] == "ScaledToZero"


def test_compute_status_times_stay_while_the_condition_holds() -> None:
    world = settled_world()
    since = world.condition("Ready")["lastTransitionTime"]
    world.wait(60)
    world.edit(rollout={"maxSurge": 2})
    world.settle()
    assert world.condition("Ready") | {"observedGeneration": 2} == world.condition("Ready")
    assert world.condition("Ready")["lastTransitionTime"] == since

    world.broken.add(world.status["stableRevision"])
    world.settle()

    assert world.condition("Ready")["lastTransitionTime"] == timestamp(world.now)


def test_compute_status_being_deleted_stays_as_it_is() -> None:
    service = make_model_service(status={"url": "x"})
    service["metadata"]["deletionTimestamp"] = timestamp(NOW)
    world = World()
    world.service = service
    observed = world.observe()

    assert compute_status(observed, decide(observed, NOW), (), NOW) == {"url": "x"}


# Causes


def broken_world(**pod: Any) -> World:
    world = World()
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.pods = (make_pod(target.name, **pod),)
    world.settle()
    return world


LOAD_FAILURE = {
    "containerStatuses": [
        {
            "name": "server",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": "ModelLoadFailed: opset 99"}},
        }
    ]
}


def test_compute_status_root_cause_reaches_ready_and_degraded() -> None:
    world = broken_world(**LOAD_FAILURE)

    for kind in ("Ready", "Degraded"):
        found = world.condition(kind)
        assert (found["reason"], found["message"]) == ("ModelLoadFailed", "opset 99")
    assert not truth(world)["Stalled"]


def test_compute_status_cause_mended_clears() -> None:
    world = broken_world(**LOAD_FAILURE)
    world.pods = ()
    world.broken.clear()
    world.settle()

    assert truth(world) == ALL_WELL


def test_compute_status_progress_of_the_pods_is_told() -> None:
    world = broken_world(initContainerStatuses=[{"name": "fetch", "state": {"running": {}}}])

    assert "The model is being fetched." in world.condition("Ready")["message"]
    assert not truth(world)["Degraded"]


def test_compute_status_given_up_keeps_the_cause_when_its_pods_are_gone() -> None:
    world = settled_world(rollout={"progressDeadlineSeconds": 60})
    old = world.status["stableRevision"]
    world.edit(model=model(2))
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.pods = (make_pod(target.name, **LOAD_FAILURE),)
    world.settle()
    world.wait(61)
    world.reconcile()
    world.pods = None
    world.settle()

    ready = world.condition("Ready")
    assert ready["reason"] == "ModelLoadFailed"
    assert ready["message"] == (
        f"Revision {target.name} did not become available in 60 s and was given up; "
        f"revision {old} serves on. To try it again raise spec.rollout.progressDeadlineSeconds; "
        "to try another, change the spec. Cause: opset 99"
    )
    assert world.condition("Degraded")["message"] == ready["message"]
    assert truth(world)["Available"]


MISSING_SECRET = {
    "containerStatuses": [
        {
            "name": "server",
            "state": {
                "waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'}
            },
        }
    ]
}
HEALS = "The pods start by themselves then, within about two minutes."


def test_compute_status_pods_start_by_themselves_only_while_there_are_pods() -> None:
    world = settled_world(rollout={"progressDeadlineSeconds": 60})
    world.edit(model=model(2))
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.pods = (make_pod(target.name, **MISSING_SECRET),)
    world.settle()
    assert world.condition("Ready")["message"].endswith(
        f"'s3' does not exist in this namespace: create it. {HEALS}"
    )

    world.wait(61)
    world.reconcile()
    first = world.condition("Degraded")["message"]
    world.pods = None
    world.settle()

    for said in (first, world.condition("Degraded")["message"], world.condition("Ready")["message"]):
        assert "create it." in said
        assert "raise spec.rollout.progressDeadlineSeconds" in said
        assert "by themselves" not in said


def test_compute_status_given_up_by_an_older_status_does_not_say_that_pods_start() -> None:
    world = settled_world(rollout={"progressDeadlineSeconds": 60})
    world.edit(model=model(2))
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.pods = (make_pod(target.name, **MISSING_SECRET),)
    world.settle()
    # The pods could not be read just when the deadline passed.
    world.pods = None
    world.wait(61)
    world.settle()

    assert "create it." in world.condition("Ready")["message"]
    assert "by themselves" not in world.condition("Ready")["message"]


def test_compute_status_overdue_first_deploy_is_still_tried_and_says_so() -> None:
    world = broken_world(**MISSING_SECRET)
    world.wait(601)
    world.settle()

    assert world.condition("Ready")["message"].endswith(HEALS)


def test_compute_status_room_is_asked_of_old_pods_only_where_there_are_some() -> None:
    def short_of_cpu(revision: str) -> dict[str, Any]:
        message = "0/1 nodes are available: 1 Insufficient cpu."
        scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        return make_pod(revision, conditions=[scheduled])

    world = World(resources={"requests": {"cpu": "1"}})
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.pods = (short_of_cpu(target.name),)
    world.settle()
    assert "old revision" not in world.condition("Ready")["message"]

    world.broken.clear()
    world.pods = ()
    world.settle()
    for rollout, told in (
        ({"capacityPolicy": "Wait"}, "maxSurge: 0"),
        ({}, "allowDowntime: true"),
        ({"allowDowntime": True}, "one of them goes first"),
        ({"maxSurge": 0, "maxUnavailable": 1}, ""),
    ):
        world.edit(model=model(2), rollout=rollout)
        target = world.reconcile().target
        assert target is not None
        world.broken.add(target.name)
        world.pods = (short_of_cpu(target.name),)
        world.run_controllers()
        world.reconcile()
        message = world.condition("Ready")["message"]
        assert told in message
        assert ("old revision" in message) is bool(told)


def test_compute_status_scaled_to_zero_blames_nobody() -> None:
    world = broken_world(**LOAD_FAILURE)
    world.edit(replicas=0)
    world.reconcile()

    assert world.condition("Ready")["reason"] == "ScalingToZero"
    assert world.condition("Degraded")["status"] == "False"


def test_compute_status_download_past_its_deadline_says_that_it_may_take_longer() -> None:
    world = World(rollout={"progressDeadlineSeconds": 60})
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.pods = (make_pod(target.name, initContainerStatuses=[{"name": "fetch", "state": {"running": {}}}]),)
    world.settle()
    world.wait(61)
    world.settle()

    assert world.condition("Ready")["message"] == (
        f"Revision {target.name} did not become available in 60 s: 0 of 1 replicas are available. The model "
        "is being fetched. It is still being tried; if it needs longer, raise "
        "spec.rollout.progressDeadlineSeconds."
    )


def test_compute_status_trouble_of_a_pod_beyond_what_is_needed_is_not_degraded() -> None:
    metrics = [{"type": "CPU", "target": {"averageUtilization": 80}}]
    world = settled_world(replicas=3, autoscaling={"minReplicas": 1, "maxReplicas": 3, "metrics": metrics})
    revision = world.status["stableRevision"]
    world.set_deployment(revision, available_replicas=2, ready_replicas=2)
    pods = [make_ready_pod(revision, name) for name in ("a", "b")]
    world.pods = (*pods, make_pod(revision, "c", **LOAD_FAILURE))
    world.reconcile()

    assert truth(world)["Ready"]
    assert not truth(world)["Degraded"]
    assert world.condition("Progressing")["message"] == "3 replicas are wanted. opset 99"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"targetRevision": "other"}, False),
        ({"stableRevision": "new"}, False),
        ({"stableRevision": None}, False),
        ({"conditions": [{"type": "Progressing", "reason": "Complete"}]}, False),
    ],
)
def test_is_given_up_needs_target_stable_and_reason(changes: dict[str, Any], expected: bool) -> None:
    status = {
        "targetRevision": "new",
        "stableRevision": "old",
        "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}],
    }

    assert is_given_up({**status, **changes}, "new") is expected


# Refused writes


def with_failure(world: World, **facts: Any) -> World:
    failure = {"kind": "Service", "name": "spam", "reason": "NameConflict", "message": "", "transient": False}
    world.failures = (ApplyFailure(**{**failure, **facts}),)
    world.reconcile()
    return world


def test_compute_status_foreign_object_is_named_and_stalls() -> None:
    sentence = "Service 'spam' exists and was not made by this operator: delete or rename it"
    world = with_failure(settled_world(), message=sentence)

    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "NameConflict", sentence)
    assert truth(world)["Stalled"]
    assert truth(world)["Degraded"]

    world.failures = ()
    world.reconcile()

    assert truth(world) == ALL_WELL


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("Rejected", "Correct what it names."),
        ("Forbidden", "Correct what it names, or allow the operator to write it."),
        ("QuotaExceeded", "Ask for a larger ResourceQuota."),
    ],
)
def test_compute_status_refusal_of_the_server_gets_the_objects_name_and_a_remedy(
    reason: str, remedy: str
) -> None:
    world = with_failure(settled_world(), reason=reason, message="the server's sentence")

    assert world.condition("Ready")["message"] == (
        f"Service 'spam' cannot be written: the server's sentence. {remedy} "
        "It is tried again within 5 minutes."
    )


def test_compute_status_passing_hiccup_makes_a_ready_service_not_unready() -> None:
    world = with_failure(settled_world(), reason="Unavailable", message="timeout", transient=True)

    assert truth(world)["Ready"]


def test_compute_status_passing_hiccup_of_a_new_spec_is_not_ready_and_not_stalled() -> None:
    world = settled_world()
    world.edit(autoscaling={"maxReplicas": 3})
    with_failure(
        world, kind="HorizontalPodAutoscaler", reason="Unavailable", message="timeout", transient=True
    )

    assert not truth(world)["Ready"]
    assert truth(world)["Reconciling"]
    assert not truth(world)["Stalled"]
    assert not truth(world)["Degraded"]


# What a client finds


def change_service(world: World, **facts: Any) -> None:
    child = world.children["Service", "spam"]
    world.children["Service", "spam"] = msgspec.structs.replace(child, **facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"selector": {"app": "theirs"}},
        {"selector": {}},
        {"ports": frozenset({("TCP", 8080, "http"), ("TCP", 9000, "grpc")})},
        {"ports": frozenset({("TCP", 80, "9999"), ("TCP", 9000, "grpc")})},
        {"ports": frozenset()},
    ],
)
def test_compute_status_service_that_leads_elsewhere_is_not_available(facts: dict[str, Any]) -> None:
    world = settled_world(replicas=2)
    change_service(world, **facts)
    world.reconcile()

    for kind in ("Available", "Ready"):
        found = world.condition(kind)
        assert (found["status"], found["reason"]) == ("False", "ServiceChanged")
        assert "Service 'spam'" in found["message"]
    assert truth(world)["Reconciling"]


def test_compute_status_service_of_a_type_that_people_choose_needs_one() -> None:
    world = settled_world(replicas=2)
    world.events.clear()
    change_service(world, type="ExternalName")
    world.reconcile()

    assert truth(world) == {**ALL_WELL, "Ready": False, "Available": False, "Degraded": True, "Stalled": True}
    assert [(one.type, one.reason) for one in world.events] == [("Warning", "ServiceChanged")]


def test_compute_status_service_with_more_than_we_want_is_available() -> None:
    world = settled_world()
    child = world.children["Service", "spam"]
    assert isinstance(child, ServiceChild)
    change_service(world, type="LoadBalancer", ports=child.ports | {("TCP", 7000, "x")}, deleting=True)
    world.reconcile()

    assert truth(world) == ALL_WELL


@pytest.mark.parametrize(
    ("owner", "reason", "expected"),
    [
        (None, "NameConflict", "NameConflict"),
        (None, "QuotaExceeded", "QuotaExceeded"),
        ("uid-of-another", "NameConflict", "NameConflict"),
    ],
)
def test_compute_status_service_that_is_not_ours_is_not_available(
    owner: str | None, reason: str, expected: str
) -> None:
    world = settled_world()
    if owner is None:
        del world.children["Service", "spam"]
    else:
        change_service(world, owner_uid=owner)
    failure = ApplyFailure(kind="Service", name="spam", reason=reason, message="no", transient=False)
    observed = world.observe()
    status = compute_status(observed, decide(observed, world.now), (failure,), world.now)

    available = condition(status, "Available")
    assert (available["status"], available["reason"]) == ("False", expected)
    assert "Service 'spam'" in available["message"]


@pytest.mark.parametrize("replicas", [0, 1])
def test_compute_status_without_a_runtime_available_says_so(replicas: int) -> None:
    world = World(make_runtime("other"), replicas=replicas)
    world.reconcile()

    available = world.condition("Available")
    assert (available["status"], available["reason"]) == ("False", "RuntimeNotFound")
    assert "replicas" not in available["message"]


# The runtime


def runtime_world(*runtimes: dict[str, Any], **spec: Any) -> World:
    """A settled service, and then other ModelRuntimes."""
    world = settled_world(
        make_runtime(default=True, gpuImage="registry.example/gpu:1"), make_runtime("own"), **spec
    )
    pods_of = {place: body for place, body in world.objects.items() if place[0] == "Deployment"}
    world.runtimes = list(runtimes)
    world.settle()
    assert pods_of == {place: body for place, body in world.objects.items() if place[0] == "Deployment"}
    assert truth(world) == ALL_WELL
    return world


def newer(name: str = "onnx", *, default: bool = True, **spec: Any) -> dict[str, Any]:
    return make_runtime(name, default=default, **{"gpuImage": "registry.example/gpu:1", **spec})


@pytest.mark.parametrize(
    ("runtimes", "image", "message"),
    [
        ([newer(image="x:2")], "x:2", "'onnx' has changed since (image). These pods keep"),
        ([newer(intraOpThreads=3)], None, "has changed since (intraOpThreads)"),
        ([newer(default=False), newer("next", image="x:2")], "x:2", "The default ModelRuntime is 'next' now"),
    ],
)
def test_compute_status_changed_runtime_is_told_and_how_to_take_it(
    runtimes: list[dict[str, Any]], image: str | None, message: str
) -> None:
    world = runtime_world(*runtimes)

    runtime = world.status["runtime"]
    assert (runtime["ref"], runtime["image"]) == ("onnx", "registry.example/onnx:1")
    assert runtime.get("newerImage") == image
    assert message in runtime["message"]
    asked = f"modelservice.dev/update-runtime={image or 'registry.example/onnx:1'}"
    assert asked in runtime["message"]
    ModelServiceStatus.model_validate(world.status, extra="forbid")

    world.service["metadata"]["annotations"] = dict([asked.split("=")])
    world.settle()

    assert set(world.status["runtime"]) == {"ref", "image", "update"}
    assert world.status["runtime"]["update"]["phase"] == "Complete"
    ModelServiceStatus.model_validate(world.status, extra="forbid")


@pytest.mark.parametrize(
    "runtimes", [[], [newer()], [newer(gpuImage="gpu:2")], [newer(), newer("other", default=False)]]
)
def test_compute_status_runtime_that_changed_nothing_for_these_pods_is_not_told(
    runtimes: list[dict[str, Any]],
) -> None:
    assert set(runtime_world(*runtimes).status["runtime"]) == {"ref", "image"}


def test_compute_status_gpu_image_counts_for_pods_that_use_it() -> None:
    world = runtime_world(newer(gpuImage="gpu:2", image="other:2"), gpu={"count": 1})

    assert world.status["runtime"]["newerImage"] == "gpu:2"
    assert "(gpuImage)" in world.status["runtime"]["message"]


# The model


def test_compute_status_model_is_what_the_pods_report() -> None:
    world = World()
    target = world.reconcile().target
    assert target is not None
    world.run_controllers()
    world.pods = (make_ready_pod(target.name, sha256=SHA_A),)
    world.settle()
    world.pods = None
    world.settle()

    assert world.status["model"] == {"sha256": SHA_A, "sizeBytes": 7}


def test_compute_status_commit_is_that_of_the_model_which_was_rolled_out() -> None:
    world = settled_world()
    serving = world.status["stableRevision"]
    world.pods = (make_ready_pod(serving, "a", SHA_A), make_ready_pod(serving, "b", SHA_A, "c0ffee" * 6))
    world.settle()
    assert world.status["model"]["commit"] == "c0ffee" * 6

    world.pods = (make_ready_pod(serving, "c", SHA_B, "0ff" * 13),)
    world.settle()
    assert world.status["model"]["commit"] == "c0ffee" * 6


def test_compute_status_digest_that_no_pod_had_yet_is_not_the_models() -> None:
    world = World(model=model(1, sha256=SHA_A))
    target = world.reconcile().target
    assert target is not None
    assert "model" not in world.status

    world.run_controllers()
    world.pods = (make_ready_pod(target.name, sha256=SHA_A),)
    world.settle()

    assert world.status["model"] == {"sha256": SHA_A, "sizeBytes": 7}


def test_compute_status_digest_of_an_encrypted_file_is_not_that_of_the_model() -> None:
    sealed = model(1, sha256=SHA_B, maxSize="1Gi", decryption={"secretName": "key"})
    world = World(model=sealed)
    target = world.reconcile().target
    assert target is not None
    world.run_controllers()
    world.pods = (make_ready_pod(target.name, sha256=SHA_A),)
    world.settle()

    assert world.status["model"]["sha256"] == SHA_A
    assert "ContentChanged" not in {one["reason"] for one in world.status["conditions"]}


def test_compute_status_model_of_the_old_revision_stays_while_it_serves() -> None:
    world = settled_world()
    world.pods = (make_ready_pod(world.status["stableRevision"], sha256=SHA_A),)
    world.reconcile()
    world.edit(model=model(2))
    target = world.reconcile().target
    assert target is not None
    assert world.status["model"]["sha256"] == SHA_A

    world.pods = (make_ready_pod(target.name, sha256=SHA_B),)
    world.settle()

    assert world.status["model"]["sha256"] == SHA_B


def test_compute_status_model_of_the_old_revision_says_nothing_about_the_new_one() -> None:
    world = settled_world()
    world.pods = (make_ready_pod(world.status["stableRevision"], sha256=SHA_A),)
    world.reconcile()
    world.pods = None
    world.edit(model=model(2, version="2"))
    world.settle()

    assert world.status["model"] == {"version": "2"}


def test_compute_status_pods_with_different_models_degrade_until_they_agree() -> None:
    world = settled_world(replicas=2)
    stable = world.status["stableRevision"]
    world.pods = (make_ready_pod(stable, "a", SHA_A), make_ready_pod(stable, "b", SHA_B))
    world.reconcile()
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ModelContentChanged")
    assert SHA_A in degraded["message"]
    assert SHA_B in degraded["message"]
    assert "spec.model.sha256" in degraded["message"]
    assert truth(world)["Ready"]

    world.pods = None
    world.reconcile()
    assert truth(world)["Degraded"]

    world.pods = (make_ready_pod(stable, "a", SHA_A), make_ready_pod(stable, "c", SHA_A))
    world.reconcile()

    assert not truth(world)["Degraded"]


def serving_world(*reports: PodReport, uri: str = "configmap://models/spam.onnx") -> tuple[World, str]:
    """A ready service with one pod for each report, from a source without a fetcher."""
    world = settled_world(replicas=len(reports), model={"storageUri": uri})
    stable = world.status["stableRevision"]
    world.pods = tuple(make_ready_pod(stable, f"pod-{number}") for number in range(len(reports)))
    world.pod_reports = {f"uid-pod-{number}": report for number, report in enumerate(reports)}
    world.reconcile()
    return world, stable


def test_compute_status_servers_tell_what_they_loaded_from_every_source() -> None:
    world, _ = serving_world(make_report(SHA_A, obstacle="node 'Sort' mixes rows"))

    assert world.status["model"] == {
        "sha256": SHA_A,
        "sizeBytes": 9,
        "batching": {"maxBatchSize": 1, "obstacle": "node 'Sort' mixes rows"},
        "leftOutOutputs": ["probabilities"],
    }
    ModelServiceStatus.model_validate(world.status, extra="forbid")
    before = world.status["model"]
    world.pods, world.pod_reports = None, {}
    world.reconcile()
    assert world.status["model"] == before


SIGNATURE = Signature(
    inputs=(Tensor("x", "FP32", (-1, 4)), Tensor("mask", "BOOL", optional=True)),
    outputs=(Tensor("label", "BYTES", ()),),
)
SHOWN = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "mask", "datatype": "BOOL", "optional": True},
    ],
    "outputs": [{"name": "label", "datatype": "BYTES", "shape": []}],
}


def shown_tensors(world: World) -> dict[str, Any]:
    return {side: shown for side, shown in world.status["model"].items() if side in ("inputs", "outputs")}


def test_compute_status_tensors_of_the_serving_revision_are_known_while_its_pods_are_not() -> None:
    world, _ = serving_world(make_report(SHA_A), make_report(SHA_A, signature=SIGNATURE))

    assert shown_tensors(world) == SHOWN
    ModelServiceStatus.model_validate(world.status, extra="forbid")
    assert signature_in(world.status["model"]) == SIGNATURE
    world.pods, world.pod_reports = None, {}
    world.reconcile()
    assert shown_tensors(world) == SHOWN

    world.edit(model={"storageUri": "configmap://models/spam.onnx", "version": "2"})
    world.settle()
    world.pods = (make_ready_pod(world.status["stableRevision"]),)
    world.pod_reports = {"uid-pod-1": make_report(SHA_B)}
    world.reconcile()
    assert shown_tensors(world) == {}, "those of the old revision"


def test_compute_status_has_no_room_for_the_tensors_of_huge_models() -> None:
    cache = tuple(Tensor(f"past.{number}", "FP16", (-1,)) for number in range(65))
    world, _ = serving_world(make_report(SHA_A, signature=Signature(cache, SIGNATURE.outputs)))
    assert shown_tensors(world) == {}

    world, _ = serving_world(make_report(SHA_A, signature=Signature(cache[:64], SIGNATURE.outputs)))
    assert len(world.status["model"]["inputs"]) == 64
    ModelServiceStatus.model_validate(world.status, extra="forbid")


def test_compute_status_replica_that_loaded_another_file_degrades() -> None:
    world, stable = serving_world(make_report(SHA_B), make_report(SHA_A))

    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ModelContentChanged")
    assert degraded["message"] == (
        f"Pods of revision {stable} loaded different files from the same address (sha256 {SHA_B}, {SHA_A}): "
        "set spec.model.sha256 to the right one."
    )
    assert world.status["model"]["sha256"] == SHA_B


def test_compute_status_replicas_that_all_loaded_another_file_than_was_rolled_out_degrade() -> None:
    world, _ = serving_world(make_report(SHA_A))
    world.pod_reports = {"uid-pod-0": make_report(SHA_B)}
    world.reconcile()

    degraded = world.condition("Degraded")
    assert degraded["reason"] == "ModelContentChanged"
    assert f"serve sha256 {SHA_B}, and {SHA_A} was rolled out" in degraded["message"]

    world.edit(model={"storageUri": "configmap://models/spam.onnx", "version": "2"})
    world.pods, world.pod_reports = None, {}
    world.settle()
    stable = world.status["stableRevision"]
    world.pods = (make_ready_pod(stable),)
    world.pod_reports = {"uid-pod-1": make_report(SHA_B)}
    world.reconcile()
    assert not truth(world)["Degraded"]
    assert world.status["model"]["sha256"] == SHA_B


def test_compute_status_replica_with_other_external_data_degrades() -> None:
    world, _ = serving_world(make_report(SHA_A, external=SHA_A), make_report(SHA_A, external=SHA_B))

    assert f"{SHA_A} with external data {SHA_B}" in world.condition("Degraded")["message"]


def test_compute_status_fetchers_that_count_other_bytes_and_silent_servers_are_no_change() -> None:
    world, stable = serving_world(
        make_report(SHA_A, external=SHA_B, size=9), make_report(SHA_A, external=SHA_B)
    )
    world.pods = (*(world.pods or ()), make_ready_pod(stable, "fetched", SHA_A))
    world.reconcile()

    assert not truth(world)["Degraded"]
    assert world.status["model"]["externalDataSha256"] == SHA_B


def test_compute_status_remembers_at_which_deployment_pods_were_compared() -> None:
    world, stable = serving_world(make_report(SHA_A))
    assert world.reconcile().uncompared == "1"
    world.compared_at = "1"
    world.reconcile()
    world.compared_at = None

    assert world.reconcile().uncompared is None
    assert world.status["model"]["comparedAt"] == "1"
    world.set_deployment(stable, resource_version="2")
    assert world.reconcile().uncompared == "2"
    world.set_deployment(stable, available_replicas=0)
    assert world.reconcile().uncompared is None


# Traffic


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000), min_size=1))
def test_percentages_any_counts_sum_up_to_a_hundred(counts: dict[str, int]) -> None:
    shares = percentages(counts)

    assert sum(shares.values()) == 100
    total = sum(counts.values())
    assert all(abs(share - counts[name] * 100 / total) < 1 for name, share in shares.items())


def test_percentages_of_nothing_is_nothing() -> None:
    assert percentages({"a": 0}) == {}


def test_compute_status_traffic_follows_the_available_pods() -> None:
    world = settled_world(replicas=3)
    old = world.status["stableRevision"]
    world.edit(model=model(2))
    for _ in range(2):
        world.reconcile()
        world.run_controllers()
    world.reconcile()

    shares = {one["revision"]: (one["desired"], one["actual"]) for one in world.status["traffic"]}
    assert shares[old] == (67, 75), "one of the old pods is going"
    assert shares[world.status["targetRevision"]] == (33, 25)


# Events


def test_compute_transitions_no_change_says_nothing() -> None:
    status = settled_world().status

    assert compute_transitions(status, status) == ()


def test_compute_transitions_of_a_rollout() -> None:
    world = settled_world()
    revision = world.status["stableRevision"]

    assert world.events == [
        Transition("Normal", "RolloutStarted", f"Revision {revision} is being rolled out."),
        Transition("Normal", "RolloutComplete", f"Revision {revision} is the stable one."),
        Transition("Normal", "Ready", "1 of 1 replicas are available."),
    ]


def test_compute_transitions_failure_warns_once_and_recovery_is_told() -> None:
    world = broken_world(**LOAD_FAILURE)
    world.events.clear()
    for _ in range(3):
        world.wait(10)
        world.reconcile()
    assert world.events == []

    world.pods = ()
    world.broken.clear()
    world.settle()

    assert Transition("Normal", "Recovered", "Solved: ModelLoadFailed.") in world.events


def test_compute_transitions_another_revision_has_solved_nothing_yet() -> None:
    world = broken_world(**LOAD_FAILURE)
    world.events.clear()
    world.pods = ()
    world.edit(model=model(2))
    target = world.reconcile().target
    assert target is not None

    assert world.events == [
        Transition("Normal", "RolloutStarted", f"Revision {target.name} is being rolled out.")
    ]


def test_compute_transitions_giving_up_warns() -> None:
    world = broken_world(**LOAD_FAILURE)
    world.events.clear()
    world.wait(601)
    world.settle()

    assert world.events == [Transition("Warning", "ProgressDeadlineExceeded", "opset 99")]


# All together

PEOPLE = st.lists(
    st.one_of(
        st.tuples(st.just("model"), st.integers(1, 4)),
        st.tuples(st.just("replicas"), st.integers(0, 4)),
        st.tuples(st.just("break"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1, 100, 1000])),
        st.tuples(st.just("step"), st.integers(1, 6)),
        st.tuples(st.just("invalid"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(PEOPLE)
def test_any_history_ends_in_the_state_of_the_last_spec(history: list[tuple[str, Any]]) -> None:
    world = World(replicas=2)
    for action, value in history:
        act(world, action, value)
        check_status(world)
    world.broken.clear()
    # A target that was given up comes again only when the spec asks for another one in between.
    world.edit(model=model("last"), replicas=3)
    world.settle(80)

    assert world.replicas() == {world.status["targetRevision"]: 3}
    assert {name: value for name, value in truth(world).items() if name != "Degraded"} == {
        name: value for name, value in ALL_WELL.items() if name != "Degraded"
    }
    assert world.names("Service") == {"spam", "spam-pods", f"spam-{world.status['targetRevision']}"}


def act(world: World, action: str, value: Any) -> None:
    if action == "model":
        world.edit(model=model(value))
    elif action == "invalid":
        world.edit(model={"storageUri": "ftp://x/y"})
    elif action == "replicas":
        world.edit(replicas=value)
    elif action == "wait":
        world.wait(value)
    elif action == "break":
        target = world.service.get("status", {}).get("targetRevision")
        world.broken = {target} if value and target else set()
    else:
        for _ in range(value):
            world.reconcile()
            world.run_controllers()


def check_status(world: World) -> None:
    """What must hold of every status that was ever written."""
    if "status" not in world.service:
        return
    ModelServiceStatus.model_validate(world.status, extra="forbid")
    found = truth(world)
    assert list(found) == list(ALL_WELL)
    assert not (found["Ready"] and found["Stalled"])
    assert found["Ready"] + found["Reconciling"] + found["Stalled"] == 1
    for one in world.status["conditions"]:
        assert one["reason"]
    # The same event may come again: a service may become ready twice with no failure in between.
    assert compute_transitions(world.status, world.status) == ()


@pytest.mark.parametrize("steps", range(1, 12))
def test_operator_killed_after_any_step_ends_in_the_same_state(steps: int) -> None:
    """Nothing is remembered between runs: losing the status write of any step changes nothing."""
    world = settled_world(replicas=2)
    world.edit(model=model(2), replicas=3)
    for step in range(steps):
        before = dict(world.status)
        world.reconcile()
        if step == steps - 1:
            world.service["status"] = before
        world.run_controllers()
    world.settle()

    reference = settled_world(replicas=2)
    reference.edit(model=model(2), replicas=3)
    reference.settle()
    assert world.objects == reference.objects
    assert world.status == reference.status


def test_status_can_be_written_however_much_is_wrong_with_the_spec() -> None:
    world = World(env=[{"name": str(number)} for number in range(1000)])
    world.settle()
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    ModelServiceStatus.model_validate(world.status, extra="forbid")
