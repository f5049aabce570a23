"""A runtime's image goes through services wave by wave: the real operator, on a real control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import OperatorFactory, open_proxy
from tests.support.fleet_runs import ROLLOUTS, Fleet, HealthWatch
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster
    from tests.support.fault_proxy import FaultProxy
    from tests.support.operator_process import OperatorProcess

NAMES = [f"s{number}" for number in range(6)]
WAVES = [{"name": "first", "selector": {"matchLabels": {"wave": "1"}}}, {"name": "rest", "rest": True}]
MANUAL = {"strategy": "Canary", "contract": "Ignore", "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
LIMITS = {"waves": WAVES, "maxConcurrent": 2, "maxUnavailable": 2}


class Running:
    """An operator of the whole cluster behind a proxy, and services that are ready."""

    def __init__(self, fleet: Fleet, proxy: FaultProxy, operator: OperatorProcess) -> None:
        self.fleet, self.proxy, self.operator = fleet, proxy, operator
        self.number = 1

    def next_image(self) -> int:
        """Have the ModelRuntime name another image."""
        self.number += 1
        self.fleet.set_runtime(self.number)
        return self.number


@pytest.fixture(scope="module")
def running(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_proxy(installed) as proxy, testing.fresh_namespace(installed.api) as namespace:
        fleet = Fleet(installed.api, namespace)
        fleet.set_runtime(1)
        with OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator")) as factory:
            operator = factory(proxy=proxy, is_clusterwide=True).start().wait_leading()
            for number, name in enumerate(NAMES):
                fleet.apply(name, {"wave": "1"} if number < 2 else {})
            fleet.wait_ready(NAMES)
            yield Running(fleet, proxy, operator)
        fleet.remove()


def test_image_goes_through_the_waves_with_few_writes_and_stays(running: Running) -> None:
    fleet, proxy, number = running.fleet, running.proxy, running.next_image()
    running.operator.wait_at_rest()
    assert set(fleet.images().values()) == {"1"}, "a ModelRuntime alone moves nothing"
    specs = {one["metadata"]["name"]: one["spec"] for one in fleet.api.get(fleet.services)["items"]}
    proxy.forget()
    with HealthWatch(fleet.api, fleet.services) as watch:
        fleet.roll("one", number, **LIMITS)
        fleet.wait_phase("one", "Complete")
        running.operator.wait_at_rest()
    assert set(fleet.images().values()) == {str(number)}
    assert (watch.most_moving <= 2, watch.most_unavailable) == (True, 0)
    writes = [one.path for one in proxy.writes() if "/runtimerollouts/" in one.path]
    # A start and an end of each pair at the least; of what comes between it tells nothing.
    assert len(writes) <= 2 * len(NAMES) + 1
    after = {one["metadata"]["name"]: one["spec"] for one in fleet.api.get(fleet.services)["items"]}
    assert after == specs, "nobody writes what is the user's"

    fleet.api.delete("/apis/modelservice.dev/v1alpha1/runtimerollouts/one")
    fleet.apply("s0", {"wave": "1"}, model={"storageUri": "oci://registry.example/models/spam:2"})
    fleet.wait_ready(NAMES)
    assert fleet.images()["s0"] == str(number), "an edit takes no old image back"


def test_a_failure_brings_all_back_though_the_operator_was_killed_meanwhile(running: Running) -> None:
    fleet, before = running.fleet, str(running.number)
    fleet.apply("s3", rollout=MANUAL)
    fleet.wait_ready(NAMES)
    all_at_once = {"waves": WAVES, "maxConcurrent": len(NAMES), "maxUnavailable": "100%"}
    fleet.roll("two", running.next_image(), **all_at_once, onFailure="RollbackAll")
    path = f"{fleet.services}/s3"
    wait_for_its_step(fleet, "s3")
    running.operator.kill()
    target = fleet.api.get(path)["status"]["targetRevision"]
    action = {"modelservice.dev/rollout-action": f"abort@{target}"}
    fleet.api.patch(path, {"metadata": {"annotations": action}})
    running.operator.start().wait_leading()
    fleet.wait_phase("two", "RolledBack")
    fleet.wait_ready(NAMES)
    assert set(fleet.images().values()) == {before}
    assert fleet.states("two") == {name: "V" if name == "s3" else "R" for name in NAMES}


def test_a_newer_run_takes_over_from_one_that_was_ended_with_members_on_the_way(running: Running) -> None:
    fleet = running.fleet
    all_at_once = {"maxConcurrent": len(NAMES), "maxUnavailable": "100%"}
    fleet.roll("three", running.next_image(), **all_at_once)
    wait_for_its_step(fleet, "s3")
    wait_until(lambda: set(fleet.states("three").values()) == {"U", "M"}, "all but one have it", 240)
    fleet.ask("three", "abort")
    fleet.wait_phase("three", "Aborted")

    fleet.roll("four", running.next_image(), **all_at_once)
    told = fleet.wait_phase("three", "Superseded")
    assert (told["supersededBy"], told["counts"]["failed"], "endedAt" in told) == ("four", 0, True)
    promote(fleet, "s3")  # what was on its way when the newer run began is waited for
    running.operator.kill()
    running.operator.start().wait_leading()
    wait_for_its_step(fleet, "s3", str(running.number))
    promote(fleet, "s3")
    fleet.wait_phase("four", "Complete")
    assert set(fleet.images().values()) == {str(running.number)}

    # With the newer one gone, and an operator that remembers nothing, the older one still commands nobody.
    fleet.api.delete(f"{ROLLOUTS}/four")
    running.operator.kill()
    running.operator.start().wait_leading()
    running.operator.wait_at_rest()
    assert fleet.status("three")["phase"] == "Superseded"
    assert set(fleet.images().values()) == {str(running.number)}


def wait_for_its_step(fleet: Fleet, name: str, image: str | None = None) -> None:
    """Wait until a service waits for a person, with this image."""

    def waits(one: dict[str, Any]) -> bool:
        status = one["status"]
        is_paused = (status.get("rollout") or {}).get("paused") == "PauseStep"
        return is_paused and (image is None or status["runtime"]["image"].endswith(f":{image}"))

    fleet.api.wait_for(f"{fleet.services}/{name}", waits, what="waiting for a person", timeout_seconds=240)


def promote(fleet: Fleet, name: str) -> None:
    """Let a service go on to its end."""
    path = f"{fleet.services}/{name}"
    target = fleet.api.get(path)["status"]["targetRevision"]
    action = {"modelservice.dev/rollout-action": f"promote@{target}"}
    fleet.api.patch(path, {"metadata": {"annotations": action}})
