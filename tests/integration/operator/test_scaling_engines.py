"""Who steers: engines that come and go with what the cluster offers, one after the other, never two."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.keda import keda_crd, remove_crd
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from tests.support.operator_process import OperatorProcess

ADDRESS = "10.0.0.7:9090"
CONCURRENCY = {"type": "Concurrency", "target": {"averageValue": "8"}}
SCALED = {"maxReplicas": 5, "metrics": [CONCURRENCY]}
CPU = {"type": "CPU", "target": {"averageUtilization": 80}}
OBJECTS: dict[str, set[str]] = {
    "HPA": {"HorizontalPodAutoscaler"},
    "Builtin": set(),
    "Keda": {"ScaledObject"},
}
KEDA_PATH = "/apis/keda.sh/v1alpha1"


class Engines:
    """A user's view of who steers what."""

    def __init__(self, kube: Any) -> None:
        self.kube = kube

    def apply(self, name: str, *, replicas: int | None = None, **scaling: Any) -> None:
        """Apply a service with these signals and engines."""
        fields = {} if replicas is None else {"replicas": replicas}
        self.kube.apply_service(name, autoscaling={**SCALED, **scaling}, **fields)

    def scale(self, name: str, replicas: int) -> None:
        """Write `/scale`, as engines do."""
        self.kube.api.patch(
            f"{self.kube.path('modelservices', name)}/scale", {"spec": {"replicas": replicas}}
        )

    def engine(self, name: str) -> str | None:
        """Who steers, as the status says it."""
        found = self.kube.service(name).get("status", {}).get("autoscaling") or {}
        engine: str | None = found.get("engine")
        return engine

    def told(self, name: str) -> tuple[str, str]:
        """Status and reason of AutoscalingActive."""
        found = self.kube.condition("AutoscalingActive", name)
        return found.get("status", ""), found.get("reason", "")

    def wait(self, name: str, engine: str, told: tuple[str, str] | None = None) -> None:
        """Wait until this engine steers, and says this of itself."""
        wait_until(
            lambda: self.engine(name) == engine and told in (None, self.told(name)),
            f"{name} is steered by {engine} {told}, not {self.engine(name)} {self.told(name)}",
        )

    def scaled_object(self, name: str) -> dict[str, Any] | None:
        """The ScaledObject of this name."""
        found: dict[str, Any] | None = self.kube.api.find(f"{self.scaled_objects()}/{name}")
        return found

    def scaled_objects(self) -> str:
        """Where ScaledObjects are."""
        return f"{KEDA_PATH}/namespaces/{self.kube.namespace}/scaledobjects"

    def autoscaler(self, name: str) -> dict[str, Any] | None:
        """The HorizontalPodAutoscaler of this name."""
        found: dict[str, Any] | None = self.kube.api.find(self.kube.path("horizontalpodautoscalers", name))
        return found

    def objects(self, name: str) -> set[str]:
        """Kinds of the objects by which engines are told what to do."""
        found = {"HorizontalPodAutoscaler": self.autoscaler(name), "ScaledObject": self.scaled_object(name)}
        return {kind for kind, obj in found.items() if obj is not None}

    def wait_objects(self, name: str, kinds: set[str]) -> None:
        """Wait until there are these, and no others."""
        wait_until(lambda: self.objects(name) == kinds, f"{name} has {kinds}")

    def pods(self, name: str) -> int:
        """Pods that the Deployment of a service wants."""
        [deployment] = self.kube.children(name)["deployments"]
        found: int = self.kube.api.get(self.kube.path("deployments", deployment))["spec"]["replicas"]
        return found


@pytest.fixture(scope="module")
def shared_flags() -> tuple[str, ...]:
    # Without an activator nothing could sleep.
    return "--scaler-address", ADDRESS, "--activator-service", "nowhere/activator"


@pytest.fixture
def engines(shared) -> Engines:
    return Engines(shared.kube)


@pytest.fixture
def operator(shared) -> OperatorProcess:
    return shared.operator


def test_without_keda_ours_steers_and_what_it_writes_is_left_alone(engines, operator):
    kube, name = engines.kube, "builtin"
    engines.apply(name)
    kube.wait_ready(name)
    engines.wait(name, "Builtin", ("False", "NoDecisionYet"))
    assert engines.autoscaler(name) is None

    decision = {
        "time": "2026-01-01T00:00:00Z",
        "replicas": 1,
        "desired": 3,
        "message": "12 of 8 a pod: 1 -> 3",
    }
    path = kube.path("modelservices", name)
    engines.scale(name, 3)
    kube.api.patch(f"{path}/status", {"status": {"autoscaler": decision}})
    engines.wait(name, "Builtin", ("True", "Scaling"))
    wait_until(lambda: kube.service(name)["status"]["availableReplicas"] == 3, "3 run")
    # The operator has written its own status many times since.
    assert kube.service(name)["status"]["autoscaler"] == decision
    assert "12 of 8 a pod: 1 -> 3" in kube.condition("AutoscalingActive", name)["message"]

    operator.wait_at_rest()
    before = operator.metric("modelservice_operator_writes_total", operation="status")
    seen = operator.metric("modelservice_operator_reconcile_total")
    kube.api.patch(f"{path}/status", {"status": {"autoscaler": {"time": "2026-01-01T00:00:09Z"}}})
    wait_until(lambda: operator.metric("modelservice_operator_reconcile_total") > seen, "it was looked at")
    time.sleep(1)
    assert operator.metric("modelservice_operator_writes_total", operation="status") == before
    assert "cannot list or watch" not in operator.log_tail(1000)


