"""Members that fail, and newer RuntimeRollouts: the same end in peace and with an operator that is killed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import OperatorFactory
from tests.support.fleet_runs import ROLLOUTS, Fleet
from tests.support.operator_process import Killer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster
    from tests.support.operator_process import OperatorProcess

FIRST, WELL, LAST = (("a0", "a1"), ("b0", "b1", "b2"), ("c0", "c1"))
REFUSED, STUCK = "b-refused", "b-stuck"
"""One that a person aborts at a step of its canary, and one whose new pod has no room beside the old one."""
NAMES = (*FIRST, *WELL, REFUSED, STUCK, *LAST)
WAVES = [
    {"name": "first", "selector": {"matchLabels": {"wave": "a"}}},
    {"name": "second", "selector": {"matchLabels": {"wave": "b"}}},
    {"name": "rest", "rest": True},
]
LIMITS = {"waves": WAVES, "maxConcurrent": 10, "maxUnavailable": "100%"}
MANUAL = {"strategy": "Canary", "contract": "Ignore", "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
MORE_THAN_HALF = {"requests": {"cpu": "20", "memory": "1Mi"}}
"""Of the only node."""
SPECS: dict[str, dict[str, Any]] = {
    REFUSED: {"rollout": MANUAL},
    STUCK: {"rollout": {"surgeProbeSeconds": 1}, "resources": MORE_THAN_HALF},
}
KILL_SECONDS = 2.0
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Case:
    """What is to happen after failures, and what everybody has come to then."""

    on_failure: str
    phase: str
    phases: tuple[str, ...]
    well: str
    """The state of each of the first wave, and of those of the second that are well."""
    failed: str
    images: str
    """The images of the first wave, of the well of the second, of the refused, the stuck and the last."""
    pods_of_stuck: list[int]
    """What its Deployments ask for."""


HALTED, BACK = ("Progressing", "Halted"), ("Progressing", "RollingBack", "RolledBack")
CASES = (
    Case("Halt", "Halted", HALTED, well="U", failed="F", images="22121", pods_of_stuck=[0, 1]),
    Case("RollbackFailed", "Halted", HALTED, well="U", failed="V", images="22111", pods_of_stuck=[1]),
    Case("RollbackAll", "RolledBack", BACK, well="R", failed="V", images="11111", pods_of_stuck=[1]),
)


@pytest.fixture(scope="module")
def operator(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with testing.fresh_namespace(installed.api) as namespace:
        factory = OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator"))
        yield factory(is_clusterwide=True).start().wait_leading()
        factory.kill_all()


@pytest.fixture
def fleet(installed: Cluster, operator: OperatorProcess) -> Iterator[Fleet]:
    """Services with a ModelRuntime of their own."""
    with testing.fresh_namespace(installed.api) as namespace:
        fleet = Fleet(installed.api, namespace)
        fleet.set_runtime(1)
        # Each once: an edit would find no room while the pods of the test before are still there.
        for name in NAMES:
            fleet.apply(name, {"wave": name[0]}, **SPECS.get(name, {}))
        fleet.wait_ready(NAMES, PATIENCE_SECONDS)
        yield fleet
        fleet.remove()


def abort_refused(fleet: Fleet) -> None:
    """Say no, as a person does, once its canary waits for that."""
    path = f"{fleet.services}/{REFUSED}"
    waiting = fleet.api.wait_for(
        path,
        lambda one: (one["status"].get("rollout") or {}).get("paused") == "PauseStep",
        what="waiting at its step",
        timeout_seconds=PATIENCE_SECONDS,
    )
    action = {"modelservice.dev/rollout-action": f"abort@{waiting['status']['targetRevision']}"}
    fleet.api.patch(path, {"metadata": {"annotations": action}})


def wait_states(fleet: Fleet, name: str, letters: str, *members: str) -> None:
    """Wait until each of these members has come to one of these states."""

    def is_there() -> bool:
        if "members" not in fleet.status(name):
            return False
        states = fleet.states(name)
        return {states[member] for member in members} <= set(letters)

    wait_until(is_there, f"{members} are {letters} in {name}", PATIENCE_SECONDS)


def run(fleet: Fleet, case: Case) -> str:
    """Bring an image to all, of whom two fail one after the other; returns the name of the rollout."""
    name = f"to-2-{fleet.namespace}"
    fleet.set_runtime(2)
    fleet.roll(name, 2, **LIMITS, onFailure=case.on_failure, maxFailures=1)
    wait_states(fleet, name, "U", *FIRST, *WELL)
    wait_states(fleet, name, "FV", STUCK)
    abort_refused(fleet)
    fleet.wait_phase(name, case.phase, timeout_seconds=PATIENCE_SECONDS)
    wait_states(fleet, name, case.failed, REFUSED, STUCK)
    return name


def see_end(fleet: Fleet, name: str) -> dict[str, Any]:
    """What is left, without names and times that differ from run to run."""
    status = fleet.status(name)
    pods: dict[str, list[int]] = {}
    for one in fleet.api.get(f"/apis/apps/v1/namespaces/{fleet.namespace}/deployments")["items"]:
        service = one["metadata"]["labels"]["modelservice.dev/name"]
        pods[service] = sorted([*pods.get(service, ()), one["spec"]["replicas"]])
    return {
        "phase": status["phase"],
        "states": fleet.states(name),
        "failures": [(one["member"].partition("/")[2], one["reason"]) for one in status["failures"]],
        "phases": [one["phase"] for one in status["history"]],
        "images": fleet.images(),
        "pods": pods,
    }


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
@pytest.mark.parametrize("is_killed", [False, True], ids=["peace", "killed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.on_failure)
def test_what_follows_failures_is_the_same_however_often_the_operator_is_killed(
    fleet: Fleet, operator: OperatorProcess, case: Case, *, is_killed: bool
) -> None:
    with Killer(operator, KILL_SECONDS) if is_killed else contextlib.nullcontext():
        name = run(fleet, case)
    operator.wait_at_rest(timeout_seconds=PATIENCE_SECONDS)
    end = see_end(fleet, name)
    groups = (FIRST, WELL, (REFUSED,), (STUCK,), LAST)
    letters = (case.well, case.well, case.failed, case.failed, "P")
    assert end == {
        "phase": case.phase,
        "phases": list(case.phases),
        "failures": [(STUCK, "InsufficientCapacity"), (REFUSED, "RolloutGivenUp")],
        "states": {name: letter for group, letter in zip(groups, letters, strict=True) for name in group},
        "images": {name: image for group, image in zip(groups, case.images, strict=True) for name in group},
        "pods": {name: case.pods_of_stuck if name == STUCK else [1] for name in NAMES},
    }
    if case.on_failure == "Halt":
        # More failures are put up with: it goes on.
        fleet.api.patch(f"{ROLLOUTS}/{name}", {"spec": {"maxFailures": 2}})
        fleet.wait_phase(name, "Complete", timeout_seconds=PATIENCE_SECONDS)
        assert {fleet.images()[member] for member in LAST} == {"2"}


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
def test_newer_one_takes_over_and_is_deleted_in_time_while_the_operator_is_killed(
    fleet: Fleet, operator: OperatorProcess
) -> None:
    old, new = f"old-{fleet.namespace}", f"new-{fleet.namespace}"
    fleet.set_runtime(2)
    with Killer(operator, KILL_SECONDS):
        fleet.roll(old, 2, **LIMITS, soakSeconds=86_400)
        wait_states(fleet, old, "M", *FIRST)
        fleet.wait_ready(FIRST, PATIENCE_SECONDS)
        fleet.set_runtime(3)
        fleet.roll(
            new,
            3,
            **LIMITS,
            selector={"namespaces": [fleet.namespace], "matchLabels": {"wave": "a"}},
            ttlSecondsAfterFinished=20,
        )
        assert fleet.wait_phase(old, "Superseded", timeout_seconds=PATIENCE_SECONDS)["supersededBy"] == new
        assert fleet.wait_phase(new, "Complete", timeout_seconds=PATIENCE_SECONDS)["supersedes"] == [old]
        fleet.api.wait_gone(f"{ROLLOUTS}/{new}", timeout_seconds=PATIENCE_SECONDS)
    operator.wait_at_rest(timeout_seconds=PATIENCE_SECONDS)
    images = fleet.images()
    assert {images[name] for name in FIRST} == {"3"}
    assert {images[name] for name in NAMES if name not in FIRST} == {"1"}
    assert fleet.status(old)["phase"] == "Superseded"
