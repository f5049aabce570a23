"""A real autoscaler in the middle of a change: it counts the pods that clients find, and those follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.support.operator_process import wait_until
from tests.support.watching import EndpointWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

STRATEGIES = {
    "canary": {
        "strategy": "Canary",
        "canary": {"steps": [{"setWeight": 50}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]},
    },
    "blue-green": {
        "strategy": "BlueGreen",
        "blueGreen": {"autoPromote": False, "scaleDownDelaySeconds": 0},
    },
}


@dataclass
class Autoscaled:
    """A service whose autoscaler has no metrics: it keeps to its bounds, and else leaves the number."""

    kube: Any
    endpoints: EndpointWatch
    strategy: str

    @property
    def name(self) -> str:
        return f"scaled-{self.strategy}"

    def apply(self, tag: str, *, fewest: int, most: int = 8) -> None:
        """Apply it with this model and these bounds of the autoscaler."""
        self.kube.apply_service(
            self.name,
            tag,
            autoscaling={"minReplicas": fewest, "maxReplicas": most},
            rollout={**STRATEGIES[self.strategy], "contract": "Ignore"},
        )

    def scale(self, replicas: int) -> None:
        """Write `/scale`, as an autoscaler with metrics does."""
        path = f"{self.kube.path('modelservices', self.name)}/scale"
        self.kube.api.patch(path, {"spec": {"replicas": replicas}})

    def wanted(self) -> list[int]:
        """Return the pods that are wanted of the old and of the new revision."""
        status = self.kube.service(self.name)["status"]
        found = {
            one["metadata"]["labels"]["modelservice.dev/revision"]: one["spec"]["replicas"]
            for one in self.kube.items("deployments")
            if one["metadata"]["labels"]["modelservice.dev/name"] == self.name
        }
        return [found.get(status["stableRevision"], 0), found.get(status["targetRevision"], 0)]

    def wait_split(self, old: int, new: int, counted: int) -> None:
        """Wait until pods are split like this; the autoscaler counts those, and just those, clients find."""
        wait_until(lambda: self.wanted() == [old, new], f"{old}+{new} of {self.name}, not {self.wanted()}")
        self.endpoints.wait_for(self.name, counted)
        wait_until(lambda: self._is_counted(counted), f"{counted} pods of {self.name} are counted")

    def _is_counted(self, count: int) -> bool:
        scale = self.kube.api.get(f"{self.kube.path('modelservices', self.name)}/scale")["status"]
        pods = self.kube.api.get(f"{self.kube.path('pods')}?labelSelector={quote(scale['selector'])}")
        names = {pod["metadata"]["name"] for pod in pods["items"]}
        autoscaler = self.kube.api.get(self.kube.path("horizontalpodautoscalers", self.name))
        seen = autoscaler.get("status", {}).get("currentReplicas")
        return (
            scale["replicas"] == count == len(names)
            and names == self.endpoints.pods(self.name)
            and seen == count
        )

    def wait_paused(self, step: int) -> None:
        """Wait until the change pauses at this step."""

        def is_paused() -> bool:
            rollout = self.kube.service(self.name)["status"].get("rollout", {})
            return bool(rollout.get("paused")) and rollout.get("step", 0) == step

        wait_until(is_paused, f"{self.name} is paused at {step}")

    def say(self, verb: str) -> None:
        """Ask for something, of the newest revision."""
        request = f"{verb}@{self.kube.service(self.name)['status']['targetRevision']}"
        annotations = {"modelservice.dev/rollout-action": request}
        self.kube.api.patch(
            self.kube.path("modelservices", self.name), {"metadata": {"annotations": annotations}}
        )


@pytest.fixture
def services(shared) -> Iterator[list[Autoscaled]]:
    """One service of each strategy; both at once, as the autoscaler looks every two seconds only."""
    with EndpointWatch(shared.kube.api, shared.kube.namespace) as endpoints:
        made = [Autoscaled(shared.kube, endpoints, strategy) for strategy in STRATEGIES]
        for service in made:
            service.apply("1", fewest=4)
        for service in made:
            service.kube.wait_ready(service.name)
            service.wait_split(4, 4, 4)  # both are the same revision
        yield made


def test_pods_of_both_revisions_follow_an_autoscaler_in_the_middle_of_a_change(services):
    canary, blue_green = services
    begun = {one.name: one.endpoints.now(one.name) for one in services}
    for one in services:
        one.apply("2", fewest=4)
    canary.wait_paused(1)
    canary.wait_split(2, 2, 4)
    blue_green.wait_paused(0)
    blue_green.wait_split(4, 4, 4)

    for one in services:  # The autoscaler itself writes the new number.
        one.apply("2", fewest=8)
    canary.wait_split(4, 4, 8)
    blue_green.wait_split(8, 8, 8)
    for one in services:
        path = one.kube.path("modelservices", one.name)
        one.kube.api.wait_for(path, lambda found: found["spec"]["replicas"] == 8, what="8 are asked for")
        one.apply("2", fewest=2)
        one.scale(6)
    canary.wait_split(3, 3, 6)
    blue_green.wait_split(6, 6, 6)

    # While pods move: from one step to the next, and over to the new ones.
    canary.say("resume")
    blue_green.say("promote")
    for one in services:
        one.scale(8)
    canary.wait_paused(3)
    canary.wait_split(2, 6, 8)
    canary.say("promote")
    canary.scale(5)
    blue_green.scale(5)
    for one in services:
        one.kube.wait_ready(one.name)
        one.wait_split(5, 5, 5)  # both are the same revision
        assert one.kube.service(one.name)["spec"]["replicas"] == 5
        assert one.endpoints.fewest(one.name, begun[one.name]) >= 4
