"""Every strategy on a real control plane: whatever happens in the middle of a change, clients find pods.

All services are made at once and a test takes those of one course, one for each strategy: that saves time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.kwok import create_nodes, make_fake_node
from tests.support.operator_process import wait_until
from tests.support.played_node import path_of
from tests.support.watching import EndpointWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPLICAS = 3
LATE = "example.com/late"
IGNORED = {"contract": "Ignore"}
STEPS = [{"setWeight": 34}, {"pause": {}}, {"setWeight": 67}]
STRATEGIES: dict[str, dict[str, Any]] = {
    "rolling": {},
    "recreate": {"strategy": "Recreate"},
    "canary": {"strategy": "Canary", "canary": {"steps": STEPS}},
    "blue-green": {
        "strategy": "BlueGreen",
        "blueGreen": {"autoPromote": False, "scaleDownDelaySeconds": 0},
    },
}
WITHOUT_STEPS = ("rolling", "recreate")
"""Those are held in the middle by a node that is not there yet."""


@dataclass
class Change:
    """A service whose model is changed; clients are looked at from the moment when it served first."""

    kube: Any
    endpoints: EndpointWatch
    strategy: str
    name: str
    contract: dict[str, str] = field(default_factory=lambda: dict(IGNORED))
    replicas: int = REPLICAS
    least: int = REPLICAS
    """The fewest pods that clients may find."""
    since: int = 0
    old: str = ""
    new: str = ""
    requests: Iterator[int] = field(default_factory=itertools.count)

    def apply(self, tag: str, replicas: int = REPLICAS) -> None:
        """Apply it with this model."""
        self.replicas = replicas
        late = self.strategy in WITHOUT_STEPS and tag == "2"
        scheduling = {"scheduling": {"nodeSelector": {LATE: self.name}}} if late else {}
        rollout = {**STRATEGIES[self.strategy], **self.contract}
        self.kube.apply_service(self.name, tag, replicas=replicas, rollout=rollout, **scheduling)

    def status(self) -> dict[str, Any]:
        """Its status now."""
        found: dict[str, Any] = self.kube.service(self.name).get("status", {})
        return found

    def rollout(self) -> dict[str, Any]:
        """What the status says of the change now."""
        return dict(self.status().get("rollout", {}))

    def wanted(self) -> dict[str, int]:
        """Return the pods that are wanted of each revision."""
        return {
            one["metadata"]["labels"]["modelservice.dev/revision"]: one["spec"]["replicas"]
            for one in self.kube.items("deployments")
            if one["metadata"]["labels"]["modelservice.dev/name"] == self.name
        }

    def say(self, verb: str) -> None:
        """Ask for something, of the newest revision."""
        request = f"{verb}@{self.status()['targetRevision']}@{next(self.requests)}"
        annotations = {"modelservice.dev/rollout-action": request}
        self.kube.api.patch(
            self.kube.path("modelservices", self.name), {"metadata": {"annotations": annotations}}
        )
        wait_until(lambda: self.rollout().get("action", {}).get("request") == request, "it is answered")
        assert self.rollout()["action"]["accepted"], self.rollout()["action"]

    def wait_served(self) -> None:
        """Wait until it serves for the first time."""
        self.kube.wait_ready(self.name, timeout_seconds=120)
        self.since = self.endpoints.wait_for(self.name, REPLICAS)
        self.old = self.status()["stableRevision"]

    def wait_middle(self) -> None:
        """Wait until the change goes no further on its own."""
        self.kube.wait_observed(self.name)
        self.new = self.status()["targetRevision"]
        if self.strategy in WITHOUT_STEPS:
            wait_until(lambda: self.wanted().get(self.new), f"{self.name} asks for a new pod", 120)
        else:
            wait_until(lambda: self.rollout().get("paused"), f"{self.name} is paused", 120)

    def finish(self, expected: str) -> None:
        """Let it go on to its end, where this revision serves alone."""
        wait_until(lambda: self._goes_on(), f"{self.name} is complete, not {self.rollout()}", 120)
        self.wait_alone(expected)

    def _goes_on(self) -> bool:
        if self.kube.is_ready(self.name):
            return self.rollout()["phase"] == "Complete"
        if self.rollout().get("paused") in ("PauseStep", "AwaitingPromotion"):
            self.say("promote")
        return False

    def wait_alone(self, expected: str) -> None:
        """Wait until nothing is left but this revision."""
        wait_until(lambda: self.wanted() == {expected: self.replicas}, f"{self.name}: {expected} alone", 120)
        # Clients hear of it later; with as many pods of both they would find the same number.
        self.endpoints.wait_for(self.name, self.replicas, expected)
        assert self.status()["stableRevision"] == expected

    def check(self) -> None:
        """Clients found enough pods all the time."""
        fewest = self.endpoints.fewest(self.name, self.since)
        assert fewest >= (0 if self.strategy == "recreate" else self.least), self.name

    def was_found(self, revision: str, since: int | None = None) -> bool:
        """Whether clients found a pod of a revision."""
        since = self.since if since is None else since
        return revision in self.endpoints.revisions(self.name, since)


def go_forward(change: Change) -> None:
    """The new revision serves."""
    if change.strategy in WITHOUT_STEPS:
        create_nodes(change.kube.api, [make_fake_node(f"late-{change.name}", labels={LATE: change.name})])
    change.finish(change.new)


def abort(change: Change) -> None:
    """Nothing of the new revision is left, and clients find none of it from then on."""
    change.say("abort")
    change.wait_alone(change.old)
    assert change.status()["abortedRevisions"] == [change.new]
    change.kube.wait_reason("RolloutAborted", change.name)
    if change.strategy != "canary":
        assert not change.was_found(change.new)


def scale_aborted(change: Change) -> None:
    """Scaling does not wake the revision that was aborted."""
    since = change.endpoints.now(change.name)
    change.apply("2", REPLICAS + 1)
    change.wait_alone(change.old)
    assert not change.was_found(change.new, since)


def retry(change: Change) -> None:
    """The aborted revision is tried again, from its first step."""
    change.say("retry")
    change.wait_middle()
    assert change.rollout()["phase"] in ("Progressing", "Paused")


def go_back(change: Change) -> None:
    """The spec asks for the stable revision again: no step is waited for."""
    change.apply("1")
    change.wait_alone(change.old)
    change.kube.wait_ready(change.name)


def edit_again(change: Change) -> None:
    """A third revision takes the place of the new one."""
    dropped = change.new
    change.apply("3")
    change.kube.wait_observed(change.name)
    third = change.status()["targetRevision"]
    assert third not in (change.old, dropped)
    change.finish(third)
    if change.strategy != "canary":
        assert not change.was_found(dropped)


def scale_up(change: Change) -> None:
    """The pods follow in the middle, in the ratio of the step."""
    change.apply("2", 6)
    if change.strategy == "rolling":
        wait_until(lambda: sum(change.wanted().values()) == 7, "six and the surge are wanted")
        return
    expected = {
        "recreate": {change.new: 6},
        "canary": {change.old: 4, change.new: 2},
        "blue-green": {change.old: 6, change.new: 6},
    }[change.strategy]
    wait_until(
        lambda: {name: count for name, count in change.wanted().items() if count} == expected,
        f"{change.name} is scaled",
    )
    if change.strategy in ("canary", "blue-green"):
        change.endpoints.wait_for(change.name, 6)


def scale_down(change: Change) -> None:
    """Fewer pods are wanted; that many still answer."""
    change.least = 2
    change.apply("2", 2)
    change.kube.wait_observed(change.name)


def delete(change: Change) -> None:
    """Everything goes with the service."""
    kube = change.kube
    change.least = 0
    kube.api.delete(kube.path("modelservices", change.name))
    kinds = ("replicasets", "pods", "endpointslices")

    def left() -> list[str]:
        items = [one for kind in kinds for one in kube.api.get(kube.path(kind))["items"]]
        found = [one["metadata"]["name"] for one in items]
        names = [*found, *itertools.chain(*kube.children(change.name).values())]
        return [one for one in names if one == change.name or one.startswith(f"{change.name}-")]

    wait_until(lambda: not left(), f"nothing is left of {change.name}", 120)
    assert kube.api.find(kube.path("modelservices", change.name)) is None


def lose_a_pod(change: Change) -> None:
    """One of the pods that clients find is gone, as with its node; nothing else is taken away for that."""
    if change.strategy == "recreate":
        return
    change.least = REPLICAS - 1
    pod = min(pod for pod in change.endpoints.pods(change.name) if change.old in pod)
    metadata = {"name": pod, "namespace": change.kube.namespace}
    change.kube.api.delete(f"{path_of({'metadata': metadata})}?gracePeriodSeconds=0")
    wait_until(
        lambda: (
            pod not in change.endpoints.pods(change.name)
            and len(change.endpoints.pods(change.name)) == REPLICAS
        ),
        f"another pod took the place of {pod}",
    )


COURSES: dict[str, tuple[Callable[[Change], None], ...]] = {
    "forward": (go_forward,),
    "aborted": (abort, scale_aborted, retry, go_forward),
    "back": (go_back,),
    "edited": (edit_again,),
    "scaled": (scale_up, scale_down, go_forward),
    "deleted": (delete,),
    "lost": (lose_a_pod, go_forward),
}


@pytest.fixture(scope="module")
def changes(shared) -> Iterator[dict[str, list[Change]]]:
    """Services of each course, which serve their first model; what they leave goes with the namespace."""
    kube = shared.kube
    with EndpointWatch(kube.api, kube.namespace) as endpoints:
        made = {
            course: [Change(kube, endpoints, strategy, f"{course}-{strategy}") for strategy in STRATEGIES]
            for course in COURSES
        }
        made["unverified"] = [
            Change(kube, endpoints, strategy, f"unverified-{strategy}", contract={})
            for strategy in ("canary", "blue-green")
        ]
        everyone = list(itertools.chain(*made.values()))
        for change in everyone:
            change.apply("1")
        for change in everyone:
            change.wait_served()
        yield made
    for node in kube.api.get("/api/v1/nodes")["items"]:
        if LATE in node["metadata"]["labels"]:
            kube.api.delete(f"/api/v1/nodes/{node['metadata']['name']}")


@pytest.mark.parametrize("course", COURSES)
def test_clients_find_enough_pods_whatever_happens_in_the_middle_of_a_change(changes, course):
    together = changes[course]
    for change in together:
        change.apply("2")
    for change in together:
        change.wait_middle()
    for step in COURSES[course]:
        for change in together:
            step(change)
    for change in together:
        change.check()


def test_no_client_finds_a_revision_before_its_contract_was_looked_at(changes):
    together = changes["unverified"]
    for change in together:
        change.apply("2")
    for change in together:
        change.kube.wait_observed(change.name)
        change.new = change.status()["targetRevision"]
        wait_until(lambda change=change: change.rollout()["phase"] == "Verifying", "pods are asked")
        change.say("abort")
    for change in together:
        change.wait_alone(change.old)
        assert not change.was_found(change.new)
        change.check()
