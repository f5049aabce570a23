"""A service whose pods queue requests and start slowly, steered by the algorithm; time is simulated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Decision, Look
from modelservice_autoscaler.algorithm.load import Load, Sample, TextLoad
from modelservice_autoscaler.algorithm.state import EMPTY, State, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_autoscaler.algorithm.spec import AutoscalerSpec

BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STEP_SECONDS = 0.1
SECONDS_EACH = 0.1
"""How long a request runs."""
TOKENS_EACH = 100.0
"""Of a request, be it waiting or running."""


@dataclass
class Pod:
    """A server with `slots` places: what finds none waits in the queue."""

    ready_seconds: float
    slots: int = 8
    waiting: float = 0.0
    running: float = 0.0
    in_flight_seconds: float = 0.0
    requests: float = 0.0
    cpu_seconds: float = 0.0
    queue: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def serve(self, arriving: float) -> None:
        """Let `arriving` requests come within one step."""
        room = self.slots * STEP_SECONDS / SECONDS_EACH
        done = min(self.waiting + arriving, room)
        self.waiting += arriving - done
        self.running = running = done * SECONDS_EACH / STEP_SECONDS
        waited = self.waiting / (self.slots / SECONDS_EACH)
        self.queue[sum(waited > bound for bound in BOUNDS)] += round(done)
        self.in_flight_seconds += (self.waiting + running) * STEP_SECONDS
        self.requests += done
        self.cpu_seconds += running / self.slots * STEP_SECONDS

    def load(self, now: float) -> Load:
        return Load(
            uptime_seconds=now - self.ready_seconds,
            running=round(self.running),
            waiting=round(self.waiting),
            in_flight_seconds=self.in_flight_seconds,
            requests=self.requests,
            cpu_seconds=self.cpu_seconds,
            memory_bytes=2**30,
            queue_bounds_seconds=BOUNDS,
            queue_counts=tuple(self.queue),
            texts=TextLoad(
                TOKENS_EACH * (round(self.running) + round(self.waiting)),
                min(self.running / self.slots, 1.0),
                self.slots,
            ),
        )


@dataclass
class Fleet:
    """Pods of a service under a load of `rate(now)` requests a second."""

    spec: AutoscalerSpec
    rate: Callable[[float], float]
    replicas: int = 1
    start_seconds: float = 5.0
    look_every_seconds: float = 1.0
    slots: int = 8
    now: float = 0.0
    state: State = EMPTY
    pods: dict[str, Pod] = field(default_factory=dict)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    served: float = 0.0

    def __post_init__(self) -> None:
        self.pods = {f"first-{index}": Pod(0.0, self.slots) for index in range(self.replicas)}

    def run(self, seconds: float) -> None:
        """Let time go by."""
        steps_a_look = round(self.look_every_seconds / STEP_SECONDS)
        for step in range(round(seconds / STEP_SECONDS)):
            if step % steps_a_look == 0:
                self.look()
            self.serve()
            self.now = round(self.now + STEP_SECONDS, 6)

    def serve(self) -> None:
        ready = self.ready()
        for pod in ready.values():
            pod.serve(self.rate(self.now) * STEP_SECONDS / len(ready))

    def ready(self) -> dict[str, Pod]:
        return {uid: pod for uid, pod in self.pods.items() if pod.ready_seconds <= self.now}

    def look(self) -> None:
        pods = {uid: Sample(self.now, pod.load(self.now)) for uid, pod in self.ready().items()}
        decision = decide(self.spec, Look(self.replicas, pods), self.state, self.now)
        self.state = decision.state
        self.decisions.append((self.now, decision))
        if decision.desired != self.replicas:
            self.state = scaled(self.state, self.replicas, decision.desired, self.now)
            self.scale(decision.desired)

    def scale(self, replicas: int) -> None:
        for index in range(self.replicas, replicas):
            self.pods[f"{self.now}-{index}"] = Pod(self.now + self.start_seconds, self.slots)
        newest_first = sorted(self.pods, key=lambda uid: -self.pods[uid].ready_seconds)
        for uid in newest_first[: max(self.replicas - replicas, 0)]:
            gone = self.pods.pop(uid)
            others = list(self.ready().values())
            for other in others:
                other.waiting += gone.waiting / len(others)
        self.replicas = replicas

    @property
    def course(self) -> list[tuple[float, int]]:
        """When it was scaled, and to how many."""
        return [(now, one.desired) for now, one in self.decisions if one.desired != one.replicas]

    @property
    def turns(self) -> int:
        """How often the direction changed."""
        signs = [one.desired > one.replicas for _, one in self.decisions if one.desired != one.replicas]
        return sum(before != after for before, after in itertools.pairwise(signs))
