"""Members of a RuntimeRollout as its status writes them, and what a member is told. Pure.

The list of members is written once; what changes is one letter for each of them.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MEMBER = re.compile(r"([^ /]+/[^ /]+) ([^ ]+) ([0-9]{1,4}) ([0-9]{1,4})")
UID_LENGTH = 8
"""Characters of a UID that tell a service from another one that has its name later."""
OVER = frozenset({"Complete", "RolledBack", "Aborted", "Superseded"})
"""Phases in which no further member starts, and none goes back."""


class State(enum.StrEnum):
    """What became of a member."""

    PENDING = "P"
    MOVING = "M"
    UPDATED = "U"
    FAILED = "F"
    BROKEN = "B"
    """It was broken when its turn came: left out."""
    PINNED = "N"
    ELSEWHERE = "E"
    """It has another runtime by now, refused, or became a newer run's on its way: left out."""
    DROPPED = "D"
    RETURNING = "C"
    RETURNED = "R"
    FAILED_RETURNING = "G"
    FAILED_RETURNED = "V"
    STRANDED = "X"
    """It could not go back."""


ON_THE_WAY = frozenset({State.MOVING, State.RETURNING, State.FAILED_RETURNING})
GOING_BACK = frozenset({State.RETURNING, State.FAILED_RETURNING})
FAILED = frozenset({State.FAILED, State.FAILED_RETURNING, State.FAILED_RETURNED, State.STRANDED})
SKIPPED = frozenset({State.BROKEN, State.PINNED, State.ELSEWHERE})
BACK = frozenset({State.RETURNED, State.FAILED_RETURNED})


class UnreadableError(ValueError):
    """A status that no operator wrote: somebody edited it. The sentence names the field."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A ModelService of a run."""

    name: str
    """Namespace and name, as `mail/spam`."""
    uid: str
    """The first characters of its UID."""
    had: str
    """The image of its stable revision at the start."""
    gets: str


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a RuntimeRollout tells one of its members."""

    rollout: str
    request: str
    """Names the run and the way, there or back: it is acted on once."""
    image: str
    uid: str
    """The first characters of the UID of the ModelService that is meant."""
    is_back: bool = False
    runtime: Mapping[str, Any] | None = None
    """The ModelRuntime as it was when the run began; None in runs of a version that did not record it."""


def request_of(rollout: str, uid: str, *, is_back: bool) -> str:
    """Return what a member's status says of an assignment that it has taken."""
    return f"{rollout}@{uid[:UID_LENGTH]}" + ("@back" if is_back else "")


def read_members(status: Mapping[str, Any]) -> tuple[Member, ...]:
    """Return the members in their order. Raises UnreadableError."""
    images = status.get("images") or ()
    return tuple(_read_member(line, images) for line in status.get("members") or ())


def read_states(status: Mapping[str, Any]) -> tuple[State, ...]:
    """Return the state of each member. Raises UnreadableError."""
    letters, members = status.get("states") or "", len(status.get("members") or ())
    if len(letters) != members:
        raise UnreadableError(f"status.states: expected {members} letters, got {len(letters)}")
    try:
        return tuple(map(State, letters))
    except ValueError:
        known = "".join(State)
        raise UnreadableError(f"status.states: expected letters of {known}, got {letters[:40]!r}") from None


def _read_member(line: str, images: Sequence[str]) -> Member:
    found = _MEMBER.fullmatch(line)
    if found is None:
        raise UnreadableError(f"status.members: expected 'NAMESPACE/NAME UID HAD GETS', got {line!r}")
    name, uid, had, gets = found.groups()
    if max(int(had), int(gets)) >= len(images):
        raise UnreadableError(f"status.members: {line!r} names an image that status.images does not have")
    return Member(name=name, uid=uid, had=images[int(had)], gets=images[int(gets)])


def write_members(members: Iterable[Member]) -> dict[str, Any]:
    """Return `status.images` and `status.members`."""
    places: dict[str, int] = {}
    lines = [
        f"{one.name} {one.uid} {places.setdefault(one.had, len(places))}"
        f" {places.setdefault(one.gets, len(places))}"
        for one in members
    ]
    return {"images": list(places), "members": lines}


def read_assignments(rollout: Mapping[str, Any]) -> dict[str, Assignment]:
    """Return what those members are told that are on the way, by their names, while this run commands.

    Nobody is told anything where that cannot be read.
    """
    try:
        return _read_assignments(rollout)
    except UnreadableError:
        return {}  # the look at the RuntimeRollout says why


def _read_assignments(rollout: Mapping[str, Any]) -> dict[str, Assignment]:
    status, metadata = rollout.get("status") or {}, rollout["metadata"]
    lines, images = status.get("members") or (), status.get("images") or ()
    runtime = _read_runtime(rollout["spec"], status)
    told = {}
    for line, state in zip(lines, read_states(status), strict=True):
        if state in ON_THE_WAY:
            member, is_back = _read_member(line, images), state in GOING_BACK
            told[member.name] = Assignment(
                rollout=metadata["name"],
                request=request_of(metadata["name"], metadata["uid"], is_back=is_back),
                image=member.had if is_back else member.gets,
                uid=member.uid,
                is_back=is_back,
                runtime=runtime,
            )
    return told


def _read_runtime(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    recorded = status.get("runtime")
    return {"metadata": {"name": spec["target"]["runtime"]}, "spec": recorded} if recorded else None
