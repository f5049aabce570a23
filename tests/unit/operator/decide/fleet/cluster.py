"""A cluster of services for runs of RuntimeRollouts: what becomes of each is up to the test.

Every look begins with what the status says, as text: nothing else is remembered, so each of them may be the
first of an operator that has just started. The rules that must hold always are checked at each look.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.unit.operator.builders import make_runtime

from modelservice_operator.api import RuntimeRolloutSpec, RuntimeRolloutStatus, parse_runtime_rollout
from modelservice_operator.cache.fleet import FleetBook
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.decide.fleet.decide import Fleet, FleetDecision, decide_fleet
from modelservice_operator.decide.fleet.record import read_run, read_spec
from modelservice_operator.decide.fleet.seeing import read_seen
from modelservice_operator.explain.fleet import compute_fleet_status
from modelservice_operator.facts.fleet import (
    FAILED,
    ON_THE_WAY,
    OVER,
    Assignment,
    State,
)
from modelservice_operator.facts.labels import API_VERSION, FLEET_ACTION
from modelservice_operator.facts.maintenance import WindowError, opening, parse_window

if TYPE_CHECKING:
    from modelservice_operator.decide.fleet.model import Run, Seen

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
OLD, NEW, NEWEST, OTHER = (f"registry.example/onnx:{tag}" for tag in ("1", "2", "3", "other"))
Object = dict[str, Any]

LEGAL = {
    State.PENDING: {*State} - {State.FAILED, State.RETURNED, State.RETURNING} - FAILED,
    State.MOVING: {*State} - {State.PENDING, State.BROKEN},
    State.UPDATED: {State.RETURNING, State.RETURNED, State.DROPPED, State.ELSEWHERE, State.PINNED},
    State.FAILED: {State.FAILED_RETURNING, State.FAILED_RETURNED, State.STRANDED},
    State.RETURNING: {State.RETURNED, State.STRANDED, State.DROPPED, State.ELSEWHERE, State.PINNED},
    State.FAILED_RETURNING: {State.FAILED_RETURNED, State.STRANDED},
}
"""What a state may become in one look; all others are for ever, and whoever failed has failed."""


@dataclass
class Service:
    """A ModelService as its status would say."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = field(default_factory=dict)
    image: str = OLD
    """That of its target revision."""
    stable: str = OLD
    """That of its stable revision."""
    is_updating: bool = False
    """Whether its user has it take another image."""
    ref: str = "onnx"
    generation: int = 1
    observed: int = 1
    is_ready: bool = True
    is_available: bool = True
    is_stalled: bool = False
    is_degraded: bool = False
    is_given_up: bool = False
    is_pinned: bool = False
    since: datetime = NOW - timedelta(days=1)
    assigned: Object | None = None

    @property
    def is_moving(self) -> bool:
        """Whether it takes another image."""
        return self.is_updating or (self.assigned or {}).get("phase") == "Progressing"

    def as_object(self) -> Object:
        def condition(kind: str, holds: bool) -> Object:
            since = f"{self.since:%Y-%m-%dT%H:%M:%SZ}"
            return {
                "type": kind,
                "status": str(holds),
                "reason": "Because",
                "message": "As it is.",
                "lastTransitionTime": since,
            }

        runtime: Object = {"ref": self.ref, "image": self.image}
        if self.stable != self.image:
            runtime["stableImage"] = self.stable
        metadata = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }
        return {
            "metadata": {**metadata, "generation": self.generation, "labels": self.labels},
            "spec": {"runtime": {"pin": True} if self.is_pinned else {}},
            "status": {
                "observedGeneration": self.observed,
                "stableRevision": "aaaaaaaaaa",
                "targetRevision": "bbbbbbbbbb" if self.is_given_up else "aaaaaaaaaa",
                "abortedRevisions": ["bbbbbbbbbb"] if self.is_given_up else [],
                "runtime": runtime | ({"assigned": self.assigned} if self.assigned else {}),
                "conditions": [
                    condition("Ready", self.is_ready),
                    condition("Available", self.is_available),
                    condition("Stalled", self.is_stalled),
                    condition("Degraded", self.is_degraded),
                ],
            },
        }


