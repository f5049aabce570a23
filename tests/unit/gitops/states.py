"""Every state of a ModelService that a tool of GitOps may find, made by the operator's own decisions.

Each has the health that Argo CD is to show; what kstatus says must follow from the conditions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from tests.unit.operator.builders import (
    NOW,
    SHA_A,
    SHA_B,
    SIGNATURE,
    World,
    make_pod,
    make_ready_pod,
    make_runtime,
    model,
    timestamp,
)

from modelservice_operator.facts import labels
from modelservice_operator.facts.endpoints import Endpoint, Slice
from modelservice_operator.facts.measured import Measurement, Window
from modelservice_operator.facts.observed import ApplyFailure
from modelservice_operator.facts.signature import Signature, Tensor
from modelservice_operator.facts.standby import Activators, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

Health = Literal["Healthy", "Progressing", "Suspended", "Degraded"]
OTHER = Signature((Tensor("x", "FP32", (-1, 5)),), SIGNATURE.outputs)
ANALYSIS = {
    "intervalSeconds": 10,
    "count": 2,
    "minRequests": 10,
    "metrics": [{"type": "ErrorRatio", "max": "0.01"}],
}
PAUSED_FOR_EVER: tuple[dict[str, Any], ...] = ({"setWeight": 25}, {"pause": {}}, {"setWeight": 50})
CANNOT_PULL = {"reason": "ImagePullBackOff", "message": "not found"}


@dataclass(frozen=True)
class State:
    """One state: how it comes about, and what Argo CD is to say of it."""

    health: Health
    make: Callable[[], World]


class Change(World):
    """A service in a change from `old` to `new`."""

    def __init__(self, signature: Signature = SIGNATURE, **rollout: Any) -> None:
        super().__init__(model=model(1), replicas=4, rollout=rollout)
        self.settle()
        self.old = str(self.status["stableRevision"])
        self.edit(model=model(2))
        self.reconcile()
        self.new = str(self.status["targetRevision"])
        self.signatures[self.new] = signature

    def measure(self, errors: float, requests: int = 100) -> None:
        """One more measurement of the analysis that goes on is there."""
        self.wait(10)
        decision = self.settle()
        assert decision.measures is not None
        self.measurement = Measurement(
            run=decision.measures.run,
            ended_at=self.now,
            candidate=Window(requests=requests, values={"0": errors}),
            stable=Window(requests=requests, values={"0": 0.0}),
        )
        self.settle()


class OneNode(World):
    """No pod of the new revision finds room beside the only one of the old."""

    def run_controllers(self) -> None:
        """The first revision has the room, whatever else is wanted waits for a node."""
        super().run_controllers()
        first, *others = self.deployments()
        waiting = [name for name in others if self.replicas()[name]]
        for name in waiting:
            self.set_deployment(name, ready_replicas=0, available_replicas=0)
        scheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        }
        homeless = (make_pod(name, "homeless", conditions=[scheduled]) for name in waiting)
        self.pods = (make_ready_pod(first), *homeless)


def ask(world: World, verb: str) -> None:
    """Write the annotation, as people and tools do."""
    asked = f"{verb}@{world.status['targetRevision']}"
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: asked}


def settled(world: World, verb: str | None = None) -> World:
    """Let everything come to rest, after somebody asked for something."""
    if verb is not None:
        ask(world, verb)
    world.settle()
    return world


def at_rest(*runtimes: dict[str, Any], **spec: Any) -> World:
    return settled(World(*runtimes, **spec))


def canary(*steps: dict[str, Any], **fields: Any) -> Change:
    return Change(strategy="Canary", canary={"steps": list(steps)}, **fields)


def paused(*verbs: str) -> World:
    world = settled(canary(*PAUSED_FOR_EVER))
    for verb in verbs:
        settled(world, verb)
    return world


def waiting_pod(world: World, waiting: dict[str, Any]) -> World:
    """Every pod of the newest revision waits for this."""
    world.reconcile()
    revision = str(world.status["targetRevision"])
    world.broken.add(revision)
    world.pods = (make_pod(revision, containerStatuses=[{"name": "server", "state": {"waiting": waiting}}]),)
    return settled(world)


def late(world: World) -> World:
    """The deadline has passed."""
    world.wait(601)
    return settled(world)


def never_seen() -> World:
    return World()


def starting() -> World:
    world = World()
    world.reconcile()
    return world


def edited(**spec: Any) -> World:
    """An edit that the operator has not seen yet."""
    world = at_rest()
    world.edit(**(spec or {"model": model(2)}))
    return world


def edit(world: World, **spec: Any) -> World:
    world.edit(**spec)
    return world


def scaling_up() -> World:
    world = at_rest()
    world.scale(3)
    world.reconcile()
    return world


def pod_lost() -> World:
    world = at_rest(replicas=2)
    revision = str(world.status["stableRevision"])
    world.set_deployment(revision, ready_replicas=1, available_replicas=1)
    world.reconcile()
    return world


def rolling() -> World:
    world = Change()
    world.run_controllers()
    world.reconcile()
    return world


def analysed() -> World:
    return settled(canary({"setWeight": 25}, {"analysis": ANALYSIS}))


def inconclusive() -> World:
    world = canary({"setWeight": 25}, {"analysis": {**ANALYSIS, "inconclusiveLimit": 1}})
    for _ in range(2):
        world.measure(0.0, requests=3)
    return world


def analysis_failed() -> World:
    world = canary({"setWeight": 50}, {"analysis": ANALYSIS})
    world.measure(0.05)
    world.measurement = None
    return settled(world)


def rolled_back() -> World:
    world = canary({"setWeight": 50}, {"analysis": {**ANALYSIS, "count": 1}})
    world.edit(rollout={**world.service["spec"]["rollout"], "rollbackWindowSeconds": 300})
    world.measure(0.0)
    world.measure(0.5)
    world.measurement = None
    return settled(world)


def in_rollback_window() -> World:
    world = canary({"setWeight": 50}, {"analysis": {**ANALYSIS, "count": 1}})
    world.edit(rollout={**world.service["spec"]["rollout"], "rollbackWindowSeconds": 300})
    world.measure(0.0)
    return world


def promoting() -> World:
    """Somebody said promote, and the pods are coming."""
    world = paused()
    ask(world, "promote")
    world.reconcile()
    return world


def preview(**blue_green: Any) -> World:
    return settled(Change(strategy="BlueGreen", blueGreen=blue_green))


def held() -> World:
    world = OneNode(make_runtime(default=True, gpuImage="registry.example/onnx-gpu:1"), gpu={"count": 1})
    world.settle()
    world.edit(model=model(2))
    world.settle()
    world.wait(30)
    world.settle()
    world.wait(30)
    return settled(world)


def autoscaled_further() -> World:
    """An autoscaler wants more pods than there are: enough serve."""
    world = at_rest(replicas=2, autoscaling={"minReplicas": 2, "maxReplicas": 9})
    world.scale(3)
    world.reconcile()
    world.run_controllers()
    world.set_deployment(str(world.status["stableRevision"]), ready_replicas=2, available_replicas=2)
    world.reconcile()
    return world


def retried() -> World:
    world = paused("abort")
    ask(world, "retry")
    world.reconcile()
    return world


def asleep() -> World:
    activators = tuple(
        Endpoint(address=f"10.0.0.{n}", pod=f"activator-{n}", pod_uid=f"uid-{n}") for n in (1, 2)
    )
    slices = (Slice(address_type="IPv4", endpoints=activators, ports={"metrics": 8081}),)
    world = World(autoscaling={"minReplicas": 0, "maxReplicas": 3, "provider": "HPA"})
    world.surroundings = Surroundings(
        activators=Activators(namespace="system", slices=slices),
        ports={"http": 20000, "grpc": 20001},
        listening=frozenset(one.address for one in activators),
    )
    world.settle()
    world.scale(0)
    world.settle()
    world.wait(1.0)
    return settled(world)


def autoscaler_inactive() -> World:
    world = at_rest(replicas=2, autoscaling={"maxReplicas": 9})
    world.wait(300)
    failing = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetResourceMetric",
        "message": "missing request for cpu in container server of a pod",
        "lastTransitionTime": timestamp(world.now),
    }
    place = "HorizontalPodAutoscaler", "spam"
    world.children[place] = msgspec.structs.replace(world.children[place], failing=(failing,))
    world.reconcile()
    world.wait(60)
    world.reconcile()
    return world


def content_changed() -> World:
    world = at_rest(replicas=2)
    stable = str(world.status["stableRevision"])
    world.pods = (make_ready_pod(stable, "a", SHA_A), make_ready_pod(stable, "b", SHA_B))
    world.reconcile()
    return world


def refused(*, transient: bool) -> World:
    world = at_rest()
    world.edit(networkPolicy={"mode": "Strict"})
    reason, message = ("Unavailable", "timeout") if transient else ("Forbidden", "not allowed")
    world.failures = (
        ApplyFailure(kind="NetworkPolicy", name="spam", reason=reason, message=message, transient=transient),
    )
    world.reconcile()
    return world


def deleted(world: World) -> World:
    world.service["metadata"]["deletionTimestamp"] = timestamp(NOW + timedelta(seconds=60))
    world.service["metadata"]["finalizers"] = ["foregroundDeletion"]
    world.reconcile()
    return world


def mended(world: World) -> World:
    """A change that was given up is followed by a right one."""
    world.edit(model=model(3))
    return settled(world)


STATES: dict[str, State] = {
    "never-seen": State("Progressing", never_seen),
    "starting": State("Progressing", starting),
    "ready": State("Healthy", at_rest),
    "edited": State("Progressing", edited),
    "edited-while-paused": State("Progressing", lambda: edit(paused(), model=model(3))),
    "scaling-up": State("Progressing", scaling_up),
    "autoscaled-further": State("Healthy", autoscaled_further),
    "pod-lost": State("Progressing", pod_lost),
    "scaled-to-zero": State("Healthy", lambda: at_rest(replicas=0)),
    "asleep": State("Healthy", asleep),
    "deleting": State("Progressing", lambda: deleted(at_rest())),
    "deleting-while-paused": State("Progressing", lambda: deleted(paused())),
    "rolling": State("Progressing", rolling),
    "rolling-paused": State("Suspended", lambda: settled(Change(), "pause")),
    "recreate": State("Progressing", lambda: Change(strategy="Recreate")),
    "canary-paused": State("Suspended", paused),
    "canary-paused-for-a-time": State(
        "Suspended", lambda: settled(canary({"setWeight": 25}, {"pause": {"durationSeconds": 60}}))
    ),
    "canary-paused-on-request": State("Suspended", lambda: settled(analysed(), "pause")),
    "canary-analysed": State("Progressing", analysed),
    "canary-inconclusive": State("Suspended", inconclusive),
    "canary-promoted": State("Progressing", promoting),
    "canary-resumed": State("Healthy", lambda: paused("resume")),
    "canary-refused-request": State("Suspended", lambda: paused("retry")),
    "canary-aborted": State("Degraded", lambda: paused("abort")),
    "canary-retried": State("Progressing", retried),
    "canary-analysis-failed": State("Degraded", analysis_failed),
    "canary-in-rollback-window": State("Healthy", in_rollback_window),
    "canary-rolled-back": State("Degraded", rolled_back),
    "canary-cannot-start": State("Degraded", lambda: waiting_pod(canary(*PAUSED_FOR_EVER), CANNOT_PULL)),
    "canary-deadline-missed": State(
        "Degraded", lambda: late(waiting_pod(canary(*PAUSED_FOR_EVER), CANNOT_PULL))
    ),
    "canary-mended": State("Healthy", lambda: mended(settled(Change(OTHER)))),
    "contract-broken": State("Degraded", lambda: settled(Change(OTHER))),
    "blue-green-awaits-promotion": State("Suspended", lambda: preview(autoPromote=False)),
    "blue-green-preview": State("Suspended", lambda: preview(previewSeconds=100)),
    "blue-green-switched": State("Healthy", lambda: preview(scaleDownDelaySeconds=60)),
    "no-room": State("Degraded", held),
    "first-cannot-start": State("Degraded", lambda: waiting_pod(World(), CANNOT_PULL)),
    "first-deadline-missed": State("Degraded", lambda: late(waiting_pod(World(), CANNOT_PULL))),
    "invalid-spec": State("Degraded", lambda: at_rest(model={"storageUri": "ftp://models/spam.onnx"})),
    "invalid-edit": State(
        "Degraded", lambda: settled(edited(model={"storageUri": "ftp://models/spam.onnx"}))
    ),
    "invalid-edit-while-paused": State(
        "Degraded", lambda: settled(edit(paused(), model={"storageUri": "ftp://models/spam.onnx"}))
    ),
    "runtime-missing": State("Degraded", lambda: at_rest(make_runtime())),
    "write-refused": State("Degraded", lambda: refused(transient=False)),
    "write-delayed": State("Progressing", lambda: refused(transient=True)),
    "autoscaler-inactive": State("Degraded", autoscaler_inactive),
    "content-changed": State("Degraded", content_changed),
}


@cache
def world_of(name: str) -> World:
    """The world in this state; whoever changes it takes a copy."""
    return STATES[name].make()


def model_service(name: str) -> dict[str, Any]:
    """The object as the API server would show it."""
    return copy.deepcopy(world_of(name).service)
