"""What the pytest fixtures of every test folder share: clusters that end with the run, and namespaces."""

import contextlib
import os
import secrets
from collections.abc import Iterator

from hack.cluster.api import Api
from hack.cluster.binaries import find_programs
from hack.cluster.cluster import Cluster, remove_orphans
from hack.cluster.processes import current_identity

FAMILIES = ("kubernetes", "etcd", "kwok")
NAMESPACE_TIMEOUT_SECONDS = 30.0


def prepare() -> None:
    """Find or build everything that starting a cluster needs; the first time takes many minutes."""
    find_programs(FAMILIES)


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
