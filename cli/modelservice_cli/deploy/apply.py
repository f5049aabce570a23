"""Writes a ModelService into a cluster, and shows what becomes of it."""

import argparse
from dataclasses import dataclass
from typing import Any

from modelservice_cli.rollout.cluster.api import Cluster
from modelservice_cli.rollout.cluster.kubeconfig import find_access
from modelservice_cli.rollout.cluster.read import Reader
from modelservice_cli.rollout.progress.follow import follow, shower


@dataclass(frozen=True)
class Place:
    """A cluster and the namespace that is meant."""

    cluster: Cluster
    namespace: str


def find_cluster(arguments: argparse.Namespace) -> Place:
    """Return the cluster of the kubeconfig, before anything is pushed for it. Raises CommandError."""
    access = find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    return Place(Cluster(access), getattr(arguments, "namespace", None) or access.namespace)


def apply_and_follow(arguments: argparse.Namespace, place: Place, manifest: dict[str, Any]) -> int:
    """Apply the ModelService and follow its rollout; returns the exit code. Raises CommandError."""
    name = manifest["metadata"]["name"]
    place.cluster.apply_service(manifest, force=arguments.force_conflicts)
    if arguments.no_wait:
        print(f"ModelService {name} in namespace {place.namespace} is applied")
        return 0
    reader = Reader(place.cluster, place.namespace, name)
    with shower(arguments.output) as show:
        code = follow(reader, show, arguments.timeout)
    url = (reader.service().status or {}).get("url")
    if code == 0 and url and arguments.output == "text":
        print(f"it answers at {url}")
    return code
