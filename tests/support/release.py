"""A release of the chart as Helm renders it, and what of it a test puts into a cluster."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hack.cluster.binaries import find_family
from hack.cluster.families import FAMILIES
from tests.support.chart import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

CHART = Path(__file__).parents[2] / "charts/modelservice-operator"
RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
Object = dict[str, Any]


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm, whatever becomes of it."""
    command = (str(find_family(FAMILIES["helm"])["helm"]), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Release:
    """One release that nobody has installed."""

    namespace: str
    name: str
    objects: tuple[Object, ...]

    @classmethod
    def render(cls, namespace: str, name: str = "modelservice-operator", **values: Any) -> Release:
        """Render the chart with these values, whose dots are written as two underscores."""
        options = [f"{key.replace('__', '.')}={_text(value)}" for key, value in values.items()]
        sets = [word for option in options for word in ("--set", option)]
        result = run_helm("template", name, str(CHART), "--namespace", namespace, *sets)
        assert result.returncode == 0, result.stderr
        return cls(namespace, name, tuple(one for one in yaml.load_all(result.stdout, Loader) if one))

    def find(self, kind: str, name: str) -> Object:
        """One object."""
        (found,) = [one for one in self.objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
        return found

    def find_in(self, namespace: str, kind: str, name: str) -> Object:
        """One object, of which there may be namesakes in other namespaces."""
        place = (namespace, kind, name)
        (found,) = [
            one
            for one in self.objects
            if (one["metadata"].get("namespace"), one["kind"], one["metadata"]["name"]) == place
        ]
        return found

    def of_kinds(self, *kinds: str) -> Iterator[Object]:
        """All objects of these kinds."""
        return (one for one in self.objects if one["kind"] in kinds)

    def arguments(self, deployment: str) -> list[str]:
        """What the container of a Deployment is started with, its namespace filled in as by the kubelet."""
        (container,) = self.find("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
        return [one.replace("$(POD_NAMESPACE)", self.namespace) for one in container["args"]]

    def grant(self, cluster: Cluster) -> None:
        """Make its accounts, and give them its rights."""
        for one in self.of_kinds(*RIGHTS):
            cluster.api.apply(one)

    def kubeconfig(self, cluster: Cluster, account: str, folder: Path) -> Path:
        """What a pod of this account would use."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = cluster.api.create(path, request)["status"]["token"]
        config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
        for user in config["users"]:
            user["user"] = {"token": token}
        file = folder / f"{account}-{self.namespace}-kubeconfig"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return file


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "{" + ",".join(value) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
