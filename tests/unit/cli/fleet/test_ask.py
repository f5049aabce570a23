from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.cli.fleet.rollouts import rollout

from modelservice_cli.errors import CommandError
from modelservice_cli.fleet.ask import Answer, find_answer, plan_request, with_request
from modelservice_operator.facts.labels import FLEET_ACTION

NOW = datetime(2026, 11, 29, 12, 5, tzinfo=UTC)
STAMP = "20261129T120500.000000Z"


def test_request_names_the_verb_and_is_new_each_time():
    assert plan_request(rollout(), "pause", None, NOW) == f"pause@{STAMP}"
    assert plan_request(rollout(), "rollback", None, NOW) == f"rollback@{STAMP}"


def test_approve_means_the_wave_that_waits():
    held = rollout("AwaitingApproval", approvals=frozenset({"mail", "rest"}))
    assert plan_request(held, "approve", None, NOW) == f"approve@mail@{STAMP}"
    assert plan_request(held, "approve", "rest", NOW) == f"approve@rest@{STAMP}"


def test_approve_of_one_that_was_approved_means_the_next():
    held = rollout(approvals=frozenset({"canary", "mail", "rest"}))
    held["status"]["waves"][1]["approvedAt"] = "2026-11-29T12:00:00Z"
    assert plan_request(held, "approve", None, NOW) == f"approve@rest@{STAMP}"


def test_approve_without_a_wave_that_waits_is_refused():
    with pytest.raises(CommandError, match="no wave of cve waits for an approval"):
        plan_request(rollout(), "approve", None, NOW)


@pytest.mark.parametrize("wave", ["", "canary@rest", "w" * 200])
def test_wave_that_there_is_not_is_refused_before_the_operator_is_asked(wave: str):
    with pytest.raises(CommandError, match=r"--wave: cve has no wave .*, it has: canary, mail, rest"):
        plan_request(rollout(), "approve", wave, NOW)


def test_request_leaves_the_spec_and_other_annotations_alone():
    before = rollout()
    before["metadata"]["annotations"] = {"team": "platform"}
    after = with_request(before, "pause@1")
    assert after["metadata"]["annotations"] == {"team": "platform", FLEET_ACTION: "pause@1"}
    assert (after["spec"], after["status"]) == (before["spec"], before["status"])
    assert before["metadata"]["annotations"] == {"team": "platform"}


def test_answer_is_that_to_this_request():
    asked = with_request(rollout(), "pause@2")
    assert find_answer(asked, "pause@2") is None
    asked["status"]["action"] = {"request": "pause@1", "accepted": True, "message": "No further one."}
    assert find_answer(asked, "pause@2") is None
    asked["status"]["action"]["request"] = "pause@2"
    assert find_answer(asked, "pause@2") == Answer(accepted=True, message="No further one.")


@pytest.mark.parametrize(
    ("annotation", "why"), [("abort@3", "'abort@3' has taken its place"), ("", "taken away")]
)
def test_request_that_another_one_replaced_has_no_answer(annotation: str, why: str):
    asked = with_request(rollout(), annotation)
    with pytest.raises(CommandError, match=why):
        find_answer(asked, "pause@2")
