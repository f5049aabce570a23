"""Windows that cannot be understood: they hold up starts, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.decide.fleet.cluster import Cluster
from tests.unit.operator.decide.fleet.told import all_arrive, conditions, reason

BROKEN_WINDOWS = [
    {"schedule": "0 0 31 2 *", "durationSeconds": 60},
    {"schedule": "0 22 * * *", "durationSeconds": 60, "timeZone": "Europe/Berln"},
]


@pytest.mark.parametrize("window", BROKEN_WINDOWS)
def test_window_that_cannot_be_understood_holds_up_starts(window: dict[str, Any]) -> None:
    cluster = Cluster(2, maxConcurrent=1, maxUnavailable=1)
    cluster.look()
    cluster.edit(maintenanceWindows=[{"schedule": "0 22 * * *", "durationSeconds": 60}, window])
    all_arrive(cluster)
    cluster.look()
    assert (cluster.states, cluster.status["phase"], reason(cluster)) == (
        "UP",
        "AwaitingWindow",
        "WindowInvalid",
    )
    assert conditions(cluster)["Stalled"] == "True"
    message = next(one["message"] for one in cluster.status["conditions"] if one["type"] == "Ready")
    assert message.startswith("spec.maintenanceWindows[1].")
    cluster.edit(maintenanceWindows=[])
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"], conditions(cluster)["Ready"]) == (
        "UU",
        "Complete",
        "True",
    )


def test_window_that_cannot_be_understood_holds_up_nothing_but_starts() -> None:
    cluster = Cluster(3, maxConcurrent=2, maxUnavailable=2, onFailure="RollbackAll")
    cluster.look()
    cluster.edit(maintenanceWindows=BROKEN_WINDOWS[:1])
    cluster.take("s00")
    cluster.give_up("s00")
    cluster.look()
    assert (cluster.states, cluster.status["phase"], reason(cluster)) == ("GCP", "RollingBack", "RollingBack")
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("VRP", "RolledBack")


@pytest.mark.parametrize("request_", ["abort", "rollback"])
def test_requests_are_answered_though_a_window_cannot_be_understood(request_: str) -> None:
    cluster = Cluster(2, maxConcurrent=1, maxUnavailable=1)
    cluster.look()
    cluster.edit(maintenanceWindows=BROKEN_WINDOWS[:1])
    cluster.ask(request_)
    cluster.look_on()
    assert cluster.status["action"]["accepted"]
    assert cluster.status["phase"] == {"abort": "Aborted", "rollback": "RolledBack"}[request_]


def test_nobody_is_chosen_while_a_window_cannot_be_understood() -> None:
    cluster = Cluster(2, maintenanceWindows=BROKEN_WINDOWS[:1])
    cluster.look()
    assert (cluster.status["phase"], reason(cluster), "members" in cluster.status) == (
        "Pending",
        "WindowInvalid",
        False,
    )
