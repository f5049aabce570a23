"""Components of others beside ours, for real: too slow to build for `make test`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hack.cluster.netns import namespace_name

# A cluster with a real node, and one without: a control plane with fake nodes, and the operator.
from tests.e2e.conftest import cluster
from tests.e2e.serving.conftest import installation, user
from tests.integration.conftest import control_plane, namespace
from tests.integration.operator.conftest import installed, kube, make_operator

if TYPE_CHECKING:
    from hack.cluster.cluster import Cluster

__all__ = [
    "cluster",
    "control_plane",
    "installation",
    "installed",
    "kube",
    "make_operator",
    "namespace",
    "user",
]


@pytest.fixture
def inside(control_plane: Cluster) -> tuple[str, ...]:
    """What stands before a command that is to run where the API server can reach it."""
    if os.geteuid() != 0:
        pytest.fail("the API server reaches other servers in a network namespace only: run as root")
    return ("ip", "netns", "exec", namespace_name(control_plane.name))
