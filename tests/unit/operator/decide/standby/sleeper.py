"""A fleet that may sleep, with activators that come, listen and go, and what has to hold after every write.

Nodes take a change of the slice in up to a second after it was written; the status is written last, or never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.unit.operator.decide.rollout import rules

from modelservice_operator.decide.standby.switch import (
    TAKEN_IN_SECONDS,
    Switch,
    SwitchState,
    next_switch,
)
from modelservice_operator.facts.endpoints import Endpoint, Slice

if TYPE_CHECKING:
    from datetime import datetime

    from tests.unit.operator.decide.rollout.fleet import Fleet

PORTS = {"http": 20000, "grpc": 20001}


def make_activator(name: str) -> Endpoint:
    return Endpoint(address=f"10.0.0.{ord(name)}", pod=name, pod_uid=f"uid-{name}")


@dataclass
class Sleeper:
    """One ModelService that may sleep: its fleet, its slice, and the activators of the cluster."""

    fleet: Fleet
    wanted: int = 1
    may_sleep: bool = True
    has_activator: bool = True
    ready: set[str] = field(default_factory=lambda: {"a", "b"})
    """Activators that are ready."""
    deaf: set[str] = field(default_factory=set)
    """Activators that never listen for the service."""
    said_yes: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    listens: set[str] = field(default_factory=set)
    """Activators that do listen for the service."""

    slice: Slice | None = None
    clock: float = 0.0
    """Seconds that have passed, whatever the operator's clock says."""
    ready_since: dict[str, float] = field(default_factory=dict)
    """Addresses that the slice has made ready, and since when it has without a break."""
    standby_since: datetime | None = None
    woken_at: datetime | None = None
    last: Switch | None = None

    # What activators do

    def come(self, name: str) -> None:
        """One is ready: it listens on all ports that it has read of by then."""
        self.ready.add(name)
        if self.slice is not None and name not in self.deaf:
            self.listens.add(name)

    def go(self, name: str) -> None:
        self.ready.discard(name)
        self.listens.discard(name)
        self.said_yes.discard(name)
        self.silent.discard(name)

    def answer(self, name: str) -> None:
        """One that is asked says that it listens; or it has said nothing for so long that it is silent."""
        if name not in self.asked or name not in self.ready:
            return
        if name in self.deaf:
            self.silent.add(name)
        else:
            self.listens.add(name)
            self.said_yes.add(name)
            self.silent.discard(name)

    def wait(self, seconds: float) -> None:
        """Time passes; where it would be less than none, the operator's clock is put back."""
        self.fleet.wait(seconds)
        self.clock += max(0.0, seconds)

    # What people and engines do

    def scale(self, replicas: int) -> None:
        self.wanted = replicas

    # What the operator does

    def state(self) -> SwitchState:
        states = self.fleet.observe().revisions
        return SwitchState(
            may_sleep=self.may_sleep,
            wanted=self.wanted,
            runs=any(one.wanted for one in states),
            answers=any(one.available for one in states),
            is_led=self.fleet.reach(self.fleet.seen) > 0,
            activators=tuple(map(make_activator, sorted(self.ready))) if self.has_activator else None,
            ports=PORTS,
            slice=self.slice,
            listening=frozenset(make_activator(name).address for name in self.said_yes),
            silent=frozenset(make_activator(name).address for name in self.silent),
            standby_since=self.standby_since,
            woken_at=self.woken_at,
        )

    def operate(self, fuse: int | None = None) -> Switch:
        """One reconciliation: the slice, the Deployments and the Service, the status; killed after `fuse`."""
        switch = next_switch(self.state(), self.fleet.now)
        assert switch == next_switch(self.state(), self.fleet.now), "the same facts, another step"
        assert not switch.looks or switch.phase == "Waking"
        self.fleet.spec = replace(self.fleet.spec, replicas=max(self.wanted, switch.floor))
        if switch.slice != self.slice:
            if fuse == 0:
                return self._restart(switch)
            fuse = None if fuse is None else fuse - 1
            self._write_slice(switch)
        had_pods = self.fleet.reach(self.fleet.seen) > 0
        before = self.fleet.writes
        self.fleet.fuse = fuse
        self.fleet.operate()
        is_killed = fuse is not None and self.fleet.fuse is None
        self.fleet.fuse = None
        has_pods = self.fleet.reach(self.fleet.seen) > 0
        if had_pods and not has_pods and self.fleet.spec.replicas == 0 and self.may_sleep:
            rules.check_covered(self)
        if is_killed or (fuse is not None and fuse - (self.fleet.writes - before) <= 0):
            return self._restart(switch)
        self.record()
        return switch

    def work(self) -> None:
        """Reconcile, hear what was asked, reconcile again."""
        self.operate()
        for name in sorted(self.ready):
            self.answer(name)
        self.operate()

    def record(self) -> None:
        """Write the status, by what is there after the writes; ask what the decision wants to know."""
        fresh = next_switch(self.state(), self.fleet.now)
        self.standby_since, self.woken_at = fresh.standby_since, fresh.woken_at
        self.asked = {str(one.pod) for one in fresh.asks}
        self.said_yes &= self.ready
        if fresh.phase == "Awake" or (not fresh.asks and fresh.standby_since is not None):
            self.said_yes, self.silent = set(), set()
        self.last = fresh

    def _restart(self, switch: Switch) -> Switch:
        """The operator forgets what it has heard."""
        self.said_yes, self.silent, self.asked, self.last = set(), set(), set(), None
        return switch

    def _write_slice(self, switch: Switch) -> None:
        was_ready = bool(self.ready_since)
        found = {one.address for one in switch.slice.endpoints if one.ready} if switch.slice else set()
        self.slice = switch.slice
        self.ready_since = {one: self.ready_since.get(one, self.clock) for one in found}
        if was_ready and not found:
            rules.check_led_again(self)

    def is_covered(self) -> bool:
        """Whether nodes lead clients to an activator that listens, since the slice has said so for long."""
        return any(
            self.clock - self.ready_since.get(make_activator(name).address, self.clock) >= TAKEN_IN_SECONDS
            for name in self.listens
        )
