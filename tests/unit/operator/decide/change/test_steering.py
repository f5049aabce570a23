from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import World, make_pod, model

from modelservice_operator.facts import labels


def ask(world: World, verb: str, revision: str | None = None, *, nonce: str = "") -> None:
    """Write the annotation, as people and tools do."""
    asked = f"{verb}@{revision or world.status['targetRevision']}{f'@{nonce}' if nonce else ''}"
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: asked}


def answer(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.status["rollout"]["action"]
    return found


def changing(**spec: Any) -> tuple[World, str, str]:
    """A service in the middle of a change whose new pods do not come; (world, stable, target)."""
    world = World(**{"model": model(1), "replicas": 2, **spec})
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    world.reconcile()
    new = str(world.status["targetRevision"])
    world.broken.add(new)
    world.settle()
    return world, old, new


def test_abort_goes_back_to_stable_and_leaves_the_spec_alone() -> None:
    world, old, new = changing()
    spec = copy.deepcopy(world.service["spec"])
    ask(world, "abort")
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.service["spec"] == spec
    assert world.status["abortedRevisions"] == [new]
    assert (answer(world)["accepted"], answer(world)["message"]) == (True, f"Revision {new} was aborted.")
    assert world.condition("Degraded")["reason"] == "RolloutAborted"
    assert world.condition("Stalled")["status"] == "True"
    assert "missedDeadlineSeconds" not in world.status


def test_abort_keeps_the_cause_when_its_pods_are_gone() -> None:
    world, _, new = changing()
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    world.pods = (make_pod(new, containerStatuses=[{"name": "server", "state": {"waiting": waiting}}]),)
    world.settle()
    ask(world, "abort")
    world.reconcile()
    world.pods = ()
    world.settle()
    world.wait(600)
    world.settle()
    message = world.condition("Ready")["message"]

    assert message == world.condition("Degraded")["message"]
    assert message.startswith(f"Revision {new} was aborted; ")
    assert "Cause: Image registry.example/onnx:1 cannot be pulled" in message


def test_abort_after_a_missed_deadline_says_how_to_go_on() -> None:
    world, _, new = changing(rollout={"progressDeadlineSeconds": 60})
    world.wait(61)
    world.settle()
    ask(world, "abort")
    world.settle()
    message = world.condition("Ready")["message"]

    assert message.startswith(f"Revision {new} was aborted; ")
    assert "progressDeadlineSeconds" not in message


def test_abort_of_a_healthy_change_keeps_the_old_pods() -> None:
    world, old, new = changing(replicas=3)
    world.broken.clear()
    world.reconcile()
    world.run_controllers()
    world.reconcile()
    assert world.replicas()[new] > 0
    ask(world, "abort")
    fewest = 3
    for _ in range(10):
        world.reconcile()
        fewest = min(fewest, sum(one.available_replicas for one in world.deployments().values()))
        world.run_controllers()

    assert world.replicas() == {old: 3}
    assert fewest == 3


def test_abort_with_recreate_starts_the_old_pods_again() -> None:
    world, old, _ = changing(rollout={"strategy": "Recreate"})
    ask(world, "abort")
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.condition("Available")["status"] == "True"


def test_aborted_revision_is_not_tried_by_time_restart_scaling_or_another_edit() -> None:
    world, old, new = changing()
    ask(world, "abort")
    world.settle()
    world.broken.clear()
    world.wait(36_000)
    world.edit(replicas=3, rollout={"progressDeadlineSeconds": 9000})
    world.settle()
    assert world.replicas() == {old: 3}

    world.service["metadata"]["annotations"] = {}
    world.settle()
    assert world.replicas() == {old: 3}
    world.edit(model=model(3))
    world.settle()
    assert world.condition("Ready")["status"] == "True"
    third = str(world.status["stableRevision"])
    world.edit(model=model(2))
    world.settle()

    assert world.status["targetRevision"] == new
    assert world.replicas() == {third: 3}
    assert world.condition("Degraded")["reason"] == "RolloutAborted"


def test_abort_without_a_rollout_changes_nothing_then_or_later() -> None:
    world = World(model=model(1))
    world.settle()
    first = str(world.status["stableRevision"])
    ask(world, "abort")
    world.settle()
    assert "is rolled out" in answer(world)["message"]
    assert world.condition("Ready")["status"] == "True"

    for tag in (2, 1):
        world.edit(model=model(tag))
        world.settle()

    assert world.status["stableRevision"] == first


def test_abort_of_a_first_deploy_changes_nothing() -> None:
    world = World(model=model(1))
    world.reconcile()
    ask(world, "abort")
    world.settle()

    assert "no earlier revision" in answer(world)["message"]
    assert world.condition("Ready")["status"] == "True"


def test_verb_for_another_revision_changes_nothing() -> None:
    world, old, new = changing()
    for revision in (old, "bbbbbbbbbb"):
        ask(world, "abort", revision)
        world.settle()
        assert (answer(world)["accepted"], new in answer(world)["message"]) == (False, True)
        assert world.replicas() == {old: 2, new: 1}


@pytest.mark.parametrize("request_text", ["abort", "stop@bbbbbbbbbb", "@", "x" * 5000])
def test_verb_that_nobody_knows_is_answered(request_text: str) -> None:
    world, old, new = changing()
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: request_text}
    world.settle()

    assert not answer(world)["accepted"]
    assert len(answer(world)["request"]) <= 128
    assert world.replicas() == {old: 2, new: 1}


