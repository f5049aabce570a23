"""The CRDs on a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hack.cluster import testing
from hack.cluster.api import Object, condition_status
from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def crds(control_plane: Cluster) -> Cluster:
    """The control plane with the CRDs established."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = control_plane.api.apply(yaml.safe_load(file.read_text(encoding="utf-8")))
        path = control_plane.api.path_of(crd)
        control_plane.api.wait_for(path, is_established, what="established")
    return control_plane


def is_established(crd: Object) -> bool:
    return condition_status(crd, "Established") == "True"


@pytest.fixture(scope="session")
def shared_namespace(crds: Cluster) -> Iterator[str]:
    """A namespace for tests that store nothing."""
    with testing.fresh_namespace(crds.api) as name:
        yield name