class Cluster:
    """Services, RuntimeRollouts, and what happens to them. What a test looks at is the newest one."""

    def __init__(self, services: int, *, namespace: str = "mail", prefix: str = "s", **spec: Any) -> None:
        self.now = NOW
        self.namespace = namespace
        names = [f"{prefix}{number:02}" for number in range(services)]
        self.services = {
            name: Service(name, namespace, f"{name}-1234567890", labels={"wave": str(number % 3)})
            for number, name in enumerate(names)
        }
        self.runtimes = [make_runtime(image=NEW)]
        self.rollout = make_rollout("may", **spec)
        self.others: list[Object] = []
        self._made = 0
        """Older ones of the same ModelRuntime."""
        self.strangers: list[Object] = []
        """Those of other ones."""
        self.asked_for: set[str] = set()
        """Services whose users chose an image themselves."""
        self.book = FleetBook()
        self.decision = FleetDecision()

    def apply_newer(self, **spec: Any) -> None:
        """Have the ModelRuntime name another image, and a newer RuntimeRollout bring it."""
        self.runtimes = [make_runtime(image=NEWEST)]
        self.others.append(self.rollout)
        number = len(self.others)
        self.rollout = make_rollout("june" if number == 1 else f"june-{number}", age=number, **spec)
        # One that is made anew by the name of one that was deleted is another one.
        self._made += 1
        self.rollout["metadata"]["uid"] = f"{self._made:08}-uid"

    def delete_newer(self) -> None:
        """Delete the newest one, where there is another one."""
        if self.others:
            self.book.remove(self.rollout["metadata"]["name"])
            self.rollout = self.others.pop()

    @property
    def older(self) -> Object:
        """The RuntimeRollout before the newest one."""
        return self.others[-1]

    def look_at_older(self) -> None:
        """Have one look at each but the newest one."""
        for place in range(len(self.others)):
            self.others[place], self.rollout = self.rollout, self.others[place]
            try:
                self.look()
            finally:
                self.others[place], self.rollout = self.rollout, self.others[place]

    @property
    def status(self) -> Object:
        found: Object = self.rollout.get("status") or {}
        return found

    @property
    def states(self) -> str:
        return str(self.status.get("states") or "")

    def edit(self, **spec: Any) -> None:
        self.rollout["spec"].update(spec)
        self.rollout["metadata"]["generation"] += 1

    def ask(self, request: str) -> None:
        self.rollout["metadata"]["annotations"] = {FLEET_ACTION: request}

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # The operator

    def look(self, *, is_killed: bool = False) -> None:
        """Have one look, and check the rules; an operator that is killed before it writes has not looked."""
        before, seen = json.loads(json.dumps(self.rollout)), self._seen()
        self.decision = self._decide(seen)
        status = compute_fleet_status(before, self.decision, self.now)
        if is_killed:
            return
        self.rollout["status"] = json.loads(json.dumps(status))
        self.book.put(self.rollout)
        if "startedAt" in status and "startedAt" not in (before.get("status") or {}):
            self._check_members()
        RuntimeRolloutStatus.model_validate(self.rollout["status"], extra="forbid")
        check_end(before, self.rollout)
        if "startedAt" in status and self.decision.step is not None:
            check(before, self.rollout, seen, self.now)
        again = compute_fleet_status(self.rollout, self._decide(seen), self.now)
        assert again == self.rollout["status"], "a second look at the same comes to something else"

    def look_on(self, most: int = 300) -> None:
        """Look, and let services do what they are told, until nothing changes any more."""
        for _ in range(most):
            known = self._all()
            self.look()
            self.look_at_older()
            for name in list(self.services):
                self.take(name)
                self.arrive(name)
            if known == self._all():
                self.look()
                due = self.decision.requeue_after_seconds
                if due is None:
                    return
                self.wait(due)
        raise AssertionError(f"no end: {self.status}")

    def _all(self) -> str:
        services = [one.as_object() for one in self.services.values()]
        return json.dumps([self.rollout, self.others, services])

    def _check_members(self) -> None:
        for line in self.status.get("members") or ():
            name, _, had, _ = line.split(" ")
            assert self.status["images"][int(had)] == self.services[name.partition("/")[2]].stable

    def _seen(self) -> dict[str, Seen]:
        return {f"{self.namespace}/{name}": read_seen(one.as_object()) for name, one in self.services.items()}

    def _decide(self, seen: dict[str, Seen]) -> FleetDecision:
        services = [one.as_object() for one in self.services.values()]
        others = [*self.others, *self.strangers]
        fleet = Fleet(
            rollout=self.rollout, others=others, runtimes=self.runtimes, seen=seen, services=services
        )
        return decide_fleet(fleet, self.now)

    # Services

    def told(self, name: str) -> Assignment | None:
        """What the service is told; nobody but the newest one that has started may tell it anything."""
        service = self.services.get(name)
        if service is None:
            return None
        found = self.book.assignment(Key(self.namespace, name), service.as_object()["metadata"]["uid"])
        started = [one for one in (*self.others, self.rollout) if "startedAt" in (one.get("status") or {})]
        assert found is None or found.rollout == started[-1]["metadata"]["name"]  # the newest stands last
        return found

    def take(self, name: str) -> None:
        """Begin what the service is told."""
        service, told = self.services.get(name), self.told(name)
        if service is None or told is None or service.is_pinned:
            return
        if service.assigned is not None and service.assigned["request"] == told.request:
            return
        if service.ref != "onnx":
            service.assigned = {"request": told.request, "phase": "Refused", "message": "It has another."}
            return
        phase = "Complete" if service.image == told.image and service.is_ready else "Progressing"
        service.assigned = {"request": told.request, "phase": phase}
        if phase == "Progressing":
            service.image, service.is_updating = told.image, False
            self._turn(service, is_ready=False)

    def arrive(self, name: str) -> None:
        """Be done with it."""
        service = self.services.get(name)
        if service is None or not service.assigned or service.assigned["phase"] != "Progressing":
            return
        service.stable = service.image
        service.assigned["phase"] = "Complete"
        service.is_available, service.is_stalled, service.is_degraded = True, False, False
        self._turn(service, is_ready=True)

    def give_up(self, name: str) -> None:
        """Leave it at the image from before."""
        service = self.services.get(name)
        if service is None or not service.assigned or service.assigned["phase"] != "Progressing":
            return
        service.image = service.stable
        service.assigned["phase"] = "Failed"
        self._turn(service, is_ready=True)

    def update(self, name: str, image: str = NEW) -> None:
        """Begin to take an image, as its user asks."""
        service = self.services.get(name)
        if service is not None and not service.is_moving and service.ref == "onnx":
            service.image, service.is_updating = image, True
            self.asked_for.add(name)
            self._turn(service, is_ready=False)

    def end_update(self, name: str, is_well: bool) -> None:
        """Have what its user asked for, or give it up."""
        service = self.services.get(name)
        if service is not None and service.is_updating:
            service.image = service.stable = service.image if is_well else service.stable
            service.is_updating = False
            self._turn(service, is_ready=True)

    def break_down(self, name: str) -> None:
        if name in self.services:
            service = self.services[name]
            service.is_available, service.is_stalled, service.is_degraded = False, True, True
            self._turn(service, is_ready=False)

    def vanish(self, name: str) -> None:
        """Have no available pod for a while."""
        if name in self.services:
            self.services[name].is_available = False
            self._turn(self.services[name], is_ready=False)

    def heal(self, name: str) -> None:
        if name in self.services:
            service = self.services[name]
            service.is_available, service.is_stalled, service.is_degraded = True, False, False
            service.observed = service.generation
            if not service.is_moving:
                self._turn(service, is_ready=True)

    def change(self, name: str) -> None:
        """Be edited by its user; the operator has not seen it yet."""
        if name in self.services:
            self.services[name].generation += 1

    def pin(self, name: str) -> None:
        if name in self.services:
            self.services[name].is_pinned = not self.services[name].is_pinned

    def move_away(self, name: str) -> None:
        """Be given another runtime by its user."""
        if name in self.services:
            service = self.services[name]
            self.asked_for.add(name)
            service.ref, service.is_updating = "other", False
            service.image = service.stable = OTHER
            if service.is_moving:
                service.assigned = {**(service.assigned or {}), "phase": "Refused"}

    def delete(self, name: str) -> None:
        self.services.pop(name, None)

    def replace(self, name: str) -> None:
        """Be deleted, and made anew by the same name."""
        self.services[name] = Service(name, self.namespace, uid=f"{name}-another-one")

    def _turn(self, service: Service, *, is_ready: bool) -> None:
        if service.is_ready != is_ready:
            service.is_ready, service.since = is_ready, self.now


