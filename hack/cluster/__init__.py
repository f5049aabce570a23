"""A real Kubernetes on one machine, for the demo and the tests; see README.md in this directory."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hack.cluster.cluster import Cluster

__all__ = ["Cluster"]


def __getattr__(name: str) -> Any:
    # Loaded on demand: the small processes of this package need no certificates and no HTTP.
    if name == "Cluster":
        from hack.cluster.cluster import Cluster

        return Cluster
    raise AttributeError(name)