def test_autoscaler_of_somebody_else_is_left_intact(engines, operator):
    kube = engines.kube
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "taken", "namespace": kube.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"},
            "maxReplicas": 3,
        },
    }
    kube.api.create(kube.path("horizontalpodautoscalers"), body)
    engines.apply("taken", provider="HPA")
    engines.wait("taken", "HPA", ("False", "NameConflict"))
    assert engines.autoscaler("taken")["spec"]["scaleTargetRef"]["name"] == "other"
    engines.apply("taken", provider="Builtin")
    engines.wait("taken", "Builtin")
    kube.wait_ready("taken")
    assert engines.autoscaler("taken")["spec"]["maxReplicas"] == 3


def test_engines_are_kept_follow_each_other_and_go_with_what_they_need(engines, operator, installed):
    kube = engines.kube
    engines.apply("ours")
    engines.apply("kept", metrics=[CPU])
    engines.wait("ours", "Builtin")
    engines.wait("kept", "HPA")
    wait_until(lambda: engines.objects("kept") == OBJECTS["HPA"], "it has an autoscaler")
    kube.wait_ready("kept")
    operator.wait_at_rest(quiet_seconds=1)
    operator.stop()
    # As an operator left it that knew no engines.
    kube.api.patch(f"{kube.path('modelservices', 'kept')}/status", {"status": {"autoscaling": None}})
    before = own_fields(engines.autoscaler("kept"))
    with keda_crd(installed.api):
        operator.start().wait_leading()
        engines.wait("kept", "HPA")
        assert engines.engine("ours") == "Builtin"
        assert own_fields(engines.autoscaler("kept")) == before

        engines_follow_each_other(engines, "switched")
        leaves_alone_what_is_not_ours(engines, "foreign")
        engines.apply("auto")
        engines.wait("auto", "Keda")
        remove_crd(installed.api)
        # Auto goes on with another; what was named is waited for.
        engines.wait("auto", "Builtin", ("False", "NoDecisionYet"))
        engines.wait("switched", "Keda", ("False", "KedaMissing"))
        assert engines.pods("switched") == 3
        assert operator.is_running()
    with keda_crd(installed.api):
        wait_until(lambda: engines.scaled_object("switched") is not None, "it has its ScaledObject again")
        assert engines.engine("auto") == "Builtin"
        assert engines.scaled_object("auto") is None


def engines_follow_each_other(engines: Engines, name: str) -> None:
    """Change the provider of a service under way: one engine at a time, and the pods stay."""
    kube = engines.kube
    engines.apply(name, minReplicas=0, idleSeconds=60)
    engines.wait(name, "Keda")
    wait_until(lambda: engines.scaled_object(name) is not None, "it has its ScaledObject")
    spec = engines.scaled_object(name)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == (0, 5, 60)
    assert spec["triggers"][0]["metadata"] == {"scalerAddress": ADDRESS, "signal": "Concurrency"}
    engines.scale(name, 3)
    wait_until(lambda: engines.pods(name) == 3, "3 are wanted")
    for provider, objects in OBJECTS.items():
        engines.apply(name, provider=provider)
        engines.wait(name, provider)
        engines.wait_objects(name, objects)
        assert engines.pods(name) == 3
    condition = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "it is"}
    path = f"{engines.scaled_objects()}/{name}"
    kube.api.patch(f"{path}/status", {"status": {"conditions": [condition]}})
    engines.wait(name, "Keda", ("True", "Scaling"))


def leaves_alone_what_is_not_ours(engines: Engines, name: str) -> None:
    """A ScaledObject of that name belongs to somebody else."""
    target = {"name": "other", "kind": "Deployment"}
    trigger = {"type": "cron", "metadata": {"timezone": "UTC"}}
    body = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": engines.kube.namespace},
        "spec": {"scaleTargetRef": target, "triggers": [trigger]},
    }
    before = engines.kube.api.create(engines.scaled_objects(), body)
    engines.apply(name)
    engines.wait(name, "Keda", ("False", "NameConflict"))
    assert engines.scaled_object(name) == before


def own_fields(obj: dict[str, Any]) -> list[tuple[str, str]]:
    """Our writes of an object, and when the last one was."""
    return [
        (entry["time"], str(entry["fieldsV1"]))
        for entry in obj["metadata"]["managedFields"]
        if entry["manager"] == "modelservice-operator"
    ]
