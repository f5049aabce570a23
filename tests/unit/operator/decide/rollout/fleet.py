"""A model of a cluster in which plans are carried out, and what has to hold after every single write.

Deployments, their controller, the Service, the status and the looks at gates each lag behind by any number of
steps. An operator may be killed between any two writes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.unit.operator.builders import NOW
from tests.unit.operator.decide.rollout import rules

from modelservice_operator.decide.rollout.model import (
    Capacity,
    Plan,
    Progress,
    RevisionState,
    RolloutSpec,
    RolloutState,
    Routing,
)
from modelservice_operator.decide.rollout.phases import is_move
from modelservice_operator.decide.rollout.planner import plan
from modelservice_operator.decide.rollout.room.capacity import Shortage, next_capacity
from modelservice_operator.facts.routes import RoutePlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.decide.rollout.model import Phase, Verb

GATEWAY_LAG_SECONDS = 3.0
"""For so long a gateway may go by what it was told before."""
SETTLE_SECONDS = 5.0
NOBODY = "nobody"
"""A Service that does not exist leads to nobody."""


@dataclass
class Pods:
    """The pods of one Deployment, and what its status said of them last."""

    wanted: int = 0
    available: int = 0
    starting: int = 0
    terminating: int = 0
    seen: bool = False
    """Whether the Deployment controller has seen the newest `wanted`."""
    reported: tuple[int, int] = (0, 0)
    created_at: datetime = NOW
    answering_since: float | None = None
    """On the clock of gateways."""

    @property
    def total(self) -> int:
        return self.available + self.starting

    @property
    def answering(self) -> int:
        """Pods that answer, less those that the controller is already told to remove."""
        return min(self.available, self.wanted)

    def sync(self) -> None:
        """The controller creates and removes pods; unavailable ones go first."""
        surplus = self.total - self.wanted
        removed = min(max(surplus, 0), self.starting)
        self.starting += max(-surplus, 0) - removed
        self.available -= max(surplus - removed, 0)
        self.terminating += max(surplus, 0)
        self.seen = True
        self.report()

    def report(self) -> None:
        if self.seen:
            self.reported = (self.total, self.available)

    def become_available(self, pods: int = 1) -> None:
        pods = min(pods, self.starting)
        self.starting -= pods
        self.available += pods
        self.report()

    def fail(self) -> None:
        pods = min(1, self.available)
        self.available -= pods
        self.starting += pods
        self.report()

    def vanish(self) -> None:
        """A node is lost: the controller has not made another pod yet."""
        self.available -= min(1, self.available)
        self.report()


@dataclass
class Fleet:
    """One ModelService with all that belongs to it. `target` is the revision of its spec."""

    spec: RolloutSpec
    target: str = "a"
    now: datetime = NOW
    deployments: dict[str, Pods] = field(default_factory=dict)
    places: int = 1000
    """Pods for which the cluster has room."""
    broken: set[str] = field(default_factory=set)
    """Revisions whose pods never become available."""
    contracts: dict[str, str] = field(default_factory=dict)
    """What a look at a revision's inputs and outputs says; nothing where nobody can look."""

    evaluations: dict[str, str] = field(default_factory=dict)
    """What the evaluation of a revision comes to."""

    written: str | None = NOBODY
    seen: str | None = NOBODY
    """The Service's selector: as it was written, and as clients and the operator see it."""

    route: RoutePlan | None = None
    """What gateways were told last."""
    told: list[tuple[float, RoutePlan]] = field(default_factory=list)
    """What they were told before, and until when, on their own clock."""
    clock: float = 0.0
    recorded_route: RoutePlan | None = None
    told_at: datetime | None = None
    answering: dict[str, datetime] = field(default_factory=dict)
    """What the status says of routes, since when, and since when which revision answers."""

    stable: str | None = None
    progress: Progress | None = None
    aborted: set[str] = field(default_factory=set)
    capacity: Capacity | None = None
    recorded_target: str | None = None
    phase: Phase = "Progressing"
    """Another target, or one that is tried again, begins so."""
    target_since: datetime = NOW
    asked_at: datetime | None = None
    down_since: datetime | None = None

    verb: Verb | None = None
    retries: bool = False

    last: Plan | None = None
    admitted: set[str] = field(default_factory=set)
    created: list[str] = field(default_factory=list)
    """Deployments in the order in which they were made."""
    writes: int = 0
    fuse: int | None = None
    """The operator is killed after so many more writes; None: it lives."""

    # What Kubernetes does

    def sync(self, name: str) -> None:
        self.deployments[name].sync()

    def start(self, name: str, pods: int = 1) -> None:
        if name not in self.broken:
            self.deployments[name].become_available(min(pods, max(0, self._free_places())))

    def fail(self, name: str) -> None:
        self.deployments[name].fail()

    def vanish(self, name: str) -> None:
        self.deployments[name].vanish()

    def stop(self, name: str) -> None:
        """All pods that were told to have ended."""
        self.deployments[name].terminating = 0

    def see(self) -> None:
        """The Service's newest selector gets to clients and to the operator."""
        self.seen = self.written

    def lose_service(self) -> None:
        self.seen = self.written = NOBODY

    def wait(self, seconds: float) -> None:
        for one in self.deployments.values():
            if not one.answering:
                one.answering_since = None
            elif one.answering_since is None:
                one.answering_since = self.clock
        self.now += timedelta(seconds=seconds)
        self.clock += max(0.0, seconds)

    def _free_places(self) -> int:
        return self.places - sum(one.available + one.terminating for one in self.deployments.values())

    def advance(self) -> None:
        """Everything that is on its way arrives, and all that can go well does."""
        for name in list(self.deployments):
            self.sync(name)
            self.stop(name)
        for name in sorted(self.deployments):
            self.start(name, 1000)
        self.see()
        self.look()
        self.evaluate()

    # What the gates say

    def look(self) -> None:
        """Somebody looks at the target's inputs and outputs, if that is asked for."""
        found, progress = self.contracts.get(self.target, "Passed"), self.progress
        if self._is_asked() and self.last and self.last.verifies and progress and found != "Never":
            self.progress = replace(progress, contract=found)  # type: ignore[arg-type]

    def evaluate(self) -> None:
        """The evaluation of the target ends, if one goes on."""
        found, progress = self.evaluations.get(self.target, "Passed"), self.progress
        if self._is_asked() and self.last and self.last.evaluates and progress:
            self.progress = replace(progress, evaluation=found)  # type: ignore[arg-type]

    def measure(self, result: str) -> None:
        """A measurement of the analysis that goes on comes in."""
        run, progress = self.last.measures if self.last else None, self.progress
        if run is None or progress is None or not self._is_asked():
            return
        if progress.run != run:
            progress = replace(progress, run=run, measured=0, failed=0, inconclusive=0)
        count = {"good": "measured", "bad": "failed", "none": "inconclusive"}[result]
        known = getattr(progress, count)
        self.progress = replace(progress, measured_at=self.now, **{count: known + 1})

    def _is_asked(self) -> bool:
        return self.progress is not None and self.progress.revision == self.target

    # What people do

    def head_for(self, target: str) -> None:
        self.target, self.verb, self.retries = target, None, False

    def ask(self, verb: str) -> None:
        is_change = self.stable not in (None, self.target)
        if verb == "abort" and is_change:
            self.aborted.add(self.target)
        elif verb == "retry":
            self.retries = self.stable != self.target and self.target in self.aborted
        elif verb in ("promote", "pause", "resume"):
            self.verb = verb  # type: ignore[assignment]

    # What the operator does

    def observe(self) -> RolloutState:
        states = tuple(
            RevisionState(
                name=name,
                wanted=one.wanted,
                pods=one.reported[0],
                available=one.reported[1],
                terminating=one.terminating,
                settled=one.seen,
            )
            for name, one in self.deployments.items()
        )
        is_new = self.retries or self.recorded_target != self.target
        return RolloutState(
            target=self.target,
            stable=self.stable,
            revisions=states,
            started_at=self._started_at(is_new=is_new),
            aborted=self.target in self.aborted and not self.retries,
            leaving=sum(one.terminating for one in self.deployments.values()),
            asked_at=None if is_new else self.asked_at,
            down_since=self.down_since,
            capacity=None if is_new else self.capacity,
            progress=None if self.retries else self.progress,
            selected=None if self.seen == NOBODY else self.seen,
            has_service=self.seen != NOBODY,
            verb=self.verb,
            routing=self._routing(states),
        )

    def _routing(self, states: tuple[RevisionState, ...]) -> Routing | None:
        if self.route is None:
            return None
        told_for = max(0.0, (self.now - self.told_at).total_seconds()) if self.told_at else math.inf
        answered_for = {
            name: max(0.0, (self.now - at).total_seconds()) for name, at in self.answering.items()
        }
        is_rest = self.route == RoutePlan() and self.recorded_route is None
        is_old = told_for >= SETTLE_SECONDS and self.recorded_route == self.route
        ages = [one for one in (told_for, *answered_for.values()) if one < SETTLE_SECONDS]
        return Routing(
            weights=self.route.weights,
            shown=self.route.shown,
            is_settled=is_rest or is_old,
            settles_in_seconds=SETTLE_SECONDS - max(ages) if ages and self.recorded_route else None,
            steady=frozenset(
                one.name
                for one in states
                if one.serving and answered_for.get(one.name, 0.0) >= SETTLE_SECONDS
            ),
        )

    def _record_route(self) -> None:
        if self.route is None or (self.route == RoutePlan() and len(self.deployments) < 2):
            self.recorded_route, self.told_at, self.answering = None, None, {}
            return
        is_news = (self.recorded_route or RoutePlan()) != self.route
        if is_news or (self.told_at and self.told_at > self.now):
            self.told_at = self.now
        self.recorded_route = self.route
        answering = {name for name, one in self.deployments.items() if min(one.reported[1], one.wanted)}
        self.answering = {name: min(self.answering.get(name, self.now), self.now) for name in answering}

    def in_force(self) -> list[RoutePlan]:
        """Return what gateways may go by now."""
        before = [one for until, one in self.told if self.clock - until < GATEWAY_LAG_SECONDS]
        return [*before, self.route] if self.route else before

    def _started_at(self, *, is_new: bool) -> datetime | None:
        mine = self.deployments.get(self.target)
        if mine is None:
            return None
        is_held = self.last is not None and self.last.held
        return self.now if is_new or is_held else max(mine.created_at, self.target_since)

    def plan(self) -> Plan:
        result = plan(self.spec, self.observe(), self.now)
        assert plan(self.spec, self.observe(), self.now) == result, "the same facts, another plan"
        return result

    def operate(self, *, service_last: bool = False) -> Plan:
        """One reconciliation: plan, write one thing after the other, record; or be killed in between."""
        result = self.plan()
        rules.check_plan(self, result)
        # A selector of its own that it has not seen again is of an earlier life: it is overwritten first.
        is_last = service_last and self.seen == self.written
        for write in [*self._writes(result, service_last=is_last), self.record]:
            if self.fuse == 0:
                self.fuse, self.last = None, None
                return result
            self.fuse = None if self.fuse is None else self.fuse - 1
            self.writes += 1
            before = rules.Answering.of(self)
            write()
            rules.check_pods(self, result, before)
            rules.check_gateways(self, before)
        assert result.phase != "Aborted" or self.target in self.aborted, "its own writes undo an abort"
        self.last = result
        return result

    def _writes(self, result: Plan, *, service_last: bool) -> list[Callable[[], None]]:
        service: list[Callable[[], None]] = []
        if self.written != result.selector:
            service = [partial(self._write_selector, result.selector)]
        changed = [
            partial(self._write_deployment, name, count)
            for name, count in result.replicas.items()
            if name not in self.deployments or self.deployments[name].wanted != count
        ]
        gone = [partial(self._delete, name) for name in self.deployments if name not in result.replicas]
        if result.route != self.route:
            service = [partial(self._write_route, result.route), *service]
        return [*changed, *gone, *service] if service_last else [*service, *changed, *gone]

    def _write_selector(self, selector: str | None) -> None:
        self.written = selector

    def _write_route(self, route: RoutePlan | None) -> None:
        if self.route is not None:
            late = [one for one in self.told if self.clock - one[0] < GATEWAY_LAG_SECONDS]
            self.told = [*late, (self.clock, self.route)]
        self.route = route

    def _write_deployment(self, name: str, count: int) -> None:
        if name not in self.deployments:
            self.deployments[name] = Pods(created_at=self.now)
            self.created.append(name)
        self.deployments[name].wanted = count
        self.deployments[name].seen = False

    def _delete(self, name: str) -> None:
        gone = self.deployments.pop(name)
        assert gone.total + gone.terminating == 0, "a Deployment with pods was dropped"

    def record(self) -> None:
        """Write the status: what follows from the facts after all writes, though nobody has acted on it."""
        result = self.plan()
        if self.retries:
            self.aborted.discard(self.target)
        if self.retries or self.recorded_target != self.target:
            self.target_since, self.asked_at = self.now, None
            self.phase = "Progressing"
        assert is_move(self.phase, result.phase), f"from {self.phase} to {result.phase}"
        self.phase = result.phase
        self.asked_at = self._asked_at(result)
        self.stable, self.recorded_target = result.stable, self.target
        self.progress = _stored(result.progress)
        self.capacity = self._look_for_room(result)
        if result.phase == "Aborted":
            self.aborted.add(self.target)
        self.aborted.discard(self.stable or "")
        answers = any(one.answering for name, one in self.deployments.items() if self.leads(self.seen, name))
        self.down_since = None if answers else self.down_since or self.now
        self.verb, self.retries = None, False
        self._record_route()

    def _asked_at(self, result: Plan) -> datetime | None:
        if not result.is_under_way or result.stable is None:
            return None
        if result.is_tight and (result.waits_for_leaving or not result.replicas.get(self.target)):
            return None
        return self.asked_at or (self.now if result.is_tight else None)

    def _look_for_room(self, result: Plan) -> Capacity | None:
        homeless = 0
        if self.target in self.deployments:
            homeless = self.deployments[self.target].starting - max(0, self._free_places())
        is_waiting = any(one.terminating for one in self.deployments.values())
        shortage = Shortage(homeless, "no GPU") if homeless > 0 and not is_waiting else None
        known = next_capacity(result.capacity, result.probe, shortage, self.now)
        return None if result.phase == "Complete" else known

    @staticmethod
    def leads(selector: str | None, name: str) -> bool:
        return selector in (None, name)

    def reach(self, selector: str | None) -> int:
        """Return the pods that answer clients which are led by this selector."""
        return sum(one.answering for name, one in self.deployments.items() if self.leads(selector, name))

    def occupied(self) -> int:
        """Return the pods that exist or are about to."""
        return sum(max(one.total, one.wanted) for one in self.deployments.values())

    def wanted(self) -> dict[str, int]:
        return {name: one.wanted for name, one in self.deployments.items()}


def _stored(progress: Progress | None) -> Progress | None:
    """Return what the status keeps: no step where there are none."""
    if progress is None or progress.steps_hash:
        return progress
    return replace(progress, index=0, since=None)
