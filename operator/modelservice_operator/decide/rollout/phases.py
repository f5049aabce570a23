"""The phases of a rollout and every way from one to another: what the picture in the docs is drawn from.

The planner goes no other way; a test with random histories holds it to this table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from modelservice_operator.decide.rollout.model import Phase

UNDER_WAY: tuple[Phase, ...] = ("Progressing", "Verifying", "Paused", "Promoting")
"""A change that goes on: it may end from each of them."""


class Move(NamedTuple):
    """From any of the `sources` to `goal`, and when."""

    sources: tuple[Phase, ...]
    goal: Phase
    when: str


MOVES = (
    Move(("Complete",), "Progressing", "the spec asks for another revision, which begins as Progressing"),
    Move(("Complete", "Aborted"), "Verifying", "the same, or retry, where it has to be evaluated first"),
    Move(
        ("Progressing",),
        "Verifying",
        "a pod of it is available and is asked what it takes and gives; or an analysis is the next step",
    ),
    Move(("Verifying",), "Progressing", "the gate is passed, pods are next"),
    Move(("Progressing",), "Paused", "a step or a preview waits, or somebody says pause"),
    Move(("Verifying",), "Paused", "an analysis could say nothing; or a wait is next, or pause"),
    Move(("Paused",), "Progressing", "its time is over, or somebody says resume; pods are next"),
    Move(("Paused",), "Verifying", "the same; an analysis is next"),
    Move(("Progressing", "Verifying", "Paused"), "Promoting", "no step is left, or somebody says promote"),
    Move(("Promoting",), "Verifying", "it was promoted before it was asked what it takes and gives"),
    Move(("Promoting",), "Paused", "somebody says pause"),
    Move(("Promoting",), "Progressing", "the spec, or its steps, were edited"),
    Move(
        UNDER_WAY, "Complete", "clients find enough pods of it; or the spec went back; or no pods are wanted"
    ),
    Move(UNDER_WAY, "Aborted", "abort, a gate that failed, or the progress deadline"),
    Move(("Complete",), "Aborted", "it does worse within the rollback window"),
    Move(("Aborted",), "Progressing", "the same, or retry"),
    Move(("Aborted",), "Complete", "the spec goes back to the revision that serves"),
)


def is_move(before: Phase, after: Phase) -> bool:
    """Whether the table has a way from one phase to the other; to stay is always one."""
    return before == after or any(before in one.sources and after == one.goal for one in MOVES)
