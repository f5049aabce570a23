"""What the pytest fixtures of every test folder share: clusters that end with the run, and namespaces."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator

from hack.cluster.api import Api
from hack.cluster.baseimage import find_base_image
from hack.cluster.binaries import find_programs
from hack.cluster.cluster import Cluster, remove_orphans
from hack.cluster.errors import ClusterError
from hack.cluster.npm_programs import AZURITE, find_npm_program
from hack.cluster.packages import BUILD_PROGRAMS, NODE_PROGRAMS, ensure_packages
from hack.cluster.pause import pause_archive
from hack.cluster.processes import current_identity

NAMESPACE_TIMEOUT_SECONDS = 30.0
# The programs of a test cluster, and the stores of the fetcher's tests.
CLUSTER_FAMILIES = ("kubernetes", "etcd", "kwok")
STORE_FAMILIES = ("versitygw", "fake-gcs-server")
TOOL_FAMILIES = ("helm", "kubeconform", "crdify", "actionlint", "age", "oras")
REGISTRY_PROGRAMS = {"docker-registry": "docker-registry"}
METRICS_PROGRAMS = {"prometheus": "prometheus"}


def prepare_control_plane() -> None:
    """Find or build the programs of a control plane; the first time takes many minutes."""
    find_programs(CLUSTER_FAMILIES)


def prepare_servers() -> None:
    """Find, build or install the servers that tests fetch models or metrics from."""
    find_programs(STORE_FAMILIES)
    ensure_packages(REGISTRY_PROGRAMS | METRICS_PROGRAMS)
    try:
        find_npm_program(*AZURITE)
    except ClusterError as error:
        print(f"tests with it are skipped: {error}", file=sys.stderr)


def prepare_tools() -> None:
    """Find or build the tools that tests ask: the first time may take longer than a test may."""
    find_programs(TOOL_FAMILIES)


def prepare_node() -> None:
    """Find, install or make everything that a node and builds of images need, as root."""
    prepare_control_plane()
    ensure_packages({**NODE_PROGRAMS, **BUILD_PROGRAMS})
    pause_archive()
    find_base_image()


@contextlib.contextmanager
def running_cluster(kind: str, reuse_variable: str, *, node: bool) -> Iterator[Cluster]:
    """Yield a cluster made for this test run and removed after it.

    The environment variable `reuse_variable` names a running cluster to use, and to leave running, instead.
    """
    if name := os.environ.get(reuse_variable):
        cluster = Cluster(name, node=node, kwok_nodes=0)
        cluster.up()
        yield cluster
        return
    remove_orphans()
    # The pid in the name lets two test runs share a machine.
    name = f"{kind}-{os.getpid()}"
    with Cluster(name, node=node, kwok_nodes=0 if node else 1, owner=current_identity()) as cluster:
        yield cluster


@contextlib.contextmanager
def fresh_namespace(api: Api) -> Iterator[str]:
    """Yield the name of a new namespace in which pods can be made; its deletion is started afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        api.wait_for(
            f"/api/v1/namespaces/{name}/serviceaccounts/default",
            lambda _: True,
            what="the default service account",
            timeout_seconds=NAMESPACE_TIMEOUT_SECONDS,
        )
        yield name
    finally:
        # Not waited for: the rest is the namespace controller's work, and a test that needs more asks for it.
        api.delete(f"/api/v1/namespaces/{name}")
