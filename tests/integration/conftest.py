"""A real API server with its controllers and a fake node, for tests that need no running container."""

from collections.abc import Iterator

import pytest
from hack.cluster import testing
from hack.cluster.cluster import Cluster


@pytest.fixture(scope="session")
def control_plane(preparation_errors: dict[str, str]) -> Iterator[Cluster]:
    """A control plane whose pods run on the fake node `kwok-0`, shared by all tests of the run.

    MODELSERVICE_TEST_CONTROL_PLANE names a running cluster to use instead.
    """
    if message := preparation_errors.get("control_plane"):
        pytest.fail(message, pytrace=False)
    with testing.running_cluster("integration", "MODELSERVICE_TEST_CONTROL_PLANE", node=False) as cluster:
        yield cluster


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A fresh namespace for one test."""
    with testing.fresh_namespace(control_plane.api) as name:
        yield name
