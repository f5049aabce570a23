"""A runtime's image goes through services wave by wave: the real operator, on a real control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import OperatorFactory, open_proxy
from tests.support.fleet_runs import Fleet, HealthWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster
    from tests.support.fault_proxy import FaultProxy
    from tests.support.operator_process import OperatorProcess

NAMES = [f"s{number}" for number in range(6)]
WAVES = [{"name": "first", "selector": {"matchLabels": {"wave": "1"}}}, {"name": "rest", "rest": True}]


@pytest.fixture(scope="module")
def running(
    installed: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, FaultProxy, OperatorProcess]]:
    """An operator of the whole cluster, and services that are ready."""
    with open_proxy(installed) as proxy, testing.fresh_namespace(installed.api) as namespace:
        fleet = Fleet(installed.api, namespace)
        fleet.set_runtime(1)
        factory = OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator"))
        operator = factory(proxy=proxy, is_clusterwide=True).start().wait_leading()
        for number, name in enumerate(NAMES):
            fleet.apply(name, {"wave": "1"} if number < 2 else {})
        fleet.wait_ready(NAMES)
        yield fleet, proxy, operator
        factory.kill_all()
        fleet.remove()


def test_image_goes_through_the_waves_and_stays(running: Any) -> None:
    fleet, proxy, operator = running
    fleet.set_runtime(2)
    operator.wait_at_rest()
    assert set(fleet.images().values()) == {"1"}
    with HealthWatch(fleet.api, fleet.services) as watch:
        fleet.roll("one", 2, waves=WAVES, maxConcurrent=2, maxUnavailable=2)
        fleet.wait_phase("one", "Complete")
    assert set(fleet.images().values()) == {"2"}
    assert (watch.most_moving <= 2, watch.most_unavailable) == (True, 0)
    proxy.forget()
    operator.wait_at_rest()
