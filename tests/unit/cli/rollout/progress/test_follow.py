from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest
from tests.unit.cli.rollout.statuses import NEW, at, conditions, facts_with, rollout
from tests.unit.cli.rollout.worlds import facts_of, make_world
from tests.unit.operator.builders import model

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.errors import UnavailableError
from modelservice_cli.rollout.progress import follow as module
from modelservice_cli.rollout.progress.follow import follow, shower

if TYPE_CHECKING:
    from modelservice_cli.rollout.cluster.read import Reader
    from modelservice_cli.rollout.facts import Facts


class Looks:
    """What a reader finds, look by look; the last one again and again."""

    def __init__(self, *found: Facts | CommandError) -> None:
        self._found = list(found)

    def everything(self) -> Facts:
        now = self._found.pop(0) if len(self._found) > 1 else self._found[0]
        if isinstance(now, CommandError):
            raise now
        return now


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)


def run(
    *found: Facts | CommandError,
    output: str = "text",
    timeout_seconds: int | None = None,
    until_paused: bool = False,
) -> int:
    with shower(output) as show:
        return follow(cast("Reader", Looks(*found)), show, timeout_seconds, until_paused=until_paused)


@pytest.fixture(scope="module")
def looks() -> tuple[Facts, Facts]:
    """A change in the middle, and at its end."""
    world = make_world(1)
    world.edit(model=model(2))
    world.reconcile()
    middle = facts_of(world)
    world.settle()
    return middle, facts_of(world)


def test_follow_prints_changes_only(looks: tuple[Facts, Facts], capsys: pytest.CaptureFixture[str]) -> None:
    middle, end = looks

    assert run(middle, middle, middle, end) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("spam: in progress; ")
    assert last.startswith("spam: complete; ")


def test_follow_prints_an_object_a_line(
    looks: tuple[Facts, Facts], capsys: pytest.CaptureFixture[str]
) -> None:
    middle, end = looks

    assert run(middle, middle, end, output="json") == 0
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["Progressing", "Complete"]


def test_follow_waits_for_an_api_server_that_is_away(
    looks: tuple[Facts, Facts], capsys: pytest.CaptureFixture[str]
) -> None:
    middle, end = looks
    away = UnavailableError("no answer")

    assert run(middle, away, away, middle, away, end) == 0
    captured = capsys.readouterr()
    assert captured.err == "modelservice: no answer; trying again\n" * 2
    assert len(captured.out.splitlines()) == 2


def test_follow_of_what_is_gone_fails(looks: tuple[Facts, Facts]) -> None:
    with pytest.raises(CommandError, match="gone"):
        run(looks[0], CommandError("gone"))


def test_follow_without_a_first_answer_fails(looks: tuple[Facts, Facts]) -> None:
    with pytest.raises(UnavailableError):
        run(UnavailableError("no answer"), looks[1])


def test_follow_ends_after_the_timeout(
    looks: tuple[Facts, Facts], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(looks[0], timeout_seconds=0) == 124
    assert "has not ended within 0 s" in capsys.readouterr().err


def paused(reason: str, step: int) -> Facts:
    return facts_with(rollout(phase="Paused", paused=reason, pausedSince=at(0), step=step))


FOR_A_TIME, FOR_A_PERSON = paused("PauseStep", 1), paused("PauseStep", 4)
DONE = facts_with(
    rollout(phase="Complete", step=5), stableRevision=NEW, conditions=conditions(Ready="True Ready")
)
ABORTED = facts_with(rollout(phase="Aborted", reason="AnalysisFailed"))


@pytest.mark.parametrize(
    ("found", "until_paused", "code", "seen"),
    [
        ([FOR_A_TIME, FOR_A_PERSON, DONE], False, 0, 3),
        ([FOR_A_TIME, FOR_A_PERSON, DONE], True, 0, 2),
        ([FOR_A_TIME, DONE], True, 0, 2),
        ([paused("Requested", 1), ABORTED], False, 1, 2),
        ([ABORTED], True, 1, 1),
    ],
)
def test_pause_for_a_person_is_an_end_only_where_somebody_asks_for_it(
    found: list[Facts], until_paused: bool, code: int, seen: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*found, until_paused=until_paused) == code
    assert len(capsys.readouterr().out.splitlines()) == seen


@pytest.mark.parametrize("reason", ["PauseStep", "AwaitingPromotion", "Inconclusive", "Requested"])
def test_pause_for_a_person_ends_with_the_timeout(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(paused(reason, 4), timeout_seconds=0) == 124
    assert "; say " in capsys.readouterr().err
    assert run(paused(reason, 4), timeout_seconds=0, until_paused=True) == 0


def test_follow_prints_each_step_weight_and_verdict_once(capsys: pytest.CaptureFixture[str]) -> None:
    looks = [
        facts_with(rollout(step=0, weight=25), available=0),
        facts_with(rollout(step=0, weight=25)),
        FOR_A_TIME,
        FOR_A_TIME,
        facts_with(rollout(step=2, phase="Verifying", analysis={"measured": 1})),
        facts_with(rollout(step=2, phase="Verifying", analysis={"measured": 2})),
        facts_with(rollout(step=3, weight=50)),
        DONE,
    ]

    assert run(*looks) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    for line, said in zip(
        lines,
        ("step 1 of 5", "(actual 25%)", "pause 60 s", "1 of 3 good", "2 of 3 good", "weight 50%", "complete"),
        strict=True,
    ):
        assert said in line
