"""A component with the rights of the install manifests, and no others."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

INSTALL = Path(__file__).parents[2] / "manifests/install.yaml"
RBAC = "rbac.authorization.k8s.io/v1"


def load_rules(component: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rules of the ClusterRole and the Role of this name, as far as there are such, by kind."""
    documents = yaml.safe_load_all(INSTALL.read_text(encoding="utf-8"))
    return {
        one["kind"]: one["rules"]
        for one in documents
        if one and one["kind"] in ("ClusterRole", "Role") and one["metadata"]["name"] == component
    }


@contextlib.contextmanager
def limited_to(cluster: Cluster, namespace: str, component: str, folder: Path) -> Iterator[Path]:
    """A kubeconfig with the rights of the roles of this name; those of a Role hold in the namespace."""
    api, name = cluster.api, f"{component}-{namespace}"
    rules = load_rules(component)
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.create(accounts, {"metadata": {"name": name}})
    for kind, granted in rules.items():
        place = {"namespace": namespace} if kind == "Role" else {}
        metadata: dict[str, Any] = {"name": name, **place}
        api.apply({"apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": granted})
        api.apply(
            {
                "apiVersion": RBAC,
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                "subjects": [account],
            }
        )
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(f"{accounts}/{name}/token", request)["status"]["token"]
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / f"{component}-kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    try:
        yield path
    finally:
        for plural in ("clusterrolebindings", "clusterroles"):
            api.delete(f"/apis/{RBAC}/{plural}/{name}")
