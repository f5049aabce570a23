"""The way to a model through the API server: its proxy of Services, with what the kubeconfig says."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.api import Cluster
from modelservice_cli.rollout.cluster.kubeconfig import Access, find_access
from modelservice_operator.facts.recorded import condition_of
from modelservice_pipeline.predict.arguments import Reached
from modelservice_pipeline.predict.tls_files import TlsFiles

_PORTS = {"http": 80, "https": 443}


def reach_service(arguments: argparse.Namespace, name: str) -> Reached:
    """Find a ModelService, and how its model is asked. Raises CommandError."""
    access = find_access(arguments.kubeconfig, arguments.context)
    namespace = arguments.namespace or access.namespace
    service = Cluster(access).read_service(namespace, name)
    status = service.get("status") or {}
    if condition_of(status, "Ready").get("reason") == "ScaledToZero":
        raise CommandError(
            f"ModelService {name!r} has no pod, and what comes through the API server wakes none: "
            f"'kubectl scale msvc/{name} -n {namespace} --replicas=1' does"
        )
    url = urlsplit(str(status.get("url") or ""))
    if not url.path:
        raise CommandError(
            f"ModelService {name!r} does not answer yet: 'modelservice rollout status {name}' says why"
        )
    host = str(access.configuration.host).rstrip("/")
    place = f"/api/v1/namespaces/{namespace}/services/{url.scheme}:{name}:{_PORTS[url.scheme]}/proxy"
    return Reached(host + place + url.path, lambda: _credentials(access), _files(access))


def _credentials(access: Access) -> Mapping[str, str]:
    """Return the header for the API server, which does not pass it on; tokens are renewed as they expire."""
    settings: Mapping[str, Any] = access.configuration.auth_settings()
    return {one["key"].title(): one["value"] for one in settings.values() if one.get("value")}


def _files(access: Access) -> TlsFiles:
    configuration = access.configuration
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    ca, certificate, key = (Path(file) if file else None for file in files)
    return TlsFiles(ca, certificate, key, bool(configuration.verify_ssl))
