from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.cli.rollout.statuses import (
    CANARY,
    GOING_ON,
    NEW,
    OLD,
    at,
    conditions,
    facts_with,
    rollout,
)
from tests.unit.operator.builders import NOW

from modelservice_cli.rollout.progress.durations import about_text, duration_text, left_text
from modelservice_cli.rollout.progress.status import EXIT_CODES, rollout_status
from modelservice_cli.rollout.progress.text import change_lines, status_line

BLUE_GREEN = {"strategy": "BlueGreen", "blueGreen": {"previewSeconds": 600}}
LATER = NOW + timedelta(seconds=20)
RESUME = "Say resume or promote (modelservice rollout resume spam -n mail)."
ANALYSIS = {"run": "r", "measured": 2, "failed": 0, "inconclusive": 1, "measuredAt": at(10)}


def lines(change: dict[str, Any] | None, **facts: Any) -> list[str]:
    return change_lines(rollout_status(facts_with(change, **facts)), LATER)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"step": 0}, "Step 1 of 5: weight 25%"),
        (
            {"step": 1, "phase": "Paused", "paused": "PauseStep", "pausedSince": at(0)},
            "Step 2 of 5: pause 60 s, 40 s left",
        ),
        (
            {"step": 2, "phase": "Verifying", "analysis": ANALYSIS},
            "Step 3 of 5: analysis: 2 of 3 good, 0 bad, 1 said nothing",
        ),
        ({"step": 2, "phase": "Verifying"}, "Step 3 of 5: analysis: 0 of 3 good, 0 bad, 0 said nothing"),
        (
            {"step": 4, "phase": "Paused", "paused": "PauseStep", "pausedSince": at(0)},
            "Step 5 of 5: pause",
        ),
        ({"step": 5, "phase": "Promoting"}, "All 5 steps are done"),
        ({"step": 1, "steps": 9}, "Step 2 of 9"),
        (
            {"step": 1, "phase": "Promoting", "promoted": True},
            "Step 2 of 5 and those after it are skipped: somebody said promote",
        ),
        (
            {"step": 0, "skipsSteps": True},
            "Step 1 of 5 and those after it are skipped: nothing of the old revision answers",
        ),
        ({"step": 4, "promoted": True}, "Step 5 of 5 is skipped: somebody said promote"),
        # After a pause that was asked for the rest of the step's time is waited for.
        (
            {"step": 1, "phase": "Paused", "paused": "PauseStep", "stepSince": at(10), "pausedSince": at(50)},
            "Step 2 of 5: pause 60 s, 50 s left",
        ),
    ],
)
def test_step_says_what_it_is_and_how_far(fields: dict[str, Any], line: str) -> None:
    assert line in lines(rollout(**fields))


@pytest.mark.parametrize(
    ("fields", "spec", "line", "state"),
    [
        (
            {"step": 4, "paused": "PauseStep"},
            CANARY,
            f"Paused since {at(0)}: the step waits for a person. {RESUME}",
            "Paused",
        ),
        (
            {"step": 1, "paused": "PauseStep"},
            CANARY,
            f"Paused since {at(0)} until {at(60)}: the step waits. {RESUME}",
            "Progressing",
        ),
        (
            {"step": 1, "paused": "Requested"},
            CANARY,
            f"Paused since {at(0)}: somebody asked for it. {RESUME}",
            "Paused",
        ),
        (
            {"step": 2, "paused": "Inconclusive"},
            CANARY,
            (
                f"Paused since {at(0)}: the analysis could say nothing. Say resume, promote or abort "
                "(modelservice rollout resume spam -n mail)."
            ),
            "Paused",
        ),
        (
            {"strategy": "BlueGreen", "step": None, "steps": None, "paused": "AwaitingPromotion"},
            BLUE_GREEN,
            (
                f"Paused since {at(0)}: a person decides about the switch. Say promote or abort "
                "(modelservice rollout promote spam -n mail)."
            ),
            "Paused",
        ),
        (
            {"strategy": "BlueGreen", "step": None, "steps": None, "paused": "Preview"},
            BLUE_GREEN,
            (
                f"Paused since {at(0)} until {at(600)}: the new pods can be looked at before the switch. Say "
                "promote or abort (modelservice rollout promote spam -n mail)."
            ),
            "Progressing",
        ),
        # The steps of the spec are not those of the status: nobody knows whether this one has a duration.
        (
            {"step": 1, "steps": 9, "paused": "PauseStep"},
            CANARY,
            f"Paused since {at(0)}: the step waits. {RESUME}",
            "Progressing",
        ),
        # A reason that this command does not know yet.
        (
            {"step": 1, "paused": "Holiday"},
            CANARY,
            f"Paused since {at(0)}: Holiday. {RESUME}",
            "Progressing",
        ),
    ],
)
def test_pause_says_why_and_what_to_do(
    fields: dict[str, Any], spec: dict[str, Any], line: str, state: str
) -> None:
    change = rollout(phase="Paused", pausedSince=at(0), **fields)
    status = rollout_status(facts_with(change, spec=spec))

    assert line in change_lines(status, LATER)
    assert status.state == state
    assert state not in EXIT_CODES


