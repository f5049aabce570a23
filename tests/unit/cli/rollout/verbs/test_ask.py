from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.cli.rollout.statuses import NEW, OLD, facts_with, rollout
from tests.unit.cli.rollout.worlds import facts_of, make_world
from tests.unit.operator.builders import NOW, World, model

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.progress.status import rollout_status
from modelservice_cli.rollout.verbs.ask import Verb, find_answer, nothing_to_do, plan_request, with_request
from modelservice_operator.facts.labels import ROLLOUT_ACTION


def changing() -> World:
    world = make_world(1, rollout={"progressDeadlineSeconds": 60})
    world.edit(model=model(2))
    world.reconcile()
    world.broken.add(world.status["targetRevision"])
    world.settle()
    return world


def carry_out(world: World, verb: Verb, *, after_seconds: float = 0.0) -> str:
    facts = facts_of(world)
    request = plan_request(facts, verb, NOW + timedelta(seconds=after_seconds))
    assert request is not None
    world.service = with_request(facts, request)
    assert find_answer(facts_of(world), request) is None
    world.settle()
    answer = find_answer(facts_of(world), request)
    assert answer is not None
    assert answer.accepted
    return answer.message


def test_abort_then_retry_are_accepted_again_and_again() -> None:
    world = changing()
    new = world.status["targetRevision"]
    spec: dict[str, Any] = dict(world.service["spec"])
    for turn in range(2):
        assert carry_out(world, "abort", after_seconds=turn) == f"Revision {new} was aborted."
        status = rollout_status(facts_of(world))
        assert (status.state, status.revisions[-1].role) == ("GivenUp", "aborted")
        assert carry_out(world, "retry", after_seconds=turn) == f"Revision {new} is tried again."

    assert world.service["spec"] == spec


def test_request_keeps_other_annotations() -> None:
    world = changing()
    world.service["metadata"]["annotations"] = {"team": "mail"}
    carry_out(world, "abort")

    assert world.service["metadata"]["annotations"]["team"] == "mail"


def test_what_missed_its_deadline_can_be_aborted_and_tried_again() -> None:
    world = changing()
    world.wait(61)
    world.settle()
    carry_out(world, "abort")
    carry_out(world, "retry")


def test_revision_is_tried_again_as_often_as_somebody_asks() -> None:
    world = changing()
    for turn in range(2):
        world.wait(61)
        world.settle()
        carry_out(world, "retry", after_seconds=turn)


@pytest.mark.parametrize(
    ("verb", "prepare", "said"),
    [
        ("abort", "complete", "nothing is being rolled out"),
        ("retry", "complete", "nothing is being rolled out"),
        ("abort", "aborted", "was aborted already"),
        ("retry", "changing", "was not given up"),
    ],
)
def test_request_that_would_change_nothing_is_not_written(verb: Verb, prepare: str, said: str) -> None:
    world = make_world(1, 2) if prepare == "complete" else changing()
    if prepare == "aborted":
        carry_out(world, "abort")
    facts = facts_of(world)

    assert plan_request(facts, verb, NOW) is None
    assert said in nothing_to_do(facts, verb)


def test_request_for_an_edit_that_was_not_seen_is_refused() -> None:
    """It would be pinned to another revision than the user means."""
    world = changing()
    world.edit(model=model(3))

    with pytest.raises(CommandError, match="not seen the newest edit"):
        plan_request(facts_of(world), "abort", NOW)


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({ROLLOUT_ACTION: "retry@bbbbbbbbbb"}, "'retry@bbbbbbbbbb' has taken its place"),
        ({}, "was taken away"),
    ],
)
def test_request_that_somebody_overwrote_is_not_waited_for(annotations: dict[str, str], said: str) -> None:
    world = changing()
    request = plan_request(facts_of(world), "abort", NOW)
    assert request is not None
    world.service["metadata"]["annotations"] = annotations

    with pytest.raises(CommandError, match=said):
        find_answer(facts_of(world), request)


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort"])
def test_request_is_pinned_and_another_one_each_time(verb: Verb) -> None:
    facts = facts_with(rollout(phase="Paused", paused="Requested"))
    first, second = (plan_request(facts, verb, NOW + timedelta(microseconds=one)) for one in (0, 1))

    assert first is not None
    assert first.startswith(f"{verb}@{NEW}@")
    assert first != second
    assert len(first) <= 128


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort", "retry"])
def test_request_for_a_change_that_is_over_is_not_written(verb: Verb) -> None:
    facts = facts_with(rollout(phase="Complete"), stableRevision=NEW)

    assert plan_request(facts, verb, NOW) is None
    assert nothing_to_do(facts, verb) == "spam: nothing is being rolled out; nothing is written"


def test_request_while_the_old_revision_may_come_back_is_the_operators_to_answer() -> None:
    facts = facts_with(rollout(phase="Complete", previousRevision=OLD), stableRevision=NEW)

    assert plan_request(facts, "abort", NOW) is not None


@pytest.mark.parametrize("accepted", [True, False])
def test_answer_is_the_one_to_this_request(accepted: bool) -> None:
    request = plan_request(facts_with(rollout()), "promote", NOW)
    assert request is not None
    other = {"request": f"promote@{NEW}@earlier", "accepted": True, "message": "Earlier."}
    ours = {"request": request, "accepted": accepted, "message": "Revision is promoted."}
    asked = {ROLLOUT_ACTION: request}

    def look(action: dict[str, Any]) -> Any:
        facts = facts_with(rollout(action=action))
        facts.service["metadata"]["annotations"] = asked
        return find_answer(facts, request)

    assert look(other) is None
    answer = look(ours)
    assert (answer.accepted, answer.message) == (accepted, "Revision is promoted.")


def test_operator_pauses_resumes_and_promotes_a_canary() -> None:
    """Each verb as the operator takes it, and what the commands make of its status afterwards."""
    steps = [{"setWeight": 50}, {"pause": {}}, {"pause": {"durationSeconds": 60}}]
    world = make_world(1, replicas=2, rollout={"strategy": "Canary", "canary": {"steps": steps}})
    world.wait(60)
    world.edit(model=model(2))
    world.settle()
    new = world.status["targetRevision"]

    def shown() -> tuple[str, str]:
        status = rollout_status(facts_of(world))
        return status.state, status.change.step if status.change else ""

    assert shown() == ("Paused", "step 2 of 3: pause")
    assert carry_out(world, "resume", after_seconds=1) == f"Revision {new} goes on."
    assert shown() == ("Progressing", "step 3 of 3: pause 60 s")
    assert carry_out(world, "pause", after_seconds=2) == f"Revision {new} is paused."
    assert shown() == ("Paused", "step 3 of 3: pause 60 s")
    assert "is promoted" in carry_out(world, "promote", after_seconds=3)
    assert (shown()[0], world.status["stableRevision"]) == ("Complete", new)
