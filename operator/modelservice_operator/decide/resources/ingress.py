"""The Ingress, where no Gateway is wanted: it leads to the Service, as clients in the cluster are led."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.resources.routes import explained_path
from modelservice_operator.facts import names, ports
from modelservice_operator.facts.kinds import INGRESSES

if TYPE_CHECKING:
    from modelservice_operator.api import Route


def build_ingress(owner: Owner, route: Route, explained: str | None = None) -> dict[str, Any]:
    """Return the Ingress (networking.k8s.io/v1); `explained` is the model that has an explainer."""
    ingress = route.ingress
    assert ingress is not None
    paths = [{"path": route.path, "pathType": "Prefix", "backend": _backend(owner.name)}]
    to_explainer = explained_path(route, explained) if explained is not None else None
    if to_explainer is not None:
        explainer = _backend(names.explainer(owner.name))
        paths.append({"path": to_explainer, "pathType": "Exact", "backend": explainer})
    http = {"paths": paths}
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


def _backend(service: str) -> dict[str, Any]:
    return {"service": {"name": service, "port": {"name": ports.HTTP_NAME}}}
