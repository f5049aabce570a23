"""Prepares what clusters need before the first test, because a first build takes longer than any test may."""

import pytest
from hack.cluster import testing
from hack.cluster.errors import ClusterError

CLUSTER_FIXTURES = {"control_plane", "cluster"}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find or build the programs of a cluster, in sight, when a collected test needs one."""
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if session.config.option.collectonly or not fixtures & CLUSTER_FIXTURES:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            testing.prepare()
        except ClusterError as error:
            # The tests without a cluster can still run; those with one fail with this sentence.
            session.config.stash[PREPARATION_ERROR] = str(error)


PREPARATION_ERROR = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest) -> None:
    """Fail at once, and with the reason, where the preparation failed."""
    if message := request.config.stash.get(PREPARATION_ERROR, ""):
        pytest.fail(message, pytrace=False)
