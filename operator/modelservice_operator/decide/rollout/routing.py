"""Weights as a gateway splits requests: exactly, whatever the pods. Pure.

A gateway sends a revision its share whether or not anything answers there, and it hears of changes late. So
a weight rises only as far as the pods that answer can carry it, from 0 only where they have answered for
long enough to be known; and pods go only when the weight that they had has been taken from them for as long.

While nothing is shared, routes lead to the Service as everybody does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from modelservice_operator.decide.rollout import steps
from modelservice_operator.decide.rollout.model import Routing
from modelservice_operator.decide.rollout.traffic import percentages
from modelservice_operator.facts.routes import RoutePlan

if TYPE_CHECKING:
    from modelservice_operator.decide.rollout.course import Course
    from modelservice_operator.decide.rollout.model import RevisionState, RolloutSpec, RolloutState

SETTLE_SECONDS = 5.0
"""After so long a gateway goes by what it was told: Traefik waits for up to 2 seconds before it takes in
what changed. Times are kept in whole seconds, so it may be one less."""


def plan_route(spec: RolloutSpec, observed: RolloutState, course: Course, needed: int) -> RoutePlan | None:
    """Return whom requests through a gateway shall go to, None where no gateway leads here.

    `needed` is the number of pods that have to answer: together they carry everything.
    """
    if not spec.is_routed:
        return None
    if course.stable != observed.stable and observed.routing is not None:
        # The change is complete by what gateways are told: that is recorded before they are told more.
        return as_told(observed.routing)
    # Pods that are missing anyway are not waited for.
    here = sum(one.serving for one in observed.revisions)
    split = _Split(observed=observed, course=course, needed=max(1, min(needed, here)))
    weights = split.weights() if _is_shared(spec, observed, course) else None
    return RoutePlan(weights=weights, shown=observed.target if _is_shown(spec, observed, course) else None)


def as_told(routing: Routing) -> RoutePlan:
    """Return what leaves everything as gateways were told."""
    return RoutePlan(weights=routing.weights, shown=routing.shown)


def least_pods(
    observed: RolloutState, course: Course, route: RoutePlan | None, needed: int
) -> dict[str, int]:
    """Return the pods of each revision that have to stay for the requests that a gateway sends there."""
    routing = observed.routing
    if routing is None or (routing.weights is None and routing.shown is None and routing.is_settled):
        return {}
    answering = {one.name for one in observed.revisions if one.serving}
    return {
        one.name: _least(one, routing, course, route, max(1, needed))
        for one in observed.revisions
        # Where nothing has to answer, the only one that does may go.
        if needed > 0 or answering - {one.name}
    }


def _is_shared(spec: RolloutSpec, observed: RolloutState, course: Course) -> bool:
    """Whether requests are split by weights, or have to be kept from pods that go."""
    if spec.strategy != "Canary" or course.stable is None or spec.replicas == 0:
        return False
    is_change = course.phase not in ("Complete", "Aborted")
    return is_change or any(one.occupied for one in observed.revisions if one.name != course.stable)


def _is_shown(spec: RolloutSpec, observed: RolloutState, course: Course) -> bool:
    """Whether testers and copies of requests go to the target."""
    target, routing = observed.state(observed.target), observed.routing or Routing()
    return (
        spec.is_shown
        and spec.strategy in ("Canary", "BlueGreen")
        and course.phase not in ("Complete", "Aborted")
        and course.stable not in (None, observed.target)
        and target.serving > 0
        and course.shares.get(target.name, 0) > 0
        and (target.name in routing.steady or routing.shown == target.name)
        and steps.is_admitted(spec, observed, course.progress)
    )


def _carries(pods: int, needed: int) -> int:
    """Return the percentage that so many pods may carry."""
    return min(100, -(-100 * pods // needed))


def _pods_for(weight: int, needed: int) -> int:
    """Return the fewest pods that may carry a percentage."""
    return (weight - 1) * needed // 100 + 1 if weight else 0


def _least(one: RevisionState, routing: Routing, course: Course, route: RoutePlan | None, needed: int) -> int:
    if not routing.is_settled:
        return one.serving
    weight = (routing.weights or {}).get(one.name, 0)
    if not weight:
        return 1 if routing.shown == one.name else 0
    wanted = ((route.weights if route else None) or {}).get(one.name, 0)
    enough = _pods_for(weight, needed)
    return max(1, min(enough, course.shares.get(one.name, 0)) if weight <= wanted else enough)


class _Split(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of a moment."""

    observed: RolloutState
    course: Course
    needed: int

    @property
    def _routing(self) -> Routing:
        return self.observed.routing or Routing()

    def weights(self) -> dict[str, int]:
        """Return the percentages, of every revision that has pods or shall have some."""
        stable, target = self.course.stable or "", self.observed.target
        wanted = self._wanted(stable, target)
        given = {name: min(weight, self._most(name)) for name, weight in wanted.items()}
        others = sorted(one.name for one in self.observed.revisions if one.name not in wanted)
        for name in (stable, *others, target):
            left = 100 - sum(given.values())
            given[name] = given.get(name, 0) + max(0, min(left, self._most(name) - given.get(name, 0)))
        shares = percentages({name: weight for name, weight in given.items() if weight})
        return {name: shares.get(name, 0) for name in given} if shares else {**given, stable: 100}

    def _wanted(self, stable: str, target: str) -> dict[str, int]:
        """Return what the step that goes on asks for; a revision that shall have no pod gets nothing."""
        if stable == target:
            return {target: 100}
        weight = self.course.weight if self.course.goal is None else 100 * (self.course.goal == target)
        if weight == 100 and self.course.goal is None and self.course.progress.paused == "Requested":
            weight = (self._routing.weights or {}).get(target, 0)
        if not self.course.shares.get(target):
            weight = 0
        elif not self.course.shares.get(stable):
            weight = 100
        return {target: weight, stable: 100 - weight}

    def _most(self, name: str) -> int:
        """Return the percentage that a revision may get now."""
        state = self.observed.state(name)
        share = self.course.shares.get(name, 0)
        carried = 100 if 0 < share <= state.serving else _carries(state.serving, self.needed)
        # What it has already it may keep: where its pods fail, no more goes to one that is being tried.
        has = (self._routing.weights or {}).get(name, 0)
        return min(max(carried, has), self._allowed(state)) if state.serving else 0

    def _allowed(self, state: RevisionState) -> int:
        """Return the percentage that a revision may get, were there pods enough."""
        name, routing = state.name, self._routing
        if routing.weights is None:
            has = 100 if self.observed.leads_to(name) else 0
        else:
            has = routing.weights.get(name, 0)
        if name == self.course.stable or (name == self.observed.target and self._may_rise()):
            is_known = has > 0 or name in routing.steady or not self._answers(routing)
            return 100 if is_known else 0
        return has

    def _may_rise(self) -> bool:
        """Whether the target may get requests."""
        return self.course.phase not in ("Complete", "Aborted") and self.course.is_admitted

    def _answers(self, routing: Routing) -> bool:
        """Whether any of those answers to whom gateways send requests."""
        return any(
            self.observed.state(name).serving for name, weight in (routing.weights or {}).items() if weight
        )