@pytest.mark.parametrize(
    ("held", "change", "stable", "state", "reason"),
    [
        ({"Ready": "True Ready", "Degraded": "False AsExpected"}, rollout(), OLD, "Progressing", "Doing"),
        ({"Ready": "True Ready", "Degraded": "True Bad"}, rollout(), OLD, "Progressing", "Bad"),
        ({"Ready": "False Unready"}, rollout(phase="Verifying"), OLD, "Progressing", "Unready"),
        ({"Ready": "False Unready", "Stalled": "True Unready"}, rollout(), OLD, "Stalled", "Unready"),
        ({"Ready": "False AnalysisFailed"}, rollout(phase="Aborted"), OLD, "GivenUp", "AnalysisFailed"),
        (
            {"Ready": "True Ready", "Degraded": "True AnalysisFailed"},
            rollout(phase="Aborted"),
            OLD,
            "GivenUp",
            "AnalysisFailed",
        ),
        ({"Ready": "True Ready"}, rollout(phase="Complete", step=5), NEW, "Complete", "Ready"),
        # Of another revision than the spec asks for now: it says nothing of this one.
        ({"Ready": "True Ready"}, rollout(revision=OLD, phase="Aborted"), NEW, "Complete", "Ready"),
        ({"Ready": "True Ready"}, None, NEW, "Complete", "Ready"),
        ({"Ready": "True Ready"}, {"action": {"request": "x"}}, NEW, "Complete", "Ready"),
    ],
)
def test_state_follows_phase_and_conditions(
    held: dict[str, str], change: dict[str, Any] | None, stable: str, state: str, reason: str
) -> None:
    held = {"Progressing": "True Doing", **held}
    status = rollout_status(facts_with(change, stableRevision=stable, conditions=conditions(**held)))

    assert (status.state, status.reason) == (state, reason)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, f"Canary of {NEW}: Progressing, weight 25% (actual 25%)"),
        ({"contract": "Unknown"}, "Contract: Unknown"),
        ({"step": 3, "analysis": ANALYSIS}, "Analysis: 2 good, 0 bad, 1 said nothing"),
        (
            {"phase": "Aborted", "reason": "AnalysisFailed", "message": "ErrorRatio 0.2."},
            "Aborted: AnalysisFailed: ErrorRatio 0.2.",
        ),
        # Said at the top already.
        (
            {"phase": "Aborted", "reason": "AnalysisFailed", "message": "Ready says why."},
            "Aborted: AnalysisFailed",
        ),
        ({"phase": "Aborted", "message": "a\x1b[2J"}, r"Aborted: a\x1b[2J"),
    ],
)
def test_change_says_where_it_stands(fields: dict[str, Any], line: str) -> None:
    assert line in lines(rollout(**fields))


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            {**CANARY, "rollbackWindowSeconds": 620},
            f"Previous revision: {OLD}, kept until {at(620)} (10 min left)",
        ),
        (
            {"strategy": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 50}},
            f"Previous revision: {OLD}, kept until {at(50)} (30 s left)",
        ),
        ({"strategy": "RollingUpdate"}, f"Previous revision: {OLD}, kept until {at(0)} (0 s left)"),
        ({"strategy": "Nonsense"}, f"Previous revision: {OLD}"),
    ],
)
def test_previous_revision_says_how_long_it_is_kept(spec: dict[str, Any], line: str) -> None:
    change = rollout(phase="Complete", step=5, previousRevision=OLD, promotedAt=at(0))
    facts = facts_with(change, spec=spec, stableRevision=NEW, conditions=conditions(Ready="True Ready"))
    status = rollout_status(facts)

    if "rollbackWindowSeconds" in spec:
        assert status.state == "Complete"
    assert line in change_lines(status, LATER)
    assert {one.revision: one.role for one in status.revisions} == {NEW: "stable", OLD: "previous"}