def test_retry_after_abort_starts_the_revision_again_with_a_new_deadline() -> None:
    world, old, new = changing(rollout={"progressDeadlineSeconds": 60})
    ask(world, "abort")
    world.settle()
    world.wait(3600)
    ask(world, "retry")
    world.settle()

    assert world.replicas() == {old: 2, new: 1}
    assert "abortedRevisions" not in world.status
    assert world.condition("Progressing")["status"] == "True"
    assert answer(world)["message"] == f"Revision {new} is tried again."
    world.broken.clear()
    world.settle()
    assert world.status["stableRevision"] == new


def test_retry_after_a_missed_deadline_counts_once() -> None:
    world, old, new = changing(rollout={"progressDeadlineSeconds": 60})
    for nonce in ("1", "2"):
        world.wait(61)
        world.settle()
        assert world.replicas() == {old: 2}
        ask(world, "retry", nonce=nonce)
        world.settle()
        assert world.replicas() == {old: 2, new: 1}
    world.wait(61)
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.condition("Progressing")["reason"] == "ProgressDeadlineExceeded"


def test_retry_of_what_goes_on_changes_nothing() -> None:
    world, old, _ = changing(rollout={"progressDeadlineSeconds": 60})
    world.wait(40)
    ask(world, "retry")
    world.settle()
    assert "was not given up" in answer(world)["message"]
    world.wait(21)
    world.settle()

    assert world.replicas() == {old: 2}


def test_abort_after_a_missed_deadline_is_kept_when_more_time_is_allowed() -> None:
    world, old, _ = changing(rollout={"progressDeadlineSeconds": 60})
    world.wait(61)
    world.settle()
    ask(world, "abort")
    world.settle()
    world.edit(rollout={"progressDeadlineSeconds": 600})
    world.settle()

    assert world.replicas() == {old: 2}


def test_abort_wins_over_more_time_that_is_allowed_in_the_same_moment() -> None:
    world, old, _ = changing(rollout={"progressDeadlineSeconds": 60})
    world.wait(61)
    world.settle()
    ask(world, "abort")
    world.edit(rollout={"progressDeadlineSeconds": 600})
    decision = world.reconcile()
    world.settle()

    assert decision.plan is not None
    assert decision.plan.phase == "Aborted"
    assert world.replicas() == {old: 2}
    assert world.condition("Degraded")["reason"] == "RolloutAborted"


def test_aborted_revision_that_serves_since_nothing_else_can_is_aborted_no_more() -> None:
    world, old, new = changing()
    ask(world, "abort")
    world.settle()
    world.broken.clear()
    for kind in ("ControllerRevision", "Deployment"):
        del world.children[kind, f"spam-{old}"]
    world.settle()
    assert world.status["stableRevision"] == new
    for tag in (3, 2):
        world.edit(model=model(tag))
        world.settle()

    assert world.status["stableRevision"] == new


def test_back_to_stable_after_an_abort_is_ready_again() -> None:
    world, _, new = changing()
    ask(world, "abort")
    world.settle()
    world.edit(model=model(1))
    world.settle()

    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["status"] == "False"
    assert world.status["abortedRevisions"] == [new]


def test_abort_in_the_middle_of_an_invalid_spec_holds() -> None:
    world, old, _ = changing()
    ask(world, "abort")
    world.edit(batching={"maxBatchSize": -1})
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.condition("Ready")["reason"] == "InvalidSpec"


def test_operator_killed_before_the_answer_is_recorded_decides_the_same() -> None:
    world, _, _ = changing()
    ask(world, "abort")
    status = copy.deepcopy(world.service["status"])
    decision = world.reconcile()
    world.service["status"] = status
    again = world.reconcile()

    assert decision.plan is not None
    assert again.plan is not None
    assert again.plan.replicas == decision.plan.replicas
    assert again.steering == decision.steering


def test_verbs_are_told_as_events() -> None:
    world, _, new = changing()
    for verb in ("abort", "retry"):
        ask(world, verb)
        world.settle()
    told = [(one.reason, one.message) for one in world.events if one.reason.startswith("RolloutAction")]

    assert told == [
        ("RolloutActionAccepted", f"abort@{new}: Revision {new} was aborted."),
        ("RolloutActionAccepted", f"retry@{new}: Revision {new} is tried again."),
    ]
    assert "Recovered" not in [one.reason for one in world.events]


@pytest.mark.parametrize("around", [" {}", "{}\n", "\t{} "])
def test_white_space_around_a_request_means_nothing(around: str) -> None:
    world, old, new = changing()
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: around.format(f"abort@{new}")}
    world.settle()

    assert answer(world)["accepted"]
    assert world.replicas() == {old: 2}


def test_codes_in_a_request_never_reach_an_event() -> None:
    world, _, _ = changing()
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: "abort@\x1b[2J"}
    world.settle()

    assert all(one.message.isprintable() for one in world.events)