def make_rollout(name: str, *, age: int = 0, **spec: Any) -> Object:
    """A RuntimeRollout as read; a higher age is a newer one."""
    return {
        "apiVersion": API_VERSION,
        "kind": "RuntimeRollout",
        "metadata": {
            "name": name,
            "uid": f"{name}-uid-123456",
            "generation": 1,
            "creationTimestamp": f"2026-01-01T00:00:{age:02}Z",
        },
        "spec": {"target": {"runtime": "onnx"}, "soakSeconds": 0, **spec},
    }


def check_end(before: Object, after: Object) -> None:
    """Fail where what is over goes on, unless somebody asked for the images from before."""
    was, now = before.get("status") or {}, after["status"]
    if was.get("phase") == "Superseded" or ("endedAt" in was and was.get("action") == now.get("action")):
        assert now["phase"] == was["phase"]
    if now.get("phase") == "Superseded":
        assert "endedAt" in now
        assert now["supersededBy"]
        assert now.get("failures") == was.get("failures"), "what becomes of them is told by the newer one"


def is_open_at(spec: RuntimeRolloutSpec, now: datetime) -> bool:
    """Whether members may start; not, where that cannot be understood."""
    windows = [(one.schedule, one.time_zone, one.duration_seconds) for one in spec.maintenance_windows]
    try:
        return opening([parse_window(*one) for one in windows], now).is_open
    except WindowError:
        return False


