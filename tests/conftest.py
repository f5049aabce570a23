"""Prepares what clusters need before the first test, because a first build takes longer than any test may."""

import gc
import os
from pathlib import Path

import pytest
from hack.cluster import testing
from hack.cluster.errors import ClusterError
from hypothesis import settings
from tests.support.installation import prepare_images

# A busy machine is no bug, so an example has no time limit. Hypothesis's own profile for CI has none either,
# and draws the same examples each time: what CI says depends on the change alone.
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Fixture -> what makes it quick. `make test` has done this before: then all of it is found at once.
# In this order: images are built on the base image that a node needs too.
PREPARATIONS = {
    "control_plane": testing.prepare_control_plane,
    "cluster": testing.prepare_node,
    "installation": prepare_images,
}
# Unit tests play their clusters, some under the same names.
UNIT_TESTS = Path(__file__).parent / "unit"
PREPARATION_ERRORS = pytest.StashKey[dict[str, str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the clusters that collected tests use, with the progress on the terminal."""
    gc.freeze()  # 13,000 tests and their modules stay to the end: no collection need look at them again
    with_clusters = [item for item in session.items if not item.path.is_relative_to(UNIT_TESTS)]
    fixtures = {name for item in with_clusters for name in getattr(item, "fixturenames", ())}
    errors = session.config.stash[PREPARATION_ERRORS] = {}
    if session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for fixture in [name for name in PREPARATIONS if name in fixtures]:
            try:
                PREPARATIONS[fixture]()
            except ClusterError as error:
                # The tests without this cluster can still run; those with it fail with this sentence.
                errors[fixture] = str(error)


@pytest.fixture(scope="session")
def preparation_errors(request: pytest.FixtureRequest) -> dict[str, str]:
    """Fixture -> why its cluster cannot be started on this machine."""
    return request.config.stash[PREPARATION_ERRORS]
