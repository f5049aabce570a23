"""What a run says, and a day on which all goes well."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.operator.decide.fleet.cluster import Cluster


def conditions(cluster: Cluster) -> dict[str, str]:
    return {one["type"]: one["status"] for one in cluster.status["conditions"]}


def reason(cluster: Cluster) -> str:
    return str(next(one["reason"] for one in cluster.status["conditions"] if one["type"] == "Ready"))


def all_arrive(cluster: Cluster) -> None:
    for name in list(cluster.services):
        cluster.take(name)
        cluster.arrive(name)
