"""From the pods that are there to those that each revision shall have, as fast as limits allow. Pure.

Each revision has its own Deployment, so this replaces the Deployment controller's arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.rollout.model import Capacity, RevisionState, RolloutState
    from modelservice_operator.decide.rollout.room.limits import Limits
    from modelservice_operator.decide.rollout.traffic import Reach


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pods shall go.

    `shares` are the pods that each revision shall have in the end, 0 for those that are not named. `goal` is
    the one revision that is to have them all, None where several share. `capacity` is what is known about
    room for pods of the target. `least` are the pods that have to stay for what gateways send there.
    """

    replicas: int
    shares: Mapping[str, int]
    goal: str | None
    limits: Limits
    reach: Reach
    capacity: Capacity | None
    least: Mapping[str, int] = msgspec.field(default_factory=dict)

    @property
    def observed(self) -> RolloutState:
        """What the step is made from."""
        return self.reach.observed

    def share(self, name: str) -> int:
        """Return the pods that a revision shall have in the end."""
        return self.shares.get(name, 0)

    def is_made(self) -> bool:
        """Whether all that shall have pods have a Deployment: one that cannot be made costs no pod."""
        return all(self.observed.has(name) for name, share in self.shares.items() if share)


def next_replicas(aim: Aim) -> tuple[dict[str, int], bool]:
    """Return the replicas of each revision, and whether pods that are being stopped delay new ones."""
    observed, limits = aim.observed, aim.limits
    names = [one.name for one in observed.revisions]
    new = sorted((name for name in aim.shares if name not in names), key=lambda name: not aim.share(name))
    states = [observed.state(name) for name in (*names, *new)]
    replicas = _scale_down(aim, states)
    room = aim.replicas + limits.surge - sum(one.occupied for one in states)
    if room < 0:
        target = observed.state(observed.target)
        taken_back = min(-room, _without_room(aim, target))
        if target.name in replicas:
            replicas[target.name] = min(replicas[target.name], target.wanted - taken_back)
        return replicas, False
    return replicas, _scale_up(aim, states, replicas, room)


def _scale_up(aim: Aim, states: list[RevisionState], replicas: dict[str, int], room: int) -> bool:
    """Add pods as far as there is room; whether pods that are being stopped hold some of them up.

    What is proven comes first: the target last.
    """
    waits = False
    for state in sorted(states, key=lambda one: (one.name == aim.observed.target, one.name)):
        missing = min(room, aim.share(state.name) - state.wanted)
        if missing <= 0:
            continue
        added = min(missing, _free_room(aim, states, state.name, room))
        replicas[state.name] = state.wanted + added
        room -= added
        waits = waits or (added < missing and aim.observed.leaving != 0)
    return waits


def _without_room(aim: Aim, target: RevisionState) -> int:
    """Return the pods of the target that find no room, once it is decided to do without them."""
    capacity = aim.capacity
    if capacity is None or capacity.surge is None or not aim.share(target.name):
        return 0
    return min(capacity.missing, target.wanted - target.serving)


def _free_room(aim: Aim, states: list[RevisionState], name: str, room: int) -> int:
    """Return how much of the room is free now; without a rollout a lost pod is replaced at once."""
    others = [one for one in states if one.name != name and aim.observed.has(one.name)]
    if not others or not aim.limits.is_tight:
        return room
    leaving = room if aim.observed.leaving is None else aim.observed.leaving
    if aim.limits.at_once:
        return 0 if leaving or any(one.occupied for one in others) else room
    return max(0, room - leaving)


def _scale_down(aim: Aim, states: list[RevisionState]) -> dict[str, int]:
    """Return the replicas without the pods that can go: broken ones first, then those that can be spared."""
    limits, reach, observed = aim.limits, aim.reach, aim.observed
    is_made = aim.is_made()
    needed = aim.replicas - (limits.unavailable if is_made else 0)
    # One that is not settled may have a pod that became available since: nobody has counted it yet.
    broken = {one.name: one.wanted - one.serving if one.settled else 0 for one in states}
    # Only stable's broken pods may be worth waiting for: they served once.
    worth_waiting = broken.get(observed.stable or "", 0) if observed.stable != aim.goal else 0
    serving = reach.serving()
    spare_broken = max(0, serving + worth_waiting - needed)
    spare_serving = max(0, serving - needed) if all(one.settled for one in states) else 0
    replicas = {}
    for state in _in_order_of_removal(observed, states):
        excess = max(0, state.wanted - aim.share(state.name))
        if state.name == aim.goal or (limits.at_once and is_made):
            replicas[state.name] = state.wanted - excess
            continue
        if limits.at_once:
            replicas[state.name] = state.wanted
            continue
        is_proven = state.name == observed.stable
        drop = min(excess, broken[state.name], spare_broken) if is_proven else min(excess, broken[state.name])
        # Where broken pods are worth waiting for, spare_serving is 0: ReplicaSets remove those first.
        spare = max(0, min(_spare(reach, state, spare_serving), state.serving - aim.least.get(state.name, 0)))
        drop_serving = min(state.serving, excess - drop, spare)
        if reach.counts(state.name):
            spare_serving -= drop_serving
        replicas[state.name] = state.wanted - drop - drop_serving
    return replicas


def _spare(reach: Reach, state: RevisionState, spare_serving: int) -> int:
    """Return how many pods that answer can go: those that clients are about to find, or to leave, stay."""
    if reach.counts(state.name):
        return spare_serving
    return state.serving if reach.is_free(state.name) else 0


def _in_order_of_removal(observed: RolloutState, states: list[RevisionState]) -> list[RevisionState]:
    """Revisions in between first, then the target, then stable: it is proven, so it goes last."""
    rank = {observed.target: 1, observed.stable: 2}
    return sorted(states, key=lambda one: (rank.get(one.name, 0), one.name))
