"""What to run, and what services look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelservice_operator.facts.kinds import Resource

ROOT = Path(__file__).parents[2]
NAMESPACES = Resource(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap")
PARALLEL_CALLS = 20
"""Of the users who create and edit services."""
STRATEGIES: dict[str, dict[str, Any]] = {
    "RollingUpdate": {},
    "Canary": {
        "strategy": "Canary",
        "canary": {"steps": [{"setWeight": 25}, {"pause": {"durationSeconds": 1}}, {"setWeight": 50}]},
    },
    "BlueGreen": {"strategy": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 0}},
}
"""`spec.rollout` of each strategy."""
RUNTIME = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelRuntime",
    "metadata": {"name": "onnx", "annotations": {"modelservice.dev/is-default-runtime": "true"}},
    "spec": {"image": "registry.example/modelservice-runtime:1"},
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run, and where."""

    kubeconfig: str
    services: int
    seconds: float
    rates: tuple[float, ...] = (2.0, 20.0)
    strategy: str = "RollingUpdate"
    namespace: str = "bench"

    @property
    def names(self) -> list[str]:
        """The services' names."""
        return [f"m{number}" for number in range(self.services)]

    def make_service(self, name: str) -> dict[str, Any]:
        """A service of one pod that asks for next to nothing."""
        rollout = STRATEGIES[self.strategy]
        return {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "model": {"storageUri": "oci://registry.example/models/spam:1"},
                "replicas": 1,
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                **({"rollout": rollout} if rollout else {}),
            },
        }
