"""A run of a RuntimeRollout as people and the API see it: what it is made of, and what is watched of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hack.cluster.api import condition_status
from tests.support.operator_process import wait_until
from tests.support.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hack.cluster.api import Api

GROUP = "modelservice.dev/v1alpha1"
ROLLOUTS = f"/apis/{GROUP}/runtimerollouts"
RUNTIMES = f"/apis/{GROUP}/modelruntimes"
OVER = ("Complete", "Halted", "RolledBack", "Aborted", "Superseded")


class Fleet:
    """Services of one namespace, their ModelRuntime, and RuntimeRollouts for it."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace
        self.runtime = f"fleet-{namespace}"
        self.services = f"/apis/{GROUP}/namespaces/{namespace}/modelservices"

    def image(self, number: int) -> str:
        """An image of the ModelRuntime."""
        return f"registry.example/{self.runtime}:{number}"

    def set_runtime(self, number: int) -> None:
        """Have the ModelRuntime name an image."""
        body = {"apiVersion": GROUP, "kind": "ModelRuntime", "metadata": {"name": self.runtime}}
        self.api.apply({**body, "spec": {"image": self.image(number)}})

    def apply(self, name: str, labels: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Apply a ModelService."""
        self.api.apply(
            {
                "apiVersion": GROUP,
                "kind": "ModelService",
                "metadata": {"name": name, "namespace": self.namespace, "labels": dict(labels or {})},
                "spec": {
                    "model": {"storageUri": "oci://registry.example/models/spam:1"},
                    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                    "networkPolicy": {"mode": "Disabled"},
                    **spec,
                    "runtime": {"ref": self.runtime, **spec.get("runtime", {})},
                },
            }
        )

    def roll(self, name: str, number: int | None = None, **spec: Any) -> None:
        """Apply a RuntimeRollout over the namespace."""
        target = {"runtime": self.runtime} | ({"image": self.image(number)} if number else {})
        selector = {"namespaces": [self.namespace]}
        self.api.apply(
            {
                "apiVersion": GROUP,
                "kind": "RuntimeRollout",
                "metadata": {"name": name},
                "spec": {"target": target, "selector": selector, "soakSeconds": 0, **spec},
            }
        )

    def ask(self, name: str, request: str) -> None:
        """Ask something of a RuntimeRollout, as the command line does."""
        annotations = {"modelservice.dev/fleet-action": request}
        self.api.patch(f"{ROLLOUTS}/{name}", {"metadata": {"annotations": annotations}})

    def status(self, name: str) -> dict[str, Any]:
        """The status of a RuntimeRollout."""
        found: dict[str, Any] = self.api.get(f"{ROLLOUTS}/{name}").get("status") or {}
        return found

    def wait_phase(self, name: str, *phases: str, timeout_seconds: float = 240.0) -> dict[str, Any]:
        """Wait until a RuntimeRollout has come to one of these phases, and return its status."""
        wait_until(
            lambda: self.status(name).get("phase") in phases,
            f"{name} is {' or '.join(phases)}",
            timeout_seconds,
        )
        return self.status(name)

    def wait_ready(self, names: Iterable[str], timeout_seconds: float = 240.0) -> None:
        """Wait until services are ready."""
        wanted = set(names)

        def missing() -> set[str]:
            return wanted - {
                one["metadata"]["name"] for one in self.api.get(self.services)["items"] if is_ready(one)
            }

        wait_until(lambda: not missing(), "all services are ready", timeout_seconds)

    def images(self) -> dict[str, str]:
        """The image of each service's newest revision."""
        return {
            one["metadata"]["name"]: one["status"]["runtime"]["image"].rpartition(":")[2]
            for one in self.api.get(self.services)["items"]
        }

    def states(self, name: str) -> dict[str, str]:
        """The state of each member, by its name."""
        status = self.status(name)
        members = [line.split(" ")[0].partition("/")[2] for line in status["members"]]
        return dict(zip(members, status["states"], strict=True))

    def remove(self) -> None:
        """Delete what belongs to no namespace."""
        for one in self.api.get(ROLLOUTS)["items"]:
            if one["spec"]["target"]["runtime"] == self.runtime:
                self.api.delete(f"{ROLLOUTS}/{one['metadata']['name']}")
        self.api.delete(f"{RUNTIMES}/{self.runtime}")


def is_ready(service: Mapping[str, Any]) -> bool:
    """Ready, for the current generation."""
    current = service.get("status", {}).get("observedGeneration") == service["metadata"]["generation"]
    return current and condition_status(dict(service), "Ready") == "True"


class HealthWatch(Watch):
    """How many services of a namespace were changing, and how many had no available pod, at every moment."""

    def __init__(self, api: Api, path: str) -> None:
        super().__init__(api, path)
        self._moving: set[str] = set()
        self._unavailable: set[str] = set()
        self.most_moving = 0
        self.most_unavailable = 0

    def note(self, kind: str, item: Mapping[str, Any]) -> None:
        """Take note of one service."""
        name, status = item["metadata"]["name"], item.get("status") or {}
        is_moving = status.get("stableRevision") != status.get("targetRevision")
        _keep(self._moving, name, kind != "DELETED" and is_moving)
        is_down = condition_status(dict(item), "Available") != "True" if status else False
        _keep(self._unavailable, name, kind != "DELETED" and is_down)
        self.most_moving = max(self.most_moving, len(self._moving))
        self.most_unavailable = max(self.most_unavailable, len(self._unavailable))


def _keep(names: set[str], name: str, is_in: bool) -> None:
    (names.add if is_in else names.discard)(name)
