"""A node whose kubelet is the test: its pods start and end when the test says so."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hack.cluster.kwok import make_fake_node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hack.cluster.api import Api

LABEL = "example.com/played"


@dataclass(frozen=True)
class PlayedNode:
    """A node that is Ready for as long as a node is without a word from its kubelet: 50 seconds a beat."""

    api: Api
    name: str

    @property
    def scheduling(self) -> dict[str, Any]:
        """`spec.scheduling` of a service whose pods shall be here, also when it is thought to be lost."""
        return {"nodeSelector": {LABEL: self.name}, "tolerations": [{"operator": "Exists"}]}

    def pods(self, *, leaving: bool = False) -> list[dict[str, Any]]:
        """The pods that have this node, or those of them that are being stopped."""
        pods = self.api.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}")["items"]
        return [pod for pod in pods if not leaving or "deletionTimestamp" in pod["metadata"]]

    def start_pods(self) -> None:
        """Every pod that is here is ready from now on."""
        for pod in self.pods():
            self.api.patch(f"{path_of(pod)}/status", {"status": ready_status(pod)}, kind="strategic-merge")

    def beat(self) -> None:
        """Say that the node is still there."""
        status = {"conditions": [_condition("Ready")]}
        self.api.patch(f"/api/v1/nodes/{self.name}/status", {"status": status}, kind="strategic-merge")

    def end_pods(self) -> None:
        """Every pod that is being stopped is gone."""
        for pod in self.pods(leaving=True):
            self.api.delete(f"{path_of(pod)}?gracePeriodSeconds=0")


def path_of(pod: Mapping[str, Any]) -> str:
    """The path of a pod."""
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


@contextlib.contextmanager
def played_node(api: Api, name: str, capacity: Mapping[str, str] | None = None) -> Iterator[PlayedNode]:
    """A node of this name for as long as this lasts; its pods go with it."""
    node = make_fake_node(name, capacity=capacity, labels={LABEL: name})
    del node["metadata"]["annotations"]
    node["status"]["conditions"] = [_condition("Ready")]
    api.create("/api/v1/nodes", node)
    played = PlayedNode(api, name)
    try:
        yield played
    finally:
        for pod in played.pods():
            api.delete(f"{path_of(pod)}?gracePeriodSeconds=0")
        api.delete(f"/api/v1/nodes/{name}")


def _condition(kind: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": kind,
        "status": "True",
        "lastTransitionTime": now,
        "lastHeartbeatTime": now,
        "reason": "Played",
        "message": "played",
    }


def ready_status(pod: Mapping[str, Any], address: str = "192.0.2.1") -> dict[str, Any]:
    """The status of a pod that is ready at this address."""
    running = [
        {"name": one["name"], "image": one["image"], "imageID": "", "ready": True, "restartCount": 0}
        for one in pod["spec"]["containers"]
    ]
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [_condition("ContainersReady"), _condition("Ready")],
        "containerStatuses": [{**one, "state": {"running": {"startedAt": started}}} for one in running],
    }
