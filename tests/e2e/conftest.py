"""A real cluster with a real node and a registry, for tests of running containers."""

from collections.abc import Iterator

import pytest
from hack.cluster import testing
from hack.cluster.audit import Event, read_events
from hack.cluster.cluster import Cluster
from tests.support import rights_audit
from tests.support.installation import NAMESPACE


@pytest.fixture(scope="session")
def cluster(preparation_errors: dict[str, str]) -> Iterator[Cluster]:
    """A cluster with the node `node1`, shared by all tests of the run; kwok runs, but plays no node yet.

    MODELSERVICE_TEST_CLUSTER names a running cluster to use instead.
    """
    if message := preparation_errors.get("cluster"):
        pytest.fail(message, pytrace=False)
    with testing.running_cluster("e2e", "MODELSERVICE_TEST_CLUSTER", node=True) as cluster:
        yield cluster
        check_requests(list(read_events(cluster.paths)))


def check_requests(events: list[Event]) -> None:
    """Fail where a component of ours lacked a right in any test, or a model server asked for anything."""
    ours = [event for event in events if rights_audit.account_of(event)[0] == NAMESPACE]
    assert rights_audit.missed(ours) == []
    askers = {rights_audit.account_of(event) for event in events}
    assert not {account for account in askers if account[1].endswith("-runtime")}


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace for one test."""
    with testing.fresh_namespace(cluster.api) as name:
        yield name