def test_complete_change_has_nothing_to_say() -> None:
    change = rollout(phase="Complete", step=5, weight=100, analysis=ANALYSIS)

    assert lines(change, stableRevision=NEW, conditions=conditions(Ready="True Ready")) == []


def test_status_of_an_older_operator_has_no_change() -> None:
    assert lines({"capacity": {"revision": NEW}}) == []
    assert lines(None) == []


def test_steps_of_an_edit_that_was_not_seen_are_not_those_of_the_status() -> None:
    status = rollout_status(facts_with(rollout(step=1), observedGeneration=0))

    assert status.state == "Unobserved"
    assert "Step 2 of 5" in change_lines(status, LATER)


def test_first_revision_goes_by_no_steps() -> None:
    change = rollout_status(facts_with(rollout(phase="Promoting", step=5), stableRevision=None)).change

    assert change is not None
    assert (change.step, change.steps) == ("", ())


def test_reason_of_an_abort_is_said_once() -> None:
    change = rollout(phase="Aborted", reason="AnalysisFailed", message="ErrorRatio 0.2.")
    shown = lines(change, conditions=conditions(Ready="False AnalysisFailed"))

    assert not [line for line in shown if "AnalysisFailed" in line]


def test_steps_are_marked() -> None:
    def marks(**fields: Any) -> list[str]:
        change = rollout_status(facts_with(rollout(**fields))).change
        assert change is not None
        return [one.mark for one in change.steps]

    assert marks(step=2) == ["done", "done", "now", "next", "next"]
    assert marks(step=2, phase="Aborted") == ["done", "done", "stopped", "next", "next"]
    assert marks(step=3, promoted=True) == ["done", "done", "done", "skipped", "skipped"]
    assert marks(step=5) == ["done"] * 5


def test_status_line_is_the_same_while_only_time_passes() -> None:
    change = rollout(step=1, phase="Paused", paused="PauseStep", pausedSince=at(0))

    assert status_line(rollout_status(facts_with(change, conditions=GOING_ON))) == (
        f"spam: in progress; {OLD} (stable) 3 of 3 available 75%, {NEW} (target) 1 of 1 available 25%; "
        f"Canary Paused, weight 25% (actual 25%), step 2 of 5: pause 60 s, the step waits until {at(60)} "
        "(resume or promote), contract Passed; RolloutInProgress: Ready says why."
    )


@pytest.mark.parametrize(
    ("seconds", "exact", "about"),
    [
        (0, "0 s", "0 s"),
        (60, "60 s", "60 s"),
        (120, "2 min", "2 min"),
        (150, "150 s", "2 min"),
        (7200, "2 h", "2 h"),
        (86_400, "24 h", "24 h"),
        (604_800, "7 d", "7 d"),
    ],
)
def test_durations_are_short_and_exact_where_they_are_set(seconds: int, exact: str, about: str) -> None:
    assert duration_text(seconds) == exact
    assert about_text(seconds) == about


def test_what_is_over_has_nothing_left() -> None:
    assert left_text(at(-5), NOW) == "0 s left"
    assert left_text("yesterday", NOW) == ""
