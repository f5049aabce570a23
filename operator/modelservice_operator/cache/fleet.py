"""RuntimeRollouts as they were seen, and which ModelServices they concern. A part of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.fleet import Assignment, read_assignments
from modelservice_operator.facts.kinds import RUNTIME_ROLLOUTS
from modelservice_operator.facts.succession import find_commanders, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def fleet_key(name: str) -> Key:
    """The key of a RuntimeRollout in the work queue: no ModelService is without a namespace."""
    return Key("", name)


class FleetBook:
    """All RuntimeRollouts, each ready to be looked up by its members."""

    def __init__(self) -> None:
        self._rollouts: dict[str, dict[str, Any]] = {}
        self._told: dict[str, dict[str, Assignment]] = {}
        """By rollout and member: what those are told that are on the way."""
        self._members: dict[str, frozenset[str]] = {}
        """Members of the runs that have not ended."""
        self._commanders: tuple[str, ...] = ()
        """Those whose members obey them, the newest first."""

    def put(self, obj: Mapping[str, Any]) -> None:
        """Keep a RuntimeRollout; which of two versions is newer the caller knows."""
        metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        # Items of lists lack both.
        kind = {"apiVersion": RUNTIME_ROLLOUTS.api_version, "kind": RUNTIME_ROLLOUTS.kind}
        rollout = {**kind, **obj, "metadata": metadata}
        name, before = metadata["name"], self._rollouts.get(metadata["name"])
        self._rollouts[name] = rollout
        self._told[name] = read_assignments(rollout)
        self._commanders = find_commanders(self._rollouts.values())
        if before is None or _members(before) != _members(rollout):
            self._members[name] = frozenset(line.split(" ")[0] for line in _members(rollout))

    def remove(self, name: str) -> None:
        """Drop one that is gone."""
        for book in (self._rollouts, self._told, self._members):
            book.pop(name, None)
        self._commanders = find_commanders(self._rollouts.values())

    def rollout(self, name: str) -> dict[str, Any] | None:
        """The RuntimeRollout of this name."""
        return self._rollouts.get(name)

    def rollouts(self) -> tuple[dict[str, Any], ...]:
        """All of them."""
        return tuple(self._rollouts.values())

    def concerned(self, key: Key) -> Iterator[str]:
        """Names of those of which a ModelService is a member, and that have not ended."""
        if self._members:
            name = f"{key.namespace}/{key.name}"
            yield from (rollout for rollout, members in self._members.items() if name in members)

    def assignment(self, key: Key, uid: str) -> Assignment | None:
        """What a ModelService is told; another one that had its name before is not meant."""
        name = f"{key.namespace}/{key.name}"
        for commander in self._commanders:
            found = self._told[commander].get(name)
            if found is not None and uid.startswith(found.uid):
                return found
        return None


def _members(rollout: Mapping[str, Any]) -> Sequence[str]:
    """Lines of those whose changes are worth a look."""
    status = rollout.get("status") or {}
    return status.get("members") or () if not has_ended(rollout) else ()
