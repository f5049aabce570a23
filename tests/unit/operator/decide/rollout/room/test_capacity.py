"""Changes in a simulated cluster that has room for so many pods and no more, in any order of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.operator.builders import NOW

from modelservice_operator.decide.rollout.model import (
    Capacity,
    Plan,
    Probe,
    RevisionState,
    RolloutSpec,
    RolloutState,
)
from modelservice_operator.decide.rollout.planner import plan
from modelservice_operator.decide.rollout.room.capacity import (
    Shortage,
    next_capacity,
    read_capacity,
    write_capacity,
)
from modelservice_operator.decide.rollout.room.limits import compute_limits, max_unavailable_pods

PROBE = Probe(replicas=3, surplus=2, seconds=30)
SHORT = Shortage(1, "no GPU")


def test_next_capacity_shortage_is_timed_from_when_it_was_first_seen() -> None:
    first = next_capacity(None, PROBE, SHORT, NOW)
    later = next_capacity(first, PROBE, SHORT, NOW + timedelta(seconds=29))

    assert first == later == Capacity(missing=1, short_since=NOW, message="no GPU")


def test_next_capacity_shortage_of_a_time_to_come_begins_now() -> None:
    known = Capacity(missing=1, short_since=NOW + timedelta(days=1), message="no GPU")

    assert next_capacity(known, PROBE, SHORT, NOW) == replace(known, short_since=NOW)


def test_next_capacity_after_the_probe_the_surge_is_what_has_room() -> None:
    known = Capacity(missing=1, short_since=NOW - timedelta(seconds=30))

    assert next_capacity(known, PROBE, SHORT, NOW) == Capacity(
        missing=1, surge=1, replicas=3, decided_at=NOW, message="no GPU"
    )


def test_next_capacity_without_a_shortage_forgets_it_and_keeps_what_was_decided() -> None:
    decided = Capacity(missing=1, surge=0, decided_at=NOW, message="no GPU")

    assert next_capacity(Capacity(missing=1, short_since=NOW), PROBE, None, NOW) is None
    assert next_capacity(decided, None, None, NOW) == replace(decided, missing=0)


def test_capacity_is_read_as_it_was_written_and_for_its_target_only() -> None:
    known = Capacity(missing=2, short_since=NOW, surge=1, replicas=3, decided_at=NOW, message="no GPU")
    status = {"rollout": {"capacity": write_capacity(known, "new")}}

    assert read_capacity(status, "new") == known
    assert read_capacity(status, "other") is None
    assert read_capacity({}, "new") is None


@pytest.mark.parametrize(
    ("spec", "surge", "expected"),
    [
        (RolloutSpec(replicas=2), None, (1, 0, False)),
        (RolloutSpec(replicas=2), 0, (0, 1, True)),
        (RolloutSpec(replicas=1), 0, (0, 0, True)),
        (RolloutSpec(replicas=1, allow_downtime=True), 0, (0, 1, True)),
        (RolloutSpec(replicas=8, max_surge=4, max_unavailable=2), 1, (1, 2, True)),
        (RolloutSpec(replicas=8, max_surge=4, max_unavailable=2), 0, (0, 2, True)),
        (RolloutSpec(replicas=2, max_surge=0, max_unavailable=1), None, (0, 1, True)),
        (RolloutSpec(replicas=3, strategy="Recreate"), 0, (0, 3, True)),
    ],
)
def test_compute_limits(spec: RolloutSpec, surge: int | None, expected: tuple[int, int, bool]) -> None:
    assert compute_limits(spec, Capacity(surge=surge))[:3] == expected


@dataclass(eq=False)
class Pod:
    """It has a place or waits for one; one that leaves holds its place until it is gone."""

    revision: str
    placed: bool = False
    available: bool = False
    leaving: bool = False


@dataclass
class Cluster:
    """Room for `places` pods; Deployments that look at their pods now and then; a status; a clock."""

    places: int
    pods: list[Pod] = field(default_factory=list)
    wanted: dict[str, int] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    reported: dict[str, tuple[int, int]] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    now: datetime = NOW
    target: str = "a"
    stable: str | None = None
    aborted: bool = False

    def of(self, revision: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.revision == revision and not pod.leaving]

    def available(self) -> int:
        """Pods that answer and stay when the Deployments have been looked at."""
        return sum(
            min(sum(pod.available for pod in self.of(name)), count) for name, count in self.wanted.items()
        )

    def homeless(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.placed]

    # What Kubernetes does

    def sync(self, name: str) -> None:
        """Pods are made, or told to stop, those without a place first."""
        mine = sorted(self.of(name), key=lambda pod: (pod.placed, pod.available))
        for pod in mine[: max(0, len(mine) - self.wanted[name])]:
            pod.leaving, pod.available = True, False
            if not pod.placed:
                self.pods.remove(pod)
        self.pods += [Pod(name) for _ in range(self.wanted[name] - len(mine))]
        self.unseen.discard(name)
        self.report(name)

    def report(self, name: str) -> None:
        if name in self.wanted and name not in self.unseen:
            self.reported[name] = (len(self.of(name)), sum(pod.available for pod in self.of(name)))

    def schedule(self, _name: str = "") -> None:
        for pod in self.homeless():
            pod.placed = sum(one.placed for one in self.pods) < self.places

    def start(self, name: str) -> None:
        for pod in self.of(name):
            pod.available = pod.placed
        self.report(name)

    def fail(self, name: str) -> None:
        for pod in self.of(name)[:1]:
            pod.available = False
        self.report(name)

    def stop(self, _name: str = "") -> None:
        self.pods = [pod for pod in self.pods if not pod.leaving]

    def wait(self, _name: str = "") -> None:
        self.now += timedelta(seconds=20)

    # What people and the operator do

    def head_for(self, target: str) -> None:
        self.target, self.aborted = target, self.aborted and target == self.target

    def give_up(self, _name: str = "") -> None:
        self.aborted = self.stable not in (None, self.target)

    def observe(self) -> RolloutState:
        states = []
        for name, wanted in self.wanted.items():
            pods, available = self.reported.get(name, (0, 0))
            leaving = sum(pod.leaving for pod in self.pods if pod.revision == name)
            states.append(
                RevisionState(
                    name=name,
                    wanted=wanted,
                    pods=pods,
                    available=available,
                    terminating=leaving,
                    settled=name not in self.unseen,
                )
            )
        return RolloutState(
            target=self.target,
            stable=self.stable,
            revisions=tuple(states),
            leaving=sum(pod.leaving for pod in self.pods),
            aborted=self.aborted,
            capacity=read_capacity(self.status, self.target),
        )

    def operate(self, spec: RolloutSpec) -> Plan:
        """One reconciliation: plan, write, look at the pods, record."""
        result = plan(spec, self.observe(), self.now)
        assert plan(spec, self.observe(), self.now) == result
        before, asked_for = self.available(), sum(self.wanted.values())
        self._carry_out(dict(result.replicas))
        if len(self.wanted) > 1 and sum(self.wanted.values()) > asked_for:
            self._check_places(spec, result)
        assert self.available() >= min(before, _least(spec)), "available pods were taken away"
        self.stable = result.stable
        self._record(plan(spec, self.observe(), self.now))
        return result

    def _carry_out(self, replicas: dict[str, int]) -> None:
        for name in set(self.wanted) - set(replicas):
            assert not [pod for pod in self.pods if pod.revision == name], "pods without a Deployment"
            del self.wanted[name]
        for name, count in replicas.items():
            if self.wanted.get(name) != count:
                self.wanted[name] = count
                self.unseen.add(name)

    def _check_places(self, spec: RolloutSpec, result: Plan) -> None:
        """Where there is no room, a pod is asked for only when there is a place."""
        limits = compute_limits(spec, result.capacity)
        held = sum(pod.leaving for pod in self.pods) + sum(self.wanted.values())
        assert not limits.is_tight or held <= spec.replicas + limits.surge, "no place yet"
        goal = next(iter(result.weights))
        others = [pod for pod in self.pods if pod.revision != goal]
        assert not limits.at_once or not others, "pods of two revisions"

    def _record(self, result: Plan) -> None:
        missing = len([pod for pod in self.homeless() if pod.revision == self.target])
        waits = result.probe is not None and any(pod.leaving for pod in self.pods)
        shortage = Shortage(missing, "no GPU") if missing and not waits else None
        known = next_capacity(result.capacity, result.probe, shortage, self.now)
        if known is None or result.phase == "Complete":
            self.status = {}
        else:
            self.status = {"rollout": {"capacity": write_capacity(known, self.target)}}


def _least(spec: RolloutSpec) -> int:
    """The pods that have to be available, whatever was found out about room."""
    if spec.strategy == "Recreate":
        return 0
    one_may_go = spec.replicas > 1 or spec.allow_downtime
    return spec.replicas - max(max_unavailable_pods(spec), int(one_may_go))


NAMES = ("a", "b", "c")
KUBERNETES = {
    "sync": Cluster.sync,
    "schedule": Cluster.schedule,
    "start": Cluster.start,
    "fail": Cluster.fail,
    "stop": Cluster.stop,
    "wait": Cluster.wait,
    "give up": Cluster.give_up,
}
EVENTS = st.lists(
    st.tuples(st.sampled_from([*KUBERNETES, "operate", "operate", "scale", "target"]), st.integers(0, 4)),
    max_size=60,
)
SPECS = st.builds(
    RolloutSpec,
    replicas=st.integers(0, 4),
    strategy=st.sampled_from(["RollingUpdate", "RollingUpdate", "Recreate"]),
    max_surge=st.sampled_from([0, 1, 2, "100%"]),
    max_unavailable=st.sampled_from([0, 0, 1]),
    allow_downtime=st.booleans(),
)


@settings(max_examples=200)
@given(SPECS, st.integers(1, 6), EVENTS)
def test_change_with_little_room_keeps_the_limits_ends_and_leaves_nothing_that_waits(
    spec: RolloutSpec, places: int, events: list[tuple[str, int]]
) -> None:
    cluster = Cluster(places)
    for event, number in events:
        name = NAMES[number % len(NAMES)]
        if event == "operate":
            cluster.operate(spec)
        elif event == "scale":
            spec = replace(spec, replicas=number)
        elif event == "target":
            cluster.head_for(name)
        elif name in cluster.wanted:
            KUBERNETES[event](cluster, name)
    spec = replace(spec, replicas=min(spec.replicas, places))
    for _ in range(100):
        if _is_over(cluster, spec):
            return
    pytest.fail(f"no end: {cluster}")


def _is_over(cluster: Cluster, spec: RolloutSpec) -> bool:
    """Let everything go well for a moment; whether the change is complete, or held for want of room."""
    result = cluster.operate(spec)
    for name in list(cluster.wanted):
        cluster.sync(name)
    cluster.operate(spec)
    cluster.stop()
    cluster.schedule()
    for name in list(cluster.wanted):
        cluster.start(name)
    cluster.wait()
    if result.phase == "Aborted":
        assert cluster.stable is not None
        is_refilled = cluster.wanted == {cluster.stable: spec.replicas}
        return is_refilled and cluster.available() == spec.replicas
    if cluster.stable == cluster.target and cluster.wanted == {cluster.target: spec.replicas}:
        return not cluster.homeless()
    if not result.held:
        return False
    assert spec.replicas == cluster.places == 1
    assert not spec.allow_downtime
    assert cluster.available() == 1
    return not cluster.homeless()
