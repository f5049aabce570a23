"""RuntimeRollouts as they were seen, and which ModelServices they concern. A part of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.fleet import OVER, Assignment, read_assignments
from modelservice_operator.facts.kinds import RUNTIME_ROLLOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
        """Members of the runs that are not over."""

    def put(self, obj: Mapping[str, Any]) -> None:
        """Keep a RuntimeRollout; which of two versions is newer the caller knows."""
        metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        # Items of lists lack both.
        kind = {"apiVersion": RUNTIME_ROLLOUTS.api_version, "kind": RUNTIME_ROLLOUTS.kind}
        rollout = {**kind, **obj, "metadata": metadata}
        name, status = metadata["name"], rollout.get("status") or {}
        self._rollouts[name] = rollout
        self._told[name] = read_assignments(rollout)
        if status.get("phase") in OVER and not self._told[name]:
            self._members[name] = frozenset()
        elif len(self._members.get(name) or ()) != len(status.get("members") or ()):
            self._members[name] = frozenset(line.split(" ")[0] for line in status.get("members") or ())

    def remove(self, name: str) -> None:
        """Drop one that is gone."""
        for book in (self._rollouts, self._told, self._members):
            book.pop(name, None)

    def rollout(self, name: str) -> dict[str, Any] | None:
        """The RuntimeRollout of this name."""
        return self._rollouts.get(name)

    def rollouts(self) -> tuple[dict[str, Any], ...]:
        """All of them."""
        return tuple(self._rollouts.values())

    def concerned(self, key: Key) -> Iterator[str]:
        """Names of those of which a ModelService is a member, and that are not over."""
        if self._members:
            name = f"{key.namespace}/{key.name}"
            yield from (rollout for rollout, members in self._members.items() if name in members)

    def assignment(self, key: Key, uid: str) -> Assignment | None:
        """What a ModelService is told; another one that had its name before is not meant."""
        name = f"{key.namespace}/{key.name}"
        for told in self._told.values():
            found = told.get(name)
            if found is not None and uid.startswith(found.uid):
                return found
        return None
