"""Pods with a load that does not change, played to the algorithm second by second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Look
from modelservice_autoscaler.algorithm.load import GpuLoad, Load, Sample
from modelservice_autoscaler.algorithm.spec import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    AutoscalerSpec,
    Policy,
    Rules,
    Signal,
)
from modelservice_autoscaler.algorithm.state import EMPTY, State, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_autoscaler.algorithm.decision import Decision

CONCURRENCY = Signal("Concurrency", 8.0)
FREE = Rules((Policy("Percent", 10_000, 1),), policies_are_default=False)
"""Lets every change through at once."""


def make_spec(
    *signals: Signal, least: int = 1, most: int = 100, up: Rules = DEFAULT_UP, down: Rules = DEFAULT_DOWN
) -> AutoscalerSpec:
    return AutoscalerSpec(least, most, signals or (CONCURRENCY,), up, down)


def make_load(**fields: object) -> Load:
    """A server that has done nothing for 100 s, but for what is said."""
    rest = Load(
        uptime_seconds=100.0,
        running=0,
        waiting=0,
        in_flight_seconds=0.0,
        requests=0.0,
        cpu_seconds=0.0,
        memory_bytes=2**30,
    )
    return Load(**{name: fields.get(name, getattr(rest, name)) for name in Load.__slots__})  # type: ignore[arg-type]


@dataclass
class Player:
    """A service whose pods' loads are set from outside; `/scale` follows every decision."""

    spec: AutoscalerSpec
    replicas: int
    now: float = 1000.0
    state: State = EMPTY
    follows: bool = True
    counters: dict[str, Load] = field(default_factory=dict)
    gpus: tuple[GpuLoad, ...] = ()
    asked: dict[str, Sample | None] = field(default_factory=dict)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)

    def play(self, pods: Mapping[str, float | None], seconds: float, every: float = 1.0) -> Decision:
        """Let every pod have so many requests in flight (None: it does not answer), and look."""
        for _ in range(round(seconds / every)):
            self.look(pods)
            self.now += every
            for uid, value in pods.items():
                self._work(uid, value or 0.0, every)
        return self.look(pods)

    def look(self, pods: Mapping[str, float | None]) -> Decision:
        for uid, value in pods.items():
            if value is not None:
                load = self.counters.setdefault(uid, make_load(running=round(value)))
                self.asked[uid] = Sample(self.now, load)
        look = Look(self.replicas, {uid: self.asked.get(uid) for uid in pods})
        decision = decide(self.spec, look, self.state, self.now)
        self.state = decision.state
        self.decisions.append((self.now, decision))
        if self.follows and decision.desired != self.replicas:
            self.state = scaled(self.state, self.replicas, decision.desired, self.now)
            self.replicas = decision.desired
        return decision

    def _work(self, uid: str, in_flight: float, seconds: float) -> None:
        before = self.counters.setdefault(uid, make_load())
        self.counters[uid] = make_load(
            uptime_seconds=before.uptime_seconds + seconds,
            running=round(in_flight),
            in_flight_seconds=before.in_flight_seconds + in_flight * seconds,
            requests=before.requests + 10 * in_flight * seconds,
            gpus=self.gpus,
        )


def pods_with(*values: float | None) -> dict[str, float | None]:
    return {f"pod-{index}": value for index, value in enumerate(values)}
