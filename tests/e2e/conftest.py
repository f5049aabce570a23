"""A real cluster with a real node and a registry, for tests of running containers."""

from collections.abc import Iterator

import pytest
from hack.cluster import testing
from hack.cluster.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(preparation_errors: dict[str, str]) -> Iterator[Cluster]:
    """A cluster with the node `node1`, shared by all tests of the run; kwok runs, but plays no node yet.

    MODELSERVICE_TEST_CLUSTER names a running cluster to use instead.
    """
    if message := preparation_errors.get("cluster"):
        pytest.fail(message, pytrace=False)
    with testing.running_cluster("e2e", "MODELSERVICE_TEST_CLUSTER", node=True) as cluster:
        yield cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace for one test."""
    with testing.fresh_namespace(cluster.api) as name:
        yield name
