"""Every phase of a RuntimeRollout that a tool of GitOps may find, made by the operator's own decisions.

Each has the health that Argo CD is to show; what kstatus says must follow from the conditions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from tests.unit.operator.builders import make_runtime

from modelservice_operator.decide.fleet.decide import Fleet, decide_fleet
from modelservice_operator.decide.fleet.seeing import read_seen
from modelservice_operator.explain.fleet import compute_fleet_status
from modelservice_operator.facts import labels
from modelservice_operator.facts.fleet import read_assignments

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
Health = Literal["Healthy", "Progressing", "Suspended", "Degraded"]
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
OLD, NEW = "registry.example/onnx:1", "registry.example/onnx:2"
WAVES: list[Object] = [
    {"name": "canaries", "selector": {"matchLabels": {"stage": "canary"}}},
    {"name": "mail", "selector": {"namespaces": ["mail"]}},
    {"name": "rest", "rest": True},
]


class FleetWorld:
    """Twelve services, and a RuntimeRollout that is looked at again and again."""

    def __init__(self, **spec: Any) -> None:
        self.now = NOW
        self.runtimes: tuple[Object, ...] = (make_runtime("onnx", image=NEW),)
        self.others: tuple[Object, ...] = ()
        self.services = {
            f"{namespace}/{name}": _service(namespace, name, **labels_)
            for namespace, name, labels_ in (
                ("mail", "spam", {"stage": "canary"}),
                ("shop", "prices", {"stage": "canary"}),
                *(("mail", name, {}) for name in ("ham", "intent", "language", "priority", "reply")),
                *(("shop", name, {}) for name in ("basket", "fraud", "search", "similar", "stock")),
            )
        }
        self.rollout: Object = {
            "apiVersion": labels.API_VERSION,
            "kind": "RuntimeRollout",
            "metadata": {
                "name": "onnx-1-24",
                "uid": "0b6f4c9e-0000-4000-8000-000000000001",
                "generation": 1,
                "creationTimestamp": "2026-11-29T11:59:00Z",
            },
            "spec": {
                "target": {"runtime": "onnx", "image": NEW},
                "waves": WAVES,
                "maxConcurrent": 2,
                "maxUnavailable": 2,
                "soakSeconds": 60,
                **spec,
            },
        }

    @property
    def phase(self) -> str:
        return str(self.rollout["status"]["phase"])

    def look(self) -> FleetWorld:
        """The operator has one look, and writes its status."""
        seen = {name: read_seen(one) for name, one in self.services.items()}
        fleet = Fleet(
            rollout=self.rollout,
            others=self.others,
            runtimes=self.runtimes,
            seen=seen,
            services=tuple(self.services.values()),
        )
        decision = decide_fleet(fleet, self.now)
        self.rollout["status"] = compute_fleet_status(self.rollout, decision, self.now)
        return self

    def arrive(self, *failing: str) -> FleetWorld:
        """Members on the way have what they were told, but for those that give up; then they have soaked."""
        for name, told in read_assignments(self.rollout).items():
            status = self.services[name]["status"]
            is_given_up = name in failing and not told.is_back
            status["runtime"]["assigned"] = {
                "request": told.request,
                "phase": "Failed" if is_given_up else "Complete",
                "message": "Revision abc was given up: NonFiniteRatio: 0.3 is more than maxIncrease 0.001."
                if is_given_up
                else f"Revision abc has {told.image}.",
            }
            if not is_given_up:
                status["runtime"]["image"] = told.image
        self.look()
        self.now += timedelta(seconds=90)
        return self.look()

    def run(self, *failing: str, until: Callable[[FleetWorld], bool] = lambda _: False) -> FleetWorld:
        """Let everybody arrive until nothing changes, or until it is so."""
        self.look()
        for _ in range(20):
            before = self.rollout["status"].get("states")
            if until(self):
                break
            self.arrive(*failing)
            if self.rollout["status"].get("states") == before:
                break
        return self

    def ask(self, request: str) -> FleetWorld:
        """Somebody asks something of it."""
        self.rollout["metadata"]["annotations"] = {labels.FLEET_ACTION: request}
        return self.look()


def _service(namespace: str, name: str, **its_labels: str) -> Object:
    holds = {"Ready": "True", "Available": "True", "Degraded": "False", "Stalled": "False"}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"{namespace}-{name}-0001",
            "labels": its_labels,
            "generation": 1,
        },
        "spec": {"runtime": {"ref": "onnx"}},
        "status": {
            "observedGeneration": 1,
            "stableRevision": "abc",
            "runtime": {"ref": "onnx", "image": OLD},
            "conditions": [
                {"type": kind, "status": status, "reason": "AsExpected", "message": ""}
                | {"lastTransitionTime": "2026-11-29T11:00:00Z"}
                for kind, status in holds.items()
            ],
        },
    }


def held() -> FleetWorld:
    waves = [*WAVES[:-1], {**WAVES[-1], "approval": True}]
    return FleetWorld(waves=waves).run()


def halted() -> FleetWorld:
    return FleetWorld().run("mail/language")


def going_back() -> FleetWorld:
    """Images are taken back, and nobody has arrived yet."""
    return FleetWorld(onFailure="RollbackAll").run("mail/ham", until=lambda one: one.phase == "RollingBack")


def superseded() -> FleetWorld:
    world = FleetWorld().run(until=lambda one: one.rollout["status"]["wave"] == "mail")
    newer = copy.deepcopy(world.rollout)
    newer["metadata"] |= {"name": "onnx-1-25", "creationTimestamp": "2026-11-29T12:30:00Z"}
    world.others = (newer,)
    return world.arrive()


def edited() -> FleetWorld:
    world = FleetWorld().run()
    world.rollout["metadata"]["generation"] = 2
    return world


def deleting() -> FleetWorld:
    world = FleetWorld().look()
    world.rollout["metadata"] |= {
        "deletionTimestamp": "2026-11-29T12:10:00Z",
        "finalizers": ["foregroundDeletion"],
    }
    return world


def without_runtime() -> FleetWorld:
    world = FleetWorld()
    world.runtimes = ()
    return world.look()


@dataclass(frozen=True)
class FleetState:
    """One state: how it comes about, and what Argo CD is to say of it."""

    health: Health
    phase: str | None
    make: Callable[[], FleetWorld]


NIGHTLY = {"schedule": "0 22 * * *", "durationSeconds": 3600, "timeZone": "Europe/Berlin"}
FLEET_STATES: dict[str, FleetState] = {
    "never-seen": FleetState("Progressing", None, FleetWorld),
    "progressing": FleetState("Progressing", "Progressing", lambda: FleetWorld().look()),
    "edited": FleetState("Progressing", "Complete", edited),
    "deleting": FleetState("Progressing", "Progressing", deleting),
    "paused-from-the-beginning": FleetState("Suspended", "Paused", lambda: FleetWorld(paused=True).look()),
    "paused-on-request": FleetState("Suspended", "Paused", lambda: FleetWorld().look().ask("pause").arrive()),
    "awaiting-approval": FleetState("Suspended", "AwaitingApproval", held),
    "awaiting-window": FleetState(
        "Progressing", "AwaitingWindow", lambda: FleetWorld(maintenanceWindows=[NIGHTLY]).look()
    ),
    "complete": FleetState("Healthy", "Complete", lambda: FleetWorld().run()),
    "complete-with-a-failure": FleetState(
        "Degraded", "Complete", lambda: FleetWorld(maxFailures=1).run("mail/ham")
    ),
    "halted": FleetState("Degraded", "Halted", halted),
    "rolling-back": FleetState("Degraded", "RollingBack", going_back),
    "rolled-back": FleetState(
        "Degraded", "RolledBack", lambda: FleetWorld(onFailure="RollbackAll").run("mail/ham")
    ),
    "rolled-back-on-request": FleetState(
        "Degraded", "RolledBack", lambda: FleetWorld().run().ask("rollback").run()
    ),
    "aborted": FleetState("Degraded", "Aborted", lambda: FleetWorld().look().ask("abort").arrive()),
    "superseded": FleetState("Degraded", "Superseded", superseded),
    "runtime-missing": FleetState("Progressing", "Pending", without_runtime),
    "invalid-window": FleetState(
        "Degraded",
        "Pending",
        lambda: FleetWorld(maintenanceWindows=[{**NIGHTLY, "schedule": "99 22 * * *"}]).look(),
    ),
}


@cache
def fleet_world(name: str) -> FleetWorld:
    """The world in this state; whoever changes it takes a copy."""
    return FLEET_STATES[name].make()


def runtime_rollout(name: str) -> Object:
    """The object as the API server would show it."""
    return copy.deepcopy(fleet_world(name).rollout)
