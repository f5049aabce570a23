"""300 services of mixed health in five waves, in peace and with an operator that is killed often."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from hack.cluster.api import condition_status
from tests.integration.operator.conftest import OperatorFactory, open_proxy
from tests.support.fleet_runs import Fleet, HealthWatch
from tests.support.operator_process import Killer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hack.cluster.cluster import Cluster
    from tests.support.fault_proxy import FaultProxy
    from tests.support.operator_process import OperatorProcess

COUNT, CONCURRENT, UNAVAILABLE = 300, 20, 25
NAMES = [f"s{number:03}" for number in range(COUNT)]
BROKEN, PINNED = NAMES[7::30], NAMES[11::50]
WELL = [name for name in NAMES if name not in BROKEN]
MOVED = [name for name in WELL if name not in PINNED]
WAVES = [
    *({"name": f"w{wave}", "selector": {"matchLabels": {"wave": f"w{wave}"}}} for wave in range(4)),
    {"name": "rest", "rest": True},
]
NOWHERE = {"nodeSelector": {"example.com/nowhere": "here"}}
PATIENCE_SECONDS = 1500.0


class WellWatch(HealthWatch):
    """Those that are broken from the start do not move; they do count as unavailable."""

    def note(self, kind: str, item: Mapping[str, Any]) -> None:
        """Take note of one service."""
        if item["metadata"]["name"] in WELL:
            super().note(kind, item)


@pytest.fixture(scope="module")
def proxy(installed: Cluster) -> Iterator[FaultProxy]:
    with open_proxy(installed) as running:
        yield running


@pytest.fixture(scope="module")
def many(
    installed: Cluster, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, OperatorProcess]]:
    with testing.fresh_namespace(installed.api) as namespace:
        fleet = Fleet(installed.api, namespace)
        fleet.set_runtime(1)
        directory: Path = tmp_path_factory.mktemp("operator")
        factory = OperatorFactory(installed, namespace, directory)
        operator = factory(proxy=proxy, is_clusterwide=True).start().wait_leading()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: apply(fleet, number), range(COUNT)))
        fleet.wait_ready(NAMES, PATIENCE_SECONDS)
        for name in BROKEN:
            path = f"{fleet.services}/{name}"
            installed.api.patch(path, {"spec": {"scheduling": NOWHERE}})
            installed.api.wait_for(
                path,
                lambda one: condition_status(one, "Available") == "False",
                what="down",
                timeout_seconds=240,
            )
        yield fleet, operator
        factory.kill_all()
        fleet.remove()


def apply(fleet: Fleet, number: int) -> None:
    name = NAMES[number]
    spec: dict[str, Any] = {"runtime": {"pin": True}} if name in PINNED else {}
    if name in BROKEN:
        spec["rollout"] = {"strategy": "Recreate"}  # so that nothing is left of what served
    fleet.apply(name, {"wave": f"w{number % 5}"}, **spec)


def go(fleet: Fleet, operator: OperatorProcess, proxy: FaultProxy, number: int) -> tuple[WellWatch, int]:
    """Bring an image to all; returns what was seen, and the count of writes without Events and Leases."""
    operator.wait_at_rest(timeout_seconds=PATIENCE_SECONDS)
    fleet.set_runtime(number)
    operator.wait_at_rest(timeout_seconds=PATIENCE_SECONDS)
    proxy.forget()
    with WellWatch(fleet.api, fleet.services) as watch:
        limits = {"waves": WAVES, "maxConcurrent": CONCURRENT, "maxUnavailable": UNAVAILABLE}
        fleet.roll(f"to-{number}", number, **limits)
        fleet.wait_phase(f"to-{number}", "Complete", timeout_seconds=PATIENCE_SECONDS)
    return watch, sum("/events" not in one.path and "/leases/" not in one.path for one in proxy.writes())


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
def test_many_move_within_their_limits_also_with_an_operator_that_is_killed(
    many: tuple[Fleet, OperatorProcess], proxy: FaultProxy
) -> None:
    fleet, operator = many
    peace, writes = go(fleet, operator, proxy, 2)
    check(fleet, peace, 2)
    with Killer(operator) as killer:
        war, more_writes = go(fleet, operator, proxy, 3)
    check(fleet, war, 3)
    print(
        f"writes {writes} and {more_writes}, {killer.kills} kills, at most {peace.most_moving} and "
        f"{war.most_moving} moving, {peace.most_unavailable} and {war.most_unavailable} unavailable"
    )
    assert killer.kills > 3
    assert more_writes <= 1.1 * writes


def check(fleet: Fleet, watch: WellWatch, number: int) -> None:
    """Everybody who may is there, nobody else is, and at no moment were limits passed."""
    states = fleet.states(f"to-{number}")
    assert Counter(states.values()) == {"U": len(MOVED), "B": len(BROKEN), "N": len(PINNED)}
    assert {name for name, state in states.items() if state == "B"} == set(BROKEN)
    images = fleet.images()
    assert {images[name] for name in MOVED} == {str(number)}
    assert {images[name] for name in PINNED} == {"1"}
    assert watch.most_moving <= CONCURRENT
    assert len(BROKEN) + watch.most_unavailable <= UNAVAILABLE