def test_each_aborted_revision_is_spoken_of_by_its_own_name() -> None:
    world, _, first = changing()
    ask(world, "abort")
    world.settle()
    world.edit(model=model(3))
    world.reconcile()
    world.broken.add(world.status["targetRevision"])
    world.settle()
    ask(world, "abort")
    world.settle()
    world.events.clear()
    world.edit(model=model(2))
    world.settle()

    for kind in ("Ready", "Degraded"):
        assert world.condition(kind)["message"].startswith(f"Revision {first} was aborted; ")
    # Nothing is rolled out, so no Event says so.
    assert [(one.reason, first in one.message) for one in world.events] == [("RolloutAborted", True)]


def test_abort_outlives_the_record_of_its_revision() -> None:
    world, _, new = changing(rollout={"revisionHistoryLimit": 1})
    ask(world, "abort")
    world.settle()
    for tag in (3, 4, 5):
        world.edit(model=model(tag))
        world.settle()
    assert ("ControllerRevision", f"spam-{new}") not in world.children
    world.edit(model=model(2))
    world.settle()

    assert world.status["targetRevision"] == new
    assert new not in world.replicas()
    assert world.condition("Degraded")["reason"] == "RolloutAborted"


def test_aborted_revisions_that_are_remembered_are_bounded() -> None:
    world, old, new = changing()
    world.status["abortedRevisions"] = [f"bbbbbbbb{number:02}" for number in range(32)]
    ask(world, "abort")
    world.settle()

    assert len(world.status["abortedRevisions"]) == 32
    assert world.status["abortedRevisions"][-1] == new
    assert world.replicas() == {old: 2}


def test_abort_is_carried_out_again_when_the_status_was_lost() -> None:
    world, old, new = changing()
    ask(world, "abort")
    world.settle()
    world.service["status"] = {}
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.status["abortedRevisions"] == [new]


def test_spec_that_was_invalid_for_a_while_is_not_the_cause_of_what_is_given_up() -> None:
    world, _, _ = changing(rollout={"progressDeadlineSeconds": 60})
    world.edit(batching={"maxBatchSize": -1})
    world.settle()
    ask(world, "abort")
    world.settle()
    del world.service["spec"]["batching"]
    world.edit()
    world.settle()

    assert world.condition("Ready")["reason"] == "RolloutAborted"
    assert "invalid" not in world.condition("Degraded")["message"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.integers(1, 4)),
        st.tuples(st.just("scale"), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.sampled_from(["abort", "retry", "promote"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 61, 601])),
        st.tuples(st.just("break"), st.booleans()),
        st.tuples(st.just("run"), st.integers(1, 3)),
    ),
    max_size=14,
)


def test_back_from_a_change_to_an_aborted_revision_in_the_middle_of_another_one() -> None:
    world, old, new = changing()
    ask(world, "abort")
    world.settle()
    world.edit(model=model(3))
    for _ in range(4):
        world.reconcile()
        world.run_controllers()
    assert world.replicas()[old] == 1
    world.edit(model=model(2))
    world.settle()

    assert world.status["targetRevision"] == new
    assert world.replicas() == {old: 2}


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_aborted_revision_is_never_woken_and_everything_comes_to_rest(steps: list[tuple[str, Any]]) -> None:
    world = World(model=model(0), replicas=2, rollout={"progressDeadlineSeconds": 60})
    world.settle()
    for number, (what, value) in enumerate(steps):
        aborted = set(world.status.get("abortedRevisions", ()))
        before = world.replicas()
        if what == "edit":
            world.edit(model=model(value))
        elif what == "scale":
            world.scale(value)
        elif what == "ask":
            ask(world, value, nonce=str(number))
        elif what == "wait":
            world.wait(value)
        elif what == "break":
            world.broken = {world.status["targetRevision"]} if value else set()
        for _ in range(value if what == "run" else 1):
            world.reconcile()
            world.run_controllers()
        is_retry = (what, value) == ("ask", "retry")
        for one in set() if is_retry else aborted & set(world.status.get("abortedRevisions", ())):
            assert world.replicas().get(one, 0) <= before.get(one, 0)
        assert (
            aborted <= {*world.status.get("abortedRevisions", ()), world.status["stableRevision"]} or is_retry
        )
    world.settle()
    world.broken.clear()
    world.settle()
    assert world.replicas() == {world.status["stableRevision"]: world.service["spec"]["replicas"]}


def test_promote_while_the_rollout_cannot_be_read_is_done_when_it_can_be() -> None:
    rollout = {"strategy": "Canary", "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
    world = World(model=model(1), replicas=2, rollout=rollout)
    world.settle()
    world.edit(model=model(2))
    world.settle()
    new = str(world.status["targetRevision"])
    before = world.replicas()
    world.edit(rollout={"strategy": "Unheard"})
    world.settle()
    ask(world, "promote")
    world.settle()
    assert answer(world)["accepted"] is True
    assert world.replicas() == before

    world.edit(rollout=rollout)
    world.settle()
    assert world.replicas() == {new: 2}
