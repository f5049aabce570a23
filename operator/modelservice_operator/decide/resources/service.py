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

_PLAIN_PROTOCOLS = {ports.HTTP_NAME: "http", ports.GRPC_NAME: "kubernetes.io/h2c"}
# HTTP/2 without TLS and without an upgrade: proxies need to be told (RFC 9113, 3.3). The port for REST speaks
# it too, but proxies that are told so speak nothing else, and small requests are cheaper in HTTP/1.1.
_TLS_PROTOCOL = "https"


def app_protocol(port: str, *, is_encrypted: bool) -> str:
    """Return what proxies and meshes speak to a port of this name."""
    return _TLS_PROTOCOL if is_encrypted else _PLAIN_PROTOCOLS[port]


def build_service(owner: Owner, revision: str | None = None, *, is_encrypted: bool = False) -> dict[str, Any]:
    """Return the Service that clients use: its HTTP port is 80, or 443 where they speak TLS.

    It leads to the pods of all revisions, so replicas move the traffic; or to those of one `revision` alone.
    """
    metadata = build_metadata(owner, owner.name)
    return _service(metadata, _selector(owner, revision), is_encrypted=is_encrypted)


def build_preview_service(owner: Owner, revision: str, *, is_encrypted: bool = False) -> dict[str, Any]:
    """Return the Service that leads to a revision before clients are led to it."""
    metadata = build_metadata(owner, names.preview_service(owner.name))
    return _service(metadata, revision_selector(owner.name, revision), is_encrypted=is_encrypted)


def _selector(owner: Owner, revision: str | None) -> dict[str, str]:
    return service_selector(owner.name) if revision is None else revision_selector(owner.name, revision)


def build_pods_service(
    owner: Owner, revision: str | None = None, *, is_encrypted: bool = False
) -> dict[str, Any]:
    """Return the headless Service, for clients that balance by themselves, such as gRPC's `dns:///`.

    Its name in DNS is the addresses of the ready pods, so its ports are theirs.
    """
    metadata = build_metadata(owner, names.pods_service(owner.name))
    service = _service(metadata, _selector(owner, revision), is_encrypted=is_encrypted, http_port=ports.HTTP)
    return {**service, "spec": {"clusterIP": "None", **service["spec"]}}


def build_revision_service(owner: Owner, revision: str, *, is_encrypted: bool = False) -> dict[str, Any]:
    """Return the Service of one revision, for looking at it alone."""
    metadata = build_metadata(owner, names.of_revision(owner.name, revision), revision)
    return _service(metadata, revision_selector(owner.name, revision), is_encrypted=is_encrypted)


def _service(
    metadata: dict[str, Any], selector: dict[str, str], *, is_encrypted: bool, http_port: int | None = None
) -> dict[str, Any]:
    usual = ports.OF_HTTPS if is_encrypted else ports.OF_HTTP
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": selector,
            "ports": [
                _port(ports.HTTP_NAME, http_port or usual, is_encrypted=is_encrypted),
                _port(ports.GRPC_NAME, ports.GRPC, is_encrypted=is_encrypted),
            ],
        },
    }


def _port(name: str, number: int, *, is_encrypted: bool) -> dict[str, Any]:
    return {
        "name": name,
        "port": number,
        "protocol": "TCP",
        "targetPort": name,
        "appProtocol": app_protocol(name, is_encrypted=is_encrypted),
    }
