"""What to run, and what services look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.kinds import Resource

if TYPE_CHECKING:
    from benchmarks.scale.plane import ControlPlane

ROOT = Path(__file__).parents[2]
NAMESPACES = Resource(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap")
PARALLEL_CALLS = 20
"""Of the users who edit services."""
STRATEGIES: dict[str, dict[str, Any]] = {
    "RollingUpdate": {},
    "Canary": {
        "strategy": "Canary",
        "canary": {"steps": [{"setWeight": 25}, {"pause": {"durationSeconds": 1}}, {"setWeight": 50}]},
    },
    "BlueGreen": {"strategy": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 0}},
}
"""`spec.rollout` of each strategy."""
RUNTIME: dict[str, Any] = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelRuntime",
    "metadata": {"name": "onnx", "annotations": {"modelservice.dev/is-default-runtime": "true"}},
    "spec": {"image": "registry.example/modelservice-runtime:1"},
}
SCENARIOS = ("rest", "cold", "failover", "edits", "still", "wave", "tenants")
WAVE_LABEL = "bench.modelservice.dev/wave"
WAVES = (("first", 20), ("second", 200), ("rest", 500))
"""The waves of a fleet, and how many services of the first ones are in it or before."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run, and where."""

    kubeconfig: str
    services: int
    seconds: float
    rates: tuple[float, ...] = (2.0, 20.0)
    strategy: str = "RollingUpdate"
    replicas: int = 1
    namespace: str = "bench"
    scenarios: tuple[str, ...] = SCENARIOS
    fill_minutes: float = 120.0
    patience_seconds: float = 1_800.0
    plane: ControlPlane | None = None
    """That of the benchmark itself; None on a cluster of one's own."""

    @property
    def names(self) -> list[str]:
        """The services' names."""
        return [f"m{number}" for number in range(self.services)]

    @property
    def wave_members(self) -> list[str]:
        """Those that a fleet's image is brought to."""
        return self.names[: WAVES[-1][1]]

    def make_service(self, name: str) -> dict[str, Any]:
        """A service whose pods ask for next to nothing."""
        rollout, number = STRATEGIES[self.strategy], int(name.removeprefix("m"))
        wave = next((title for title, until in WAVES if number < until), None)
        return {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {WAVE_LABEL: wave} if wave else {},
            },
            "spec": {
                "model": {"storageUri": "oci://registry.example/models/spam:1"},
                "replicas": self.replicas,
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                **({"rollout": rollout} if rollout else {}),
            },
        }
