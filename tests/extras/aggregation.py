"""An API of the cluster that a process of the test serves, as metrics adapters do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hack.cluster.api import condition_status
from hack.cluster.netns import NODE_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.api import Api


@contextlib.contextmanager
def aggregated_api(api: Api, group: str, version: str, port: int) -> Iterator[str]:
    """Have the API server pass on requests for `group` to the node's `port`; yields the APIService's path.

    It is taken away at the end in any case: while its server is gone no namespace of the cluster can be
    deleted.
    """
    service = group.replace(".", "-")
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": service, "namespace": "default", "port": 443},
        },
    }
    objects = [*_service(service, port), api_service]
    paths = [api.path_of(one) for one in objects]
    try:
        for one in objects:
            api.apply(one)
        yield paths[-1]
    finally:
        for path in reversed(paths):
            api.delete(path)


def wait_available(api: Api, path: str) -> None:
    """Wait until the API server has reached the server behind an APIService."""
    api.wait_for(path, lambda found: condition_status(found, "Available") == "True", what="Available")


def _service(name: str, port: int) -> list[dict[str, object]]:
    metadata = {"name": name, "namespace": "default"}
    slice_labels = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "tests.modelservice.dev",
    }
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 443}]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": slice_labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        },
    ]
