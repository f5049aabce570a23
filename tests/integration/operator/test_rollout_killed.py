"""An operator that is killed after any single write of a change comes to the same end when it starts again.

By default a few writes are tried, MODELSERVICE_TEST_EVERY_WRITE=1 tries all of them.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.operator_process import wait_until
from tests.support.watching import CreationWatch, EndpointWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLICAS = 4
STEPS = [{"setWeight": 25}, {"pause": {"durationSeconds": 1}}, {"setWeight": 50}]
# Fake pods cannot be asked what they take. Of the revisions before, one is kept: each change ends the same.
COMMON = {"contract": "Ignore", "revisionHistoryLimit": 1}
STRATEGIES: dict[str, tuple[dict[str, Any], int]] = {
    "canary": ({"strategy": "Canary", "canary": {"steps": STEPS}}, 3),
    "blue-green": ({"strategy": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 0}}, 3),
}
"""`spec.rollout`, and how many writes are tried by default."""
REST_SECONDS = 3.0
CREATED = ("deployments", "controllerrevisions", "services")


@dataclass(frozen=True)
class Changed:
    """A service that is changed again and again; each change has to end as the first one did."""

    shared: Any
    name: str
    rollout: dict[str, Any]
    creations: dict[str, CreationWatch]
    endpoints: EndpointWatch

    def apply(self, tag: int) -> None:
        """Apply it with another model."""
        rollout = {**COMMON, **self.rollout}
        self.shared.kube.apply_service(self.name, str(tag), replicas=REPLICAS, rollout=rollout)

    def count_created(self) -> dict[str, int]:
        """Objects that were made for the service so far, by kind."""
        return {kind: watch.count(self.name) for kind, watch in self.creations.items()}

    def _is_settled(self, deployment: str) -> bool:
        """Whether controllers are done with it: a busy one tells of pods seconds after they came or went."""
        kube = self.shared.kube
        told = kube.api.get(kube.path("deployments", deployment)).get("status", {})
        counts = {told.get(f"{kind}Replicas") for kind in ("available", "ready", "updated")}
        pods = kube.api.get(f"{kube.path('pods')}?labelSelector=modelservice.dev/name={self.name}")["items"]
        return counts == {REPLICAS} == {told.get("replicas")} and len(pods) == REPLICAS

    def end(self, quiet_seconds: float = 1.0) -> dict[str, Any]:
        """Wait until nothing has happened for so long; return the end, without the names of revisions."""
        kube, name = self.shared.kube, self.name
        status = kube.wait_ready(name, timeout_seconds=120)["status"]
        stable = status["stableRevision"]
        deployment = f"{name}-{stable}"
        wait_until(lambda: kube.children(name)["deployments"] == (deployment,), "one Deployment is left")
        self.endpoints.wait_for(name, REPLICAS, stable)
        wait_until(lambda: self._is_settled(deployment), "the cluster has nothing more to tell")
        self.shared.operator.wait_at_rest(quiet_seconds)
        status = kube.service(name)["status"]
        rollout = status["rollout"]
        assert (status["stableRevision"], status["targetRevision"]) == (stable, stable)
        assert kube.api.get(kube.path("deployments", deployment))["spec"]["replicas"] == REPLICAS
        assert self.endpoints.revisions(name, self.endpoints.now(name)) == {stable}
        selector = kube.api.get(kube.path("services", name))["spec"]["selector"]
        children = {kind: len(names) for kind, names in kube.children(name).items()}
        return {
            "children": children,
            "selected": sorted(key for key in selector),
            "rollout": {key: rollout.get(key) for key in ("phase", "step", "steps", "weight", "reason")},
            "aborted": status.get("abortedRevisions"),
        }


@pytest.fixture(params=STRATEGIES)
def changed(shared, request) -> Iterator[Changed]:
    """A service that serves, watched."""
    kube, name = shared.kube, request.param
    with contextlib.ExitStack() as stack:
        creations = {kind: stack.enter_context(CreationWatch(kube.api, kube.path(kind))) for kind in CREATED}
        endpoints = stack.enter_context(EndpointWatch(kube.api, kube.namespace))
        service = Changed(shared, name, STRATEGIES[name][0], creations, endpoints)
        service.apply(0)
        service.end()
        yield service


def choose_writes(writes: int, count: int) -> list[int]:
    """The first, the last, and others evenly between them; all where that is asked for."""
    if os.environ.get("MODELSERVICE_TEST_EVERY_WRITE"):
        return list(range(1, writes + 1))
    return sorted({1 + round(step * (writes - 1) / (count - 1)) for step in range(count)})


def test_operator_killed_after_any_write_of_a_change_ends_the_same(changed, shared):
    begun, before = changed.endpoints.now(changed.name), changed.count_created()
    shared.proxy.forget()
    changed.apply(1)
    # What is told last waits for its turn.
    expected, writes = changed.end(REST_SECONDS), len(shared.proxy.writes())
    after = changed.count_created()
    created = {kind: after[kind] - before[kind] for kind in CREATED}

    numbers = choose_writes(writes, STRATEGIES[changed.name][1])
    for number in numbers:
        before = changed.count_created()
        shared.kill_at_write(number, lambda tag=number: changed.apply(1 + tag), changed.name)
        assert changed.end() == expected, f"killed after write {number} of {writes}"
        after = changed.count_created()
        assert {kind: after[kind] - before[kind] for kind in CREATED} == created, f"write {number}"
        fewest = changed.endpoints.fewest(changed.name, begun)
        assert fewest >= REPLICAS, f"clients had {fewest} pods after write {number} of {writes}"

    shared.operator.wait_at_rest(REST_SECONDS).kill()
    shared.proxy.forget()
    shared.operator.start().wait_ready().wait_leading().wait_at_rest(REST_SECONDS)
    assert shared.proxy.writes() == []
