from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.fleet.rollouts import conditions, rollout, wave

from modelservice_cli.fleet.status import WaveProgress, fleet_status
from modelservice_cli.fleet.text import fleet_line, fleet_report, wave_bar
from modelservice_cli.rollout.report import as_text
from modelservice_operator.api import RuntimeRolloutStatus

NOW = datetime(2026, 11, 29, 12, 5, tzinfo=UTC)
FAILURES = [
    {"member": f"mail/s{n}", "reason": "RolloutAborted", "message": f"no {n}", "time": "2026-11-29T12:03:00Z"}
    for n in range(12)
]


def report(obj: dict[str, Any]) -> str:
    return as_text(fleet_report(fleet_status(obj), NOW))


def test_rollouts_of_these_tests_are_what_the_api_takes():
    RuntimeRolloutStatus.model_validate(rollout(failures=FAILURES)["status"])


def test_report_shows_waves_movers_and_failures():
    moving = [{"member": "mail/spam", "since": "2026-11-29T12:03:00Z"}]
    text = report(rollout(moving=moving, failures=FAILURES))

    lines = text.splitlines()
    assert lines[0] == "cve: in progress, 3/12 updated"
    assert lines[1] == "Progressing: 2 members move."
    assert lines[2] == "To ModelRuntime onnx, registry.example/runtime:2"
    assert any(line.split()[:2] == ["[x]", "canary"] for line in lines)
    mail = next(line for line in lines if line.startswith("[>] mail"))
    assert mail.split()[3:] == ["6", "1", "2", "1"]
    assert any(line.startswith("[ ] rest") for line in lines)
    assert "mail/spam  2 min" in lines
    assert "mail/s11" in text, "the newest failure is shown"
    assert "RolloutAborted: no 11" in text
    assert "and 2 more" in text
    assert "mail/s1 " not in text


@pytest.mark.parametrize(
    ("phase", "code", "waits"),
    [
        ("Pending", None, ""),
        ("Progressing", None, ""),
        ("AwaitingWindow", None, ""),
        ("RollingBack", None, ""),
        ("Paused", None, "it is paused; say resume or abort"),
        ("AwaitingApproval", None, "wave mail needs an approval; say approve or abort"),
        ("Halted", 1, ""),
        ("RolledBack", 1, ""),
        ("Aborted", 1, ""),
        ("Superseded", 1, ""),
        ("Complete", 0, ""),
    ],
)
def test_phase_decides_whether_following_ends(phase: str, code: int | None, waits: str):
    status = fleet_status(rollout(phase))
    assert (status.exit_code, status.waits_for) == (code, waits)


def test_end_that_was_asked_for_is_a_good_one():
    assert fleet_status(rollout("RolledBack"), "RolledBack").exit_code == 0
    assert fleet_status(rollout("Superseded"), "RolledBack").exit_code == 1
    assert fleet_status(rollout("RollingBack"), "RolledBack").exit_code is None
    assert fleet_status(rollout("Aborted"), "Aborted").exit_code == 0


def test_status_of_an_earlier_generation_is_no_end():
    obj = rollout("Complete")
    obj["metadata"]["generation"] = 2
    status = fleet_status(obj)
    assert (status.phase, status.exit_code) == ("Unobserved", None)
    assert "generation 2" in fleet_line(status)


def test_one_that_nobody_has_seen_is_no_end():
    obj = rollout()
    del obj["status"]
    assert fleet_status(obj).exit_code is None
    assert "not seen by the operator yet" in report(obj)


def test_one_that_is_stalled_before_it_starts_ends():
    said = conditions("False", "InvalidSpec", "spec.waves: no", Stalled="True", Degraded="True")
    status = fleet_status(rollout("Pending", conditions=said))
    assert status.exit_code == 1
    assert "InvalidSpec: spec.waves: no" in fleet_line(status)


def test_one_that_waits_for_a_person_says_what_to_type():
    text = report(rollout("AwaitingApproval", approvals=frozenset({"mail"})))
    assert "Wave mail needs an approval: say approve or abort (modelservice fleet approve cve)." in text
    assert "needs one" in next(line for line in text.splitlines() if line.startswith("[>] mail"))


def test_one_that_was_superseded_says_by_whom():
    assert "modelservice fleet status newer" in report(rollout("Superseded", supersededBy="newer"))


def test_columns_that_say_nothing_are_left_out():
    assert "SKIPPED" not in report(rollout())
    text = report(rollout("RollingBack", states=("RC", "UVFBPP", "PPPP")))
    assert next(line for line in text.splitlines() if "mail" in line).split()[3:] == list("610211")


def test_cause_of_a_halt_is_what_ready_says():
    said = conditions("False", "TooManyFailures", "No further one starts.", Degraded="True")
    assert "TooManyFailures: No further one starts." in report(rollout("Halted", conditions=said))


def test_wave_that_was_stopped_is_marked():
    assert "[!] mail" in report(rollout("Halted"))


def test_line_says_what_goes_on():
    assert fleet_line(fleet_status(rollout())) == (
        "cve: in progress; 3/12 updated; wave mail 1 of 6 (2 moving, 1 failed); Progressing: 2 members move."
    )


def test_line_says_who_failed_last_and_why():
    assert fleet_line(fleet_status(rollout(failures=FAILURES))).endswith("; mail/s11: RolloutAborted: no 11")


def test_texts_of_a_cluster_cannot_move_the_cursor():
    text = report(rollout(failures=[{**FAILURES[0], "message": "\x1b[2J"}]))
    assert "\x1b" not in text


def test_json_holds_the_status_as_it_is():
    obj = rollout(failures=FAILURES)
    found = json.loads(json.dumps(fleet_status(obj).as_json()))
    assert found["status"] == obj["status"]
    assert [one["states"] for one in found["waves"]] == ["UU", "UMMFPP", "PPPP"]


def progress(states: str) -> WaveProgress:
    obj = rollout()
    obj["status"] |= {"waves": [wave("canary", states)], "states": states}
    (found,) = fleet_status(obj).waves
    return found


@settings(max_examples=200)
@given(st.text("PMUFBNEDCRGVX", min_size=1, max_size=300), st.integers(8, 40))
def test_bar_is_as_wide_as_it_is_and_shows_whoever_is_there(states: str, cells: int):
    bar = wave_bar(progress(states), cells)
    assert len(bar) == cells
    assert ("■" in bar) == ("U" in states)
    assert ("·" in bar) == ("P" in states)
    assert ("✗" in bar) == any(letter in states for letter in "FVX")
    assert ("▪" in bar) == any(letter in states for letter in "MCG")


def test_bar_of_nobody_is_empty():
    assert wave_bar(progress("")) == ""


def test_bar_is_in_proportion():
    assert wave_bar(progress("U" * 50 + "P" * 150), 24) == "■" * 6 + "·" * 18
