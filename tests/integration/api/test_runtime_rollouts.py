"""What the API server keeps of RuntimeRollouts, and what it lets nobody change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.api import ApiError
from tests.support.manifests import runtime_rollout_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

COLLECTION = "/apis/modelservice.dev/v1alpha1/runtimerollouts"
EVERYTHING = next(one.manifest for one in runtime_rollout_cases() if one.name == "everything")
MOVED = {"target": {"runtime": "other"}, "selector": {"namespaces": ["shop"]}, "waves": None}


@pytest.fixture
def rollout(crds: Cluster) -> Iterator[str]:
    """The path of one RuntimeRollout."""
    crds.api.create(COLLECTION, EVERYTHING)
    path = f"{COLLECTION}/everything"
    yield path
    crds.api.delete(path)


def started(**status: Any) -> dict[str, Any]:
    return {"status": {"startedAt": "2026-01-01T00:00:00Z", **status}}


@pytest.mark.parametrize("field", MOVED)
def test_who_moves_where_is_fixed_once_it_has_started(crds: Cluster, rollout: str, field: str) -> None:
    crds.api.patch(rollout, {"spec": {field: EVERYTHING["spec"][field]}})
    crds.api.patch(f"{rollout}/status", started())
    with pytest.raises(ApiError, match=rf"spec\.{field}.*make another RuntimeRollout"):
        crds.api.patch(rollout, {"spec": {field: MOVED[field]}})
    crds.api.patch(rollout, {"spec": {"paused": False, "maxConcurrent": 1, "maxFailures": 9}})


def test_who_moves_where_can_be_corrected_before(crds: Cluster, rollout: str) -> None:
    crds.api.patch(f"{rollout}/status", {"status": {"phase": "Pending"}})
    crds.api.patch(rollout, {"spec": MOVED})
    assert "waves" not in crds.api.get(rollout)["spec"]


def test_a_run_of_the_most_members_is_kept(crds: Cluster, rollout: str) -> None:
    name = f"{'n' * 63}/{'m' * 52}"
    members = [f"{name} 0123abcd 0 {number % 2}" for number in range(5_000)]
    crds.api.patch(f"{rollout}/status", started(members=members, states="P" * 5_000))
    crds.api.patch(f"{rollout}/status", {"status": {"states": "U" * 5_000}})
    status = crds.api.get(rollout)["status"]
    assert (status["members"], status["states"]) == (members, "U" * 5_000)
