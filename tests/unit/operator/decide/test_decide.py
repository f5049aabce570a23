"""Decisions and status together, carried out in a small world: what a person would see."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.operator.builders import (
    DEFAULT_RUNTIME,
    NOW,
    UID,
    World,
    make_model_service,
    make_observed,
    make_runtime,
    model,
    timestamp,
)

from modelservice_operator.decide import decide as decide_module
from modelservice_operator.decide.decide import decide
from modelservice_operator.decide.looks import poll_delay_seconds
from modelservice_operator.decide.resources.pod.template import PodInputs, build_pod_template
from modelservice_operator.decide.revision import revision_inputs

OTHER_RUNTIME = make_runtime("other")


def settled_world(*runtimes: dict[str, Any], **spec: Any) -> World:
    world = World(*runtimes, **spec)
    world.settle()
    return world


def stable_of(world: World) -> str:
    return str(world.status["stableRevision"])


# The life of a service


def test_decide_new_service_wants_all_children() -> None:
    world = World()
    decision = world.reconcile()

    assert decision.target is not None
    revision = f"spam-{decision.target.name}"
    assert set(world.children) == {
        ("ServiceAccount", "spam-runtime"),
        ("NetworkPolicy", "spam"),
        ("ControllerRevision", revision),
        ("Deployment", revision),
        ("Service", "spam"),
        ("Service", "spam-pods"),
        ("Service", revision),
        ("PodDisruptionBudget", "spam"),
    }
    kinds = [body["kind"] for body in decision.desired]
    assert kinds.index("ServiceAccount") < kinds.index("Deployment")


def test_decide_every_child_is_owned_and_managed() -> None:
    for body in decide(make_observed(make_model_service(autoscaling={"maxReplicas": 2})), NOW).desired:
        [owner] = body["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (UID, True, True)
        assert body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "modelservice-operator"
        assert body["metadata"]["namespace"] == "mail"


def test_decide_settled_service_writes_nothing_and_asks_for_nothing() -> None:
    world = settled_world(replicas=2)

    decision = world.reconcile()

    assert world.writes == []
    assert not decision.wants_pods
    assert decision.requeue_after_seconds is None
    assert world.condition("Ready")["status"] == "True"


def test_decide_again_in_another_process_says_the_same() -> None:
    world = settled_world(replicas=2)

    assert decide(world.observe(), world.now) == decide(world.observe(), world.now)


def test_decide_model_changed_rolls_over_pod_by_pod() -> None:
    world = settled_world(replicas=3)
    old = stable_of(world)
    world.edit(model=model(2))
    seen = []
    for _ in range(20):
        world.reconcile()
        seen.append(world.replicas())
        world.run_controllers()

    new = stable_of(world)
    assert new != old
    assert seen[0] == {old: 3, new: 1}
    assert {old: 2, new: 1} in seen
    assert seen[-1] == {new: 3}
    assert world.names("Service") == {"spam", "spam-pods", f"spam-{new}"}


def test_decide_while_an_old_deployment_is_being_deleted_does_not_make_its_service_again() -> None:
    world = settled_world()
    old = stable_of(world)
    world.edit(model=model(2))
    while ("Service", f"spam-{old}") in world.children:
        before = dict(world.children)
        world.reconcile()
        world.run_controllers()
    # The API server keeps the Deployment until its ReplicaSet is gone; marking it is one more generation.
    place = ("Deployment", f"spam-{old}")
    last = before[place]
    world.children[place] = msgspec.structs.replace(last, deleting=True, generation=last.generation + 1)
    world.reconcile()

    assert world.names("Service") == {"spam", "spam-pods", f"spam-{stable_of(world)}"}
    assert stable_of(world) != old


def test_decide_replicas_changed_touches_only_the_deployment() -> None:
    world = settled_world(replicas=1)
    world.edit(replicas=4)
    world.reconcile()

    assert world.writes == [("Deployment", f"spam-{stable_of(world)}"), ("status", "spam")]
    assert world.replicas() == {stable_of(world): 4}


def test_decide_service_being_deleted_does_nothing() -> None:
    world = settled_world()
    world.service["metadata"]["deletionTimestamp"] = timestamp(NOW)

    decision = decide(world.observe(), NOW)

    assert (decision.desired, decision.retire, decision.requeue_after_seconds) == ((), (), None)


def test_decide_scale_to_zero_and_change_promotes_at_once() -> None:
    world = settled_world(replicas=2)
    world.edit(replicas=0, model=model(2))
    world.settle()

    assert list(world.replicas().values()) == [0]
    assert stable_of(world) == world.status["targetRevision"]
    assert world.condition("Ready")["reason"] == "ScaledToZero"


@pytest.mark.parametrize(("replicas", "expected"), [(1, 2), (2, 2), (4, 4), (9, 5), (0, 0)])
def test_decide_autoscaling_bounds_the_replicas(replicas: int, expected: int) -> None:
    world = settled_world(replicas=replicas, autoscaling={"minReplicas": 2, "maxReplicas": 5})

    assert list(world.replicas().values()) == [expected]
    assert world.names("HorizontalPodAutoscaler") == {"spam"}


def test_decide_autoscaling_removed_retires_the_autoscaler() -> None:
    world = settled_world(autoscaling={"maxReplicas": 5})
    del world.service["spec"]["autoscaling"]
    world.edit()
    world.settle()

    assert world.names("HorizontalPodAutoscaler") == set()


def test_decide_own_service_account_goes_only_with_the_last_pods_that_use_it() -> None:
    world = settled_world()
    world.edit(serviceAccountName="workload")
    world.reconcile()
    assert world.names("ServiceAccount") == {"spam-runtime"}

    world.settle()

    assert world.names("ServiceAccount") == set()


def test_decide_network_policy_stays_open_while_old_pods_download() -> None:
    world = settled_world()
    world.edit(model={"storageUri": "pvc://claim/m.onnx"})
    world.reconcile()
    assert len(world.objects["NetworkPolicy", "spam"]["spec"]["egress"]) == 2

    world.settle()

    assert len(world.objects["NetworkPolicy", "spam"]["spec"]["egress"]) == 1


# Revisions and history


def test_decide_back_to_an_old_model_reuses_its_revision_and_raises_its_number() -> None:
    world = settled_world()
    first = stable_of(world)
    world.edit(model=model(2))
    world.settle()
    world.edit(model=model(1))
    world.settle()

    assert stable_of(world) == first
    assert world.objects["ControllerRevision", f"spam-{first}"]["revision"] == 3
    assert len(world.names("ControllerRevision")) == 2


def test_decide_history_limit_forgets_the_oldest() -> None:
    world = settled_world(rollout={"revisionHistoryLimit": 2})
    revisions = [stable_of(world)]
    for tag in range(2, 6):
        world.edit(model=model(tag))
        world.settle()
        revisions.append(stable_of(world))

    assert world.names("ControllerRevision") == {f"spam-{name}" for name in revisions[-3:]}


def test_decide_spec_flapping_leaves_bounded_revisions_and_the_last_spec() -> None:
    world = settled_world(replicas=2, rollout={"revisionHistoryLimit": 1})
    for tag in range(30):
        world.edit(model=model(tag))
        world.reconcile()
        if tag % 3 == 0:
            world.run_controllers()
    world.settle()

    assert len(world.deployments()) == 1
    assert len(world.names("ControllerRevision")) == 2
    snapshot = world.objects["ControllerRevision", f"spam-{stable_of(world)}"]["data"]
    assert snapshot["inputs"]["model"] == model(29)


def test_decide_another_pod_builder_changes_no_recorded_revision() -> None:
    def new_builder(inputs: PodInputs) -> dict[str, Any]:
        template = build_pod_template(inputs)
        template["spec"]["hostname"] = "made-by-a-new-operator"
        return template

    world = settled_world(replicas=2)
    world.build_pod = new_builder
    world.reconcile()
    assert world.writes == []

    world.edit(model=model(2))
    world.settle()

    template = world.objects["Deployment", f"spam-{stable_of(world)}"]["spec"]["template"]
    assert template["spec"]["hostname"] == "made-by-a-new-operator"


def test_decide_lost_status_is_computed_again_without_a_restart() -> None:
    world = settled_world(make_runtime(default=True), replicas=2)
    status = world.status
    del world.service["status"]
    world.runtimes = [make_runtime(default=True, image="registry.example/changed:2")]
    decision = world.reconcile()

    assert world.writes == [("status", "spam")]
    assert decision.stable == status["stableRevision"]


@pytest.mark.parametrize("forged", ["nothing", "zzzzzzzzzz"])
def test_decide_forged_stable_revision_is_not_believed(forged: str) -> None:
    world = settled_world(replicas=2)
    stable = stable_of(world)
    world.status["stableRevision"] = forged
    world.reconcile()

    assert world.status["stableRevision"] == stable
    assert world.replicas() == {stable: 2}


def test_decide_deployment_deleted_comes_back_from_its_snapshot() -> None:
    world = settled_world(replicas=2)
    place = "Deployment", f"spam-{stable_of(world)}"
    before = world.objects.pop(place)
    del world.children[place]

    world.settle()

    assert world.objects[place] == before


def test_decide_orphaned_children_are_adopted_without_a_restart() -> None:
    world = settled_world(make_runtime(default=True), replicas=2)
    templates = {
        place: body["spec"]["template"] for place, body in world.objects.items() if place[0] == "Deployment"
    }
    for place, child in world.children.items():
        world.children[place] = msgspec.structs.replace(
            child, owner_uid=None, owner_name=None, fingerprint="without-owner"
        )
    world.service["metadata"]["uid"] = "uid-of-the-restored-one"
    del world.service["status"]
    world.runtimes = [make_runtime(default=True, image="registry.example/changed:2")]
    world.settle()

    assert {child.owner_uid for child in world.children.values()} == {"uid-of-the-restored-one"}
    assert {
        place: body["spec"]["template"] for place, body in world.objects.items() if place[0] == "Deployment"
    } == templates


def test_decide_children_of_an_earlier_service_of_the_same_name_do_not_count() -> None:
    world = settled_world(replicas=2)
    world.service["metadata"]["uid"] = "uid-of-the-new-one"
    del world.service["status"]

    decision = decide(world.observe(), NOW)

    assert decision.stable is None
    assert decision.retire == ()


def test_decide_unreadable_snapshot_of_an_old_revision_is_no_obstacle() -> None:
    world = settled_world()
    old = stable_of(world)
    world.edit(model=model(2))
    world.settle()
    place = "ControllerRevision", f"spam-{old}"
    child = world.children[place]
    world.children[place] = msgspec.structs.replace(child, data=b"null")

    world.reconcile()

    assert world.writes == []


def test_decide_stray_owned_children_are_retired() -> None:
    world = settled_world()
    stray = msgspec.structs.replace(world.children["Service", "spam"], name="stray", uid="stray")
    world.children["Service", "stray"] = stray

    assert decide(world.observe(), NOW).retire == (stray,)


def test_decide_child_being_deleted_is_left_alone_until_it_is_gone() -> None:
    world = settled_world()
    child = world.children["Service", "spam"]
    world.children["Service", "spam"] = msgspec.structs.replace(child, deleting=True)

    decision = decide(world.observe(), NOW)

    assert ("Service", "spam") not in [(one["kind"], one["metadata"]["name"]) for one in decision.desired]
    assert decision.retire == ()


# Runtimes


@pytest.mark.parametrize(
    "runtimes",
    [
        [make_runtime(default=True, image="registry.example/new:2")],
        [],
        [make_runtime(), make_runtime("other", default=True)],
        [DEFAULT_RUNTIME, make_runtime("other", default=True)],
    ],
    ids=["changed", "deleted", "another default", "two defaults"],
)
def test_decide_model_runtimes_changed_restart_nothing(runtimes: list[dict[str, Any]]) -> None:
    world = settled_world(replicas=2)
    world.runtimes = runtimes
    world.reconcile()
    assert [one for one in world.writes if one != ("status", "spam")] == []

    world.edit(model=model(2))
    world.settle()

    runtime = world.status["runtime"]
    assert (runtime["ref"], runtime["image"]) == ("onnx", "registry.example/onnx:1")
    assert world.condition("Ready")["status"] == "True"


def test_decide_other_runtime_named_takes_it() -> None:
    world = settled_world(DEFAULT_RUNTIME, OTHER_RUNTIME)
    world.edit(runtime={"ref": "other"})
    world.settle()

    assert world.status["runtime"] == {"ref": "other", "image": "registry.example/other:1"}


def test_decide_wrong_image_mended_before_the_first_rollout_is_complete_heals() -> None:
    world = World(make_runtime(default=True, image="registry.example/wrong:1"))
    world.broken.add(str(world.reconcile().target.name))  # type: ignore[union-attr]
    world.settle()
    assert world.condition("Ready")["status"] == "False"

    world.runtimes = [make_runtime(default=True, image="registry.example/right:1")]
    world.settle()

    assert world.condition("Ready")["status"] == "True"
    assert world.status["runtime"]["image"] == "registry.example/right:1"
    assert len(world.deployments()) == 1


def test_decide_first_rollout_half_done_has_no_stable_revision_yet() -> None:
    world = World(replicas=2)
    target = world.reconcile().target
    assert target is not None
    world.set_deployment(target.name, observed_generation=1, replicas=2, available_replicas=1)
    world.reconcile()

    assert "stableRevision" not in world.status
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Ready")["status"] == "False"


def test_decide_unknown_runtime_keeps_the_old_revision_and_says_why() -> None:
    world = settled_world(replicas=2)
    before = dict(world.children)
    world.edit(runtime={"ref": "missing"}, model=model(2))
    world.settle()

    assert world.children == before
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RuntimeNotFound")
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Stalled")["status"] == "True"


def test_decide_unknown_runtime_on_a_new_service_makes_nothing_and_heals() -> None:
    world = World(OTHER_RUNTIME)
    world.settle()
    assert world.children == {}
    assert world.condition("Ready")["reason"] == "RuntimeNotFound"

    world.runtimes.append(DEFAULT_RUNTIME)
    world.settle()

    assert world.condition("Ready")["status"] == "True"


# Revisions of a newer release


@pytest.fixture
def newer_world(monkeypatch: pytest.MonkeyPatch) -> World:
    """What a release left behind that knows `guard`, and a `seal` of models."""

    def inputs_of_newer(spec: Any) -> dict[str, Any]:
        known = revision_inputs(spec)
        return {**known, "model": {**known["model"], "seal": "wax"}, "guard": {"keys": "spam"}}

    with monkeypatch.context() as newer:
        newer.setattr(decide_module, "revision_inputs", inputs_of_newer)
        return settled_world(replicas=2)


def test_decide_keeps_the_revision_that_a_newer_release_made_with_fields_of_its_own(newer_world) -> None:
    kept, before = stable_of(newer_world), dict(newer_world.children)
    newer_world.settle()

    assert newer_world.children == before
    ready = newer_world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NewerRevision")
    assert "spec.guard" in ready["message"]
    assert "spec.model.seal" in ready["message"]
    assert f"modelservice.dev/leave-revision={kept}" in ready["message"]
    assert newer_world.condition("Available")["status"] == "True"
    newer_world.reconcile()
    assert newer_world.writes == []


def test_decide_kept_revision_scales_and_no_change_replaces_it(newer_world) -> None:
    kept = stable_of(newer_world)
    newer_world.edit(replicas=3, model=model(2))
    newer_world.settle()

    assert newer_world.replicas() == {kept: 3}


def test_decide_goes_on_without_the_fields_when_a_person_says_so_of_that_revision(newer_world) -> None:
    kept = stable_of(newer_world)
    annotations = newer_world.service["metadata"].setdefault("annotations", {})
    annotations["modelservice.dev/leave-revision"] = "another"
    newer_world.settle()
    assert stable_of(newer_world) == kept
    annotations["modelservice.dev/leave-revision"] = kept
    newer_world.settle()

    assert stable_of(newer_world) != kept
    assert newer_world.condition("Ready")["status"] == "True"
    assert ("Deployment", f"spam-{kept}") not in newer_world.children
    annotations.clear()
    newer_world.reconcile()
    assert newer_world.writes == []


def test_decide_newer_release_finds_its_revision_again(newer_world, monkeypatch) -> None:
    kept = stable_of(newer_world)
    newer_world.settle()
    monkeypatch.setattr(decide_module, "find_newer", lambda *_: None)
    monkeypatch.setattr(
        decide_module,
        "revision_inputs",
        lambda spec: {
            **revision_inputs(spec),
            "model": {**revision_inputs(spec)["model"], "seal": "wax"},
            "guard": {"keys": "spam"},
        },
    )
    newer_world.settle()

    assert stable_of(newer_world) == kept
    assert newer_world.condition("Ready")["status"] == "True"


# Invalid specs


def test_decide_invalid_spec_keeps_everything_and_lists_every_problem() -> None:
    world = settled_world(replicas=2, autoscaling={"maxReplicas": 4})
    before = dict(world.children)
    world.edit(model={"storageUri": "ftp://x/y", "sha256": "short"})
    world.settle()

    assert world.children == before
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.model.storageUri" in ready["message"]
    assert "spec.model.sha256" in ready["message"]
    assert world.condition("Available")["status"] == "True"
    assert world.status["observedGeneration"] == 2


def test_decide_invalid_spec_deleted_child_comes_back() -> None:
    world = settled_world(replicas=2)
    world.edit(model={"storageUri": "ftp://x/y"})
    del world.children["Service", "spam"]
    world.settle()

    assert ("Service", "spam") in world.children


def test_decide_invalid_replicas_leave_a_rollout_as_it_is() -> None:
    world = settled_world(replicas=3)
    world.edit(model=model(2))
    world.reconcile()
    world.run_controllers()
    before = world.replicas()
    world.edit(replicas=-1)
    world.settle()

    assert world.replicas() == before


def test_decide_spec_mended_goes_on() -> None:
    world = settled_world(replicas=2)
    world.edit(model={"storageUri": "ftp://x/y"})
    world.settle()
    world.edit(model=model(2))
    world.settle()

    assert world.condition("Ready")["status"] == "True"


# Rollouts that fail


def failing_rollout(**spec: Any) -> tuple[World, str, str]:
    """A world in which the pods of the second revision never become available."""
    world = settled_world(replicas=2, rollout={"progressDeadlineSeconds": 60}, **spec)
    old = stable_of(world)
    world.edit(model=model(2))
    new = world.reconcile().target
    assert new is not None
    world.broken.add(new.name)
    world.settle()
    return world, old, new.name


def test_decide_broken_target_stays_a_single_surge_pod() -> None:
    world, old, new = failing_rollout()

    assert world.replicas() == {old: 2, new: 1}
    decision = world.reconcile()
    assert decision.wants_pods
    assert decision.look_after_seconds is not None


def test_decide_deadline_passed_gives_up_and_keeps_the_old_one() -> None:
    world, old, _ = failing_rollout()
    world.wait(61)
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Degraded")["status"] == "True"
    assert world.condition("Stalled")["status"] == "True"
    assert world.condition("Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert world.reconcile().requeue_after_seconds is None


def test_decide_given_up_target_is_not_tried_again_by_time_restart_or_scaling() -> None:
    world, old, new = failing_rollout()
    world.wait(61)
    world.settle()
    message = world.condition("Ready")["message"]
    world.broken.clear()
    world.wait(3600)
    world.settle()
    assert world.replicas() == {old: 2}
    assert world.condition("Ready")["message"] == message

    world.edit(replicas=3)
    world.settle()

    assert world.replicas() == {old: 3}
    assert world.status["targetRevision"] == new


def test_decide_given_up_target_comes_again_when_the_spec_asks_anew() -> None:
    world, _, new = failing_rollout()
    world.wait(61)
    world.settle()
    world.broken.clear()
    world.edit(model=model(1))
    world.settle()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["status"] == "False"

    world.wait(3600)
    world.edit(model=model(2))
    world.settle()

    assert stable_of(world) == new


def test_decide_given_up_target_is_tried_again_under_a_longer_deadline_only() -> None:
    world, old, new = failing_rollout()
    world.wait(61)
    world.settle()
    for seconds in (30, 60):
        world.edit(rollout={"progressDeadlineSeconds": seconds})
        world.settle()
        assert world.replicas() == {old: 2}

    world.wait(3600)
    world.edit(rollout={"progressDeadlineSeconds": 90})
    world.settle()
    assert world.replicas() == {old: 2, new: 1}
    assert world.condition("Progressing")["status"] == "True"
    world.wait(91)
    world.settle()
    assert world.replicas() == {old: 2}
    assert "in 90 s" in world.condition("Ready")["message"]

    world.edit(rollout={"progressDeadlineSeconds": 120})
    world.broken.clear()
    world.settle()
    assert stable_of(world) == new
    assert "missedDeadlineSeconds" not in world.status


def test_decide_cause_mended_before_the_deadline_heals() -> None:
    world, _, new = failing_rollout()
    world.broken.clear()
    world.run_controllers()
    world.settle()

    assert stable_of(world) == new
    assert world.condition("Ready")["status"] == "True"


def test_decide_first_deployment_past_its_deadline_keeps_trying_and_heals() -> None:
    world = World(replicas=2, rollout={"progressDeadlineSeconds": 60})
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.settle()
    world.wait(61)
    world.settle()
    assert world.replicas() == {target.name: 2}
    assert world.condition("Stalled")["status"] == "True"

    world.broken.clear()
    world.run_controllers()
    world.settle()

    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Stalled")["status"] == "False"


def test_decide_newer_spec_replaces_a_broken_target() -> None:
    world, _, new = failing_rollout()
    world.edit(model=model(3))
    world.settle()

    assert stable_of(world) != new
    assert len(world.deployments()) == 1
    assert world.condition("Ready")["status"] == "True"


def test_decide_deadline_starts_anew_for_a_revision_that_comes_back() -> None:
    world, _, new = failing_rollout()
    world.wait(50)
    world.edit(model=model(1))
    world.settle()
    world.wait(50)
    world.edit(model=model(2))
    world.settle()
    world.wait(30)
    world.settle()

    assert world.status["targetRevision"] == new
    assert world.condition("Progressing")["status"] == "True"


def test_decide_deadline_starts_anew_for_a_stable_revision_that_comes_back_before_its_pods_are_gone() -> None:
    world = settled_world(replicas=2, rollout={"progressDeadlineSeconds": 60})
    old = stable_of(world)
    world.wait(3600)
    world.edit(model=model(2))
    while stable_of(world) == old:
        world.reconcile()
        if stable_of(world) == old:
            world.run_controllers()
    assert old in world.deployments()

    world.edit(model=model(1))
    world.reconcile()
    world.reconcile()

    assert world.condition("Progressing")["status"] == "True"
    world.settle()
    assert stable_of(world) == old


# When to come back


def test_decide_new_deployment_is_looked_at_after_a_second() -> None:
    assert decide(make_observed(make_model_service()), NOW).look_after_seconds == 1


@pytest.mark.parametrize(
    ("elapsed", "expected"), [(-5, 1), (0, 1), (3, 2), (7, 4), (15, 8), (60, 15), (599, 15), (600, 60)]
)
def test_poll_delay_seconds_grows(elapsed: float, expected: float) -> None:
    assert poll_delay_seconds(elapsed) == expected


def test_decide_unavailable_pods_are_looked_at_ever_less_often() -> None:
    world = World(replicas=1)
    target = world.reconcile().target
    assert target is not None
    world.broken.add(target.name)
    world.settle()
    delays = []
    for _ in range(6):
        delay = world.reconcile().look_after_seconds
        assert delay is not None
        delays.append(delay)
        world.wait(delay)

    assert delays == [1, 1, 1, 2, 2, 4]


def test_decide_pods_of_an_autoscaled_service_are_not_polled_every_second_for_ever() -> None:
    world = settled_world(replicas=1, autoscaling={"maxReplicas": 5})
    world.wait(100)
    world.edit(replicas=2)
    world.reconcile()
    world.broken.add(stable_of(world))
    world.set_deployment(stable_of(world), observed_generation=99, replicas=2)
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"

    world.wait(30)

    assert world.reconcile().look_after_seconds == 8


@pytest.mark.parametrize("name", ["status", "conditions"])
def test_decide_status_of_strange_shape_is_survived(name: str) -> None:
    strange: dict[str, Any] = {
        "status": {},
        "conditions": {"conditions": [{"type": "Ready"}, {}], "stableRevision": "x", "targetRevision": "y"},
    }[name]

    assert decide(make_observed(make_model_service(status=strange)), NOW).desired