def check_deleted(run: Run, seen: dict[str, Seen]) -> None:
    """Fail where a run that goes on counts on members that are gone."""
    for member, state in zip(run.members, run.states, strict=True):
        one = seen.get(member.name)
        if (one is None or not one.uid.startswith(member.uid)) and run.ended_at is None:
            assert state not in (State.PENDING, State.MOVING, State.UPDATED), "it was deleted"


def check(before: Object, after: Object, seen: dict[str, Seen], now: datetime) -> None:
    """Fail where a look broke a rule."""
    spec = parse_runtime_rollout(after).spec
    limits, run = read_spec(spec), read_run(after, spec)
    old = str((before.get("status") or {}).get("states") or State.PENDING * len(run.members))
    moves = [(State(was), State(now)) for was, now in zip(old, run.states, strict=True)]
    for was, is_now in moves:
        assert was is is_now or is_now in LEGAL.get(was, ()), f"{was.name} became {is_now.name}"

    check_deleted(run, seen)

    # Limits
    places = range(len(run.members))
    members = run.members
    found = [seen.get(member.name) for member in members]
    down = {
        place
        for place in places
        if (one := found[place]) is not None
        and not one.is_available
        and one.uid.startswith(members[place].uid)
    }
    way = {place for place in places if run.states[place] in ON_THE_WAY}
    fresh = {place for place in way if moves[place][0] not in ON_THE_WAY}
    if fresh:
        assert len(way) <= limits.max_concurrent
    if fresh - down:
        living = len(places) - run.count(State.DROPPED)
        assert len(way | down) <= limits.most_unavailable(living)

    # Turns
    started = [place for place in fresh if run.states[place] == State.MOVING]
    if started:
        is_paused = limits.paused or run.paused
        assert not is_paused, "started while paused"
        assert is_open_at(spec, now), "started outside of the windows"
        assert run.failed <= limits.max_failures, "started though too many failed"
        assert run.phase not in OVER, f"started while {run.phase}"
    first = 0
    for wave in run.waves:
        own = range(first, first + wave.members)
        first += wave.members
        if any(place in started for place in own):
            assert not wave.is_held, "started without an approval"
        is_open = any(run.states[place] in (State.PENDING, State.MOVING) for place in own)
        assert not is_open or not any(place >= first for place in started), "a wave did not wait"

    # What counts as updated
    for place in places:
        if moves[place] == (State.MOVING, State.UPDATED):
            one = found[place]
            assert one is not None
            assert one.has(run.members[place].gets)
            assert one.ready_since is not None
            assert now - one.ready_since >= timedelta(seconds=limits.soak_seconds)
    if run.phase == "Complete":
        assert not way
        assert State.PENDING not in run.states
