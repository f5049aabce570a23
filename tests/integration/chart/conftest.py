"""The chart and the real helm."""

import contextlib

import pytest
from hack.cluster.binaries import find_programs
from hack.cluster.errors import ClusterError
from tests.integration.api.conftest import crds
from tests.support.chart import Chart

__all__ = ["crds"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build helm and kubeconform: the first time takes longer than a test may."""
    used = any("chart" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not used:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    # Where it fails, the fixture fails again, with the reason; all others can still run.
    with capture.global_and_fixture_disabled(), contextlib.suppress(ClusterError):
        find_programs(["helm", "kubeconform"])


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The project's chart."""
    return Chart(find_programs(["helm"])["helm"])
