"""The Ingress, where no Gateway is wanted: it leads to the Service, as clients in the cluster are led."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.facts import ports
from modelservice_operator.facts.kinds import INGRESSES

if TYPE_CHECKING:
    from modelservice_operator.api import Route


def build_ingress(owner: Owner, route: Route) -> dict[str, Any]:
    """Return the Ingress (networking.k8s.io/v1)."""
    ingress = route.ingress
    assert ingress is not None
    backend = {"service": {"name": owner.name, "port": {"name": ports.HTTP_NAME}}}
    http = {"paths": [{"path": route.path, "pathType": "Prefix", "backend": backend}]}
    hosts = list(route.hostnames)
    spec: dict[str, Any] = {
        "rules": [{"host": host, "http": http} for host in hosts] if hosts else [{"http": http}]
    }
    if ingress.class_name is not None:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_name is not None:
        spec["tls"] = [{"secretName": ingress.tls_secret_name, **({"hosts": hosts} if hosts else {})}]
    return {
        "apiVersion": INGRESSES.api_version,
        "kind": INGRESSES.kind,
        "metadata": build_metadata(owner, owner.name),
        "spec": spec,
    }
