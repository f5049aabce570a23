"""Services: two for the ModelService, one of them headless, one for each live revision, one for a preview."""

from __future__ import annotations

from typing import Any

from modelservice_operator.decide.resources.metadata import (
    Owner,
    build_metadata,
    revision_selector,
    service_selector,
)
from modelservice_operator.facts import names, ports

APP_PROTOCOLS = {ports.HTTP_NAME: "http", ports.GRPC_NAME: "kubernetes.io/h2c"}
"""HTTP/2 without TLS and without an upgrade: proxies need to be told (RFC 9113, 3.3)."""


def build_service(owner: Owner, revision: str | None = None) -> dict[str, Any]:
    """Return the Service that clients use.

    It leads to the pods of all revisions, so replicas move the traffic; or to those of one `revision` alone.
    """
    return _service(build_metadata(owner, owner.name), _selector(owner, revision))


def build_preview_service(owner: Owner, revision: str) -> dict[str, Any]:
    """Return the Service that leads to a revision before clients are led to it."""
    return _service(
        build_metadata(owner, names.preview_service(owner.name)), revision_selector(owner.name, revision)
    )


def _selector(owner: Owner, revision: str | None) -> dict[str, str]:
    return service_selector(owner.name) if revision is None else revision_selector(owner.name, revision)


def build_pods_service(owner: Owner, revision: str | None = None) -> dict[str, Any]:
    """Return the headless Service, for clients that balance by themselves, such as gRPC's `dns:///`.

    Its name in DNS is the addresses of the ready pods, so its ports are theirs.
    """
    service = _service(
        build_metadata(owner, names.pods_service(owner.name)), _selector(owner, revision), http=ports.HTTP
    )
    return {**service, "spec": {"clusterIP": "None", **service["spec"]}}


def build_revision_service(owner: Owner, revision: str) -> dict[str, Any]:
    """Return the Service of one revision, for looking at it alone."""
    metadata = build_metadata(owner, names.of_revision(owner.name, revision), revision)
    return _service(metadata, revision_selector(owner.name, revision))


def _service(metadata: dict[str, Any], selector: dict[str, str], *, http: int = 80) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": selector,
            "ports": [
                _port(ports.HTTP_NAME, http),
                _port(ports.GRPC_NAME, ports.GRPC),
            ],
        },
    }


def _port(name: str, number: int) -> dict[str, Any]:
    return {
        "name": name,
        "port": number,
        "protocol": "TCP",
        "targetPort": name,
        "appProtocol": APP_PROTOCOLS[name],
    }
