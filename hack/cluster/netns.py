"""The network namespace of a cluster: pod, node and service addresses are real inside and unknown outside."""

import subprocess
from pathlib import Path

from hack.cluster.errors import ClusterError

NODE_ADDRESS = "10.0.0.1"
_DIRECTORY = Path("/run/netns")


def namespace_name(cluster: str) -> str:
    """Return the name of a cluster's network namespace, as `ip netns` lists it."""
    return f"msvc-{cluster}"


def namespace_path(cluster: str) -> Path:
    """Return the file by which the namespace is entered."""
    return _DIRECTORY / namespace_name(cluster)


def create_namespace(cluster: str) -> None:
    """Make the namespace with the node's address; one that is left from before is replaced."""
    delete_namespace(cluster)
    name = namespace_name(cluster)
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "link", "add", "node0", "type", "bridge")
    _ip("-n", name, "address", "add", f"{NODE_ADDRESS}/32", "dev", "node0")
    _ip("-n", name, "link", "set", "node0", "up")
    # Service addresses are translated on the way out, so packets to them need some route out.
    _ip("-n", name, "route", "add", "default", "dev", "node0")


def delete_namespace(cluster: str) -> None:
    """Remove the namespace if it exists."""
    if namespace_path(cluster).exists():
        _ip("netns", "delete", namespace_name(cluster))


def _ip(*arguments: str) -> None:
    try:
        result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ClusterError("`ip` is not on PATH: install the Debian package iproute2") from error
    if result.returncode != 0:
        raise ClusterError(
            f"`ip {' '.join(arguments)}` failed: {result.stderr.strip()}; "
            "the cluster needs root, network namespaces and bridges in the kernel"
        )
