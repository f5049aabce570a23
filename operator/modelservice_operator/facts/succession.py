"""Which RuntimeRollout commands: of those of one ModelRuntime the newest that has started. Pure.

So a member obeys at most one run; of runs of two ModelRuntimes that both tell it something, the newer one.
From the moment at which a newer one starts, an older one tells nobody anything, whatever its phase: one that
is at its end by then stays as it is, and any other is superseded, for ever. The newer one waits for no word
of the older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def find_commanders(rollouts: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of those that tell members anything, the newest first."""
    newest: dict[object, Mapping[str, Any]] = {}
    for one in sorted(filter(has_started, rollouts), key=_age):
        newest[_runtime(one)] = one
    return tuple(_name(one) for one in sorted(newest.values(), key=_age, reverse=True))


def find_successor(rollout: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the name of the newer one that took over, None while none has."""
    known: str | None = (rollout.get("status") or {}).get("supersededBy")
    if known is not None:
        return known
    newer = [one for one in _rivals(rollout, others) if _age(one) > _age(rollout)]
    return _name(max(newer, key=_age)) if newer else None


def find_predecessors(rollout: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the older ones that this one supersedes when it starts."""
    older = [one for one in _rivals(rollout, others) if _age(one) < _age(rollout)]
    return tuple(sorted(_name(one) for one in older if not has_ended(one)))


def has_started(rollout: Mapping[str, Any]) -> bool:
    """Return whether its members were chosen."""
    return "startedAt" in (rollout.get("status") or {})


def has_ended(rollout: Mapping[str, Any]) -> bool:
    """Return whether nobody starts any more, and nobody is on the way."""
    return "endedAt" in (rollout.get("status") or {})


def _rivals(rollout: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (one for one in others if has_started(one) and _runtime(one) == _runtime(rollout))


def _runtime(rollout: Mapping[str, Any]) -> object:
    return ((rollout.get("spec") or {}).get("target") or {}).get("runtime")


def _name(rollout: Mapping[str, Any]) -> str:
    return str(rollout["metadata"]["name"])


def _age(rollout: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is greater of a newer one."""
    return rollout["metadata"].get("creationTimestamp") or "", _name(rollout)
