from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from tests.unit.cli.rollout.statuses import NEW, OLD, at, facts_with, rollout, round_of
from tests.unit.operator.builders import NOW, make_pod

from modelservice_cli.rollout.pods import PodTrouble
from modelservice_cli.rollout.progress.live import bar, draw, draw_part, live_count, live_view
from modelservice_cli.rollout.progress.status import RolloutStatus, rollout_status
from modelservice_cli.rollout.report import Table


def status_with(pods: int = 0, **fields: Any) -> RolloutStatus:
    facts = facts_with(rollout(**fields))
    return rollout_status(replace(facts, pods=[make_pod(NEW, f"pod-{one:03}") for one in range(pods)]))


def drawn(status: RolloutStatus, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(draw(status, NOW, status.verdicts))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


VERDICTS = [
    one
    for second in range(6)
    for one in round_of(
        second,
        ("ErrorRatio", "0.012", "0.001", "Passed"),
        ("LatencyP99", "0.031", "0.029", "Passed"),
        ("NonFiniteRatio", "0", "0", "Passed"),
    )
]


def test_live_view_shows_weights_steps_verdicts_and_courses() -> None:
    text = drawn(status_with(step=2, phase="Verifying", verdicts=VERDICTS))

    for shown in (
        "✓\N{NO-BREAK SPACE}weight\N{NO-BREAK SPACE}25%",
        "▶\N{NO-BREAK SPACE}analysis",
        "○\N{NO-BREAK SPACE}weight\N{NO-BREAK SPACE}50%",
        "████████░░  75%",
        "██░░░░░░░░  25%",
        "NonFiniteRatio",
        "31 ms",
        "error ratio",
        "██████",
    ):
        assert shown in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("pods", [2, 200])
def test_live_view_fits_its_terminal(width: int, pods: int) -> None:
    text = drawn(status_with(pods, step=2, phase="Verifying", verdicts=VERDICTS), width)
    lines = text.splitlines()

    assert max(map(len, lines)) <= width
    assert len(lines) < 60
    assert ("and 190 more" in text) == (pods == 200)
    assert sum(line.lstrip().startswith("pod-") for line in lines) == min(pods, 10)


def test_live_view_keeps_what_has_to_be_read_whole_at_80_columns() -> None:
    text = drawn(status_with(2, step=2, phase="Verifying", verdicts=VERDICTS))

    for shown in (NEW, OLD, "NonFiniteRatio", "CANDIDATE", "pod-001", "1 of 1 available"):
        assert shown in text


def test_live_view_is_no_higher_than_its_terminal_until_the_end() -> None:
    """What is higher cannot be drawn over: each look would leave its upper part behind."""
    file = io.StringIO()
    console = Console(width=80, height=24, file=file, force_terminal=True, color_system=None)
    status = status_with(12, step=2, phase="Verifying", verdicts=VERDICTS)
    with live_view(console) as show:
        show(status)
        assert file.getvalue().count("\n") < 24
        assert "CONDITION" not in file.getvalue()
    assert "CONDITION" in file.getvalue()


def test_live_view_breaks_long_texts_only() -> None:
    """Bars, counts and figures stay on one line beside a long model, name of a pod, and cause."""
    figures = ("0.0001234", "0.0001234", "Inconclusive")
    status = status_with(0, verdicts=round_of(0, ("NonFiniteRatio", *figures)))
    uri = "oci://registry.example/a/very/long/path/to/models/spam:1"
    status = replace(
        status,
        revisions=tuple(replace(one, model=uri) for one in status.revisions),
        pods=(PodTrouble(pod=f"spam-{NEW}-7cb8b6cc79-d6lq5", revision=NEW, phase="Terminating", reason=uri),),
    )
    text = drawn(status)

    for shown in ("████████░░  75%", "3 of 3 available", "NonFiniteRatio", *figures, "Terminating"):
        assert shown in text
    assert max(map(len, text.splitlines())) <= 80


def test_live_view_draws_courses_longer_than_the_status_remembers() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    with live_view(console) as show:
        for second in range(5):
            show(status_with(verdicts=round_of(second, ("ErrorRatio", "0.1", None, "Passed"))))
    assert isinstance(console.file, io.StringIO)

    assert "█████" in console.file.getvalue()


def test_live_view_begins_new_courses_with_another_revision() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    with live_view(console) as show:
        show(status_with(revision=OLD, verdicts=round_of(0, ("ErrorRatio", "0.1", None, "Passed"))))
        show(status_with(verdicts=[]))
    assert isinstance(console.file, io.StringIO)

    assert "error ratio" not in console.file.getvalue()


def test_live_view_takes_steps_and_reasons_for_text() -> None:
    text = drawn(status_with(phase="Paused", paused="[red]\x1b[2J", pausedSince=at(0)))

    assert r"[red]\x1b[2J" in text


@pytest.mark.parametrize(
    ("percent", "drawn_as"),
    [
        (0, "░░░░░░░░░░"),
        (1, "█░░░░░░░░░"),
        (50, "█████░░░░░"),
        (99, "█████████░"),
        (100, "██████████"),
    ],
)
def test_bar_is_empty_and_full_only_for_none_and_all(percent: int, drawn_as: str) -> None:
    assert bar(percent) == drawn_as


def test_bar_of_several_kinds_has_a_colour_for_each() -> None:
    written = io.StringIO()
    console = Console(width=60, file=written, force_terminal=True, color_system="truecolor")
    console.print(
        draw_part(Table(("WAVE", "", "WHY"), (("first", "■■▪✗-·", "-"), ("none", "", "· is text"))))
    )

    shown = written.getvalue()
    assert "\x1b[32m■" in shown
    assert "\x1b[31m✗" in shown
    assert "· is text" in shown


def test_a_count_is_drawn_and_leaves_nothing_behind() -> None:
    written = io.StringIO()
    with live_count("Planning", Console(width=80, file=written, force_terminal=True)) as count:
        count(3, 12)
    assert "Planning" in written.getvalue()
    assert "25%" in written.getvalue()
    assert written.getvalue().endswith("\x1b[2K")
