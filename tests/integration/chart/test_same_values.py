"""`helm upgrade` with the values of before, as Flux and people do again and again, writes nothing anew."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hack.cluster import testing
from hack.cluster.cluster import Cluster
from tests.support.chart import RELEASE, Chart

# Other tests serve the definitions and a default ModelRuntime in the same control plane.
VALUES = {"crds": {"install": False}, "defaultRuntime": {"install": False}}


class Release:
    """A release of the chart in a namespace."""

    def __init__(self, chart: Chart, cluster: Cluster, namespace: str) -> None:
        self._chart, self._cluster, self._namespace = chart, cluster, namespace

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        where = ("--namespace", self._namespace, "--kubeconfig", str(self._cluster.kubeconfig))
        command = [self._chart.helm, *arguments, *where]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    def upgrade(self) -> None:
        values = yaml.safe_dump(VALUES)
        self.helm("upgrade", "--install", RELEASE, str(self._chart.folder), "--values", "-", stdin=values)

    def traces(self) -> dict[str, Any]:
        """Of each object who wrote it when, but for what its controller says of it."""
        api, found = self._cluster.api, {}
        for body in yaml.safe_load_all(self.helm("get", "manifest", RELEASE)):
            metadata = {"namespace": self._namespace, **body["metadata"]}
            path = api.path_of({**body, "metadata": metadata})
            live = api.get(path)
            writers = [
                (one["manager"], one["time"])
                for one in live["metadata"]["managedFields"]
                if one.get("subresource") != "status"
            ]
            version = None if "status" in live else live["metadata"]["resourceVersion"]
            found[path] = (live["metadata"].get("generation"), writers, version)
        return found


@pytest.fixture
def release(chart: Chart, control_plane: Cluster) -> Iterator[Release]:
    with testing.fresh_namespace(control_plane.api) as namespace:
        made = Release(chart, control_plane, namespace)
        made.upgrade()
        yield made
        made.helm("uninstall", RELEASE)


def test_upgrade_with_the_same_values_writes_no_object(release: Release) -> None:
    before = release.traces()
    assert len(before) > 20
    release.upgrade()

    assert release.traces() == before
