"""The real operator process against a real API server, directly or through a proxy that makes faults."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml
from hack.cluster import testing
from hack.cluster.api import Api, condition_status
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from tests.support.fault_proxy import FaultProxy, Rule
from tests.support.operator_process import (
    OperatorOptions,
    OperatorProcess,
    proxy_kubeconfig,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[3]
RUNTIME = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelRuntime",
    "metadata": {"name": "onnx", "annotations": {"modelservice.dev/is-default-runtime": "true"}},
    "spec": {"image": "registry.example/modelservice-runtime:1"},
}
PATIENT_LEASE = (
    *("--lease-duration-seconds", "60"),
    *("--lease-renew-deadline-seconds", "40"),
    *("--lease-retry-seconds", "0.3"),
)
"""Nobody loses it because a machine is busy. Who is started again under its name has it at once."""
SHORT_LEASE = (
    *("--lease-duration-seconds", "10"),
    *("--lease-renew-deadline-seconds", "8"),
    *("--lease-retry-seconds", "0.3"),
)
"""For tests that wait until a killed leader's Lease expires."""


@pytest.fixture(scope="session")
def installed(control_plane: Cluster) -> Cluster:
    """The control plane with CRDs and the default ModelRuntime."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = control_plane.api.apply(yaml.safe_load(file.read_text(encoding="utf-8")))
        path = control_plane.api.path_of(crd)
        control_plane.api.wait_for(
            path, lambda found: condition_status(found, "Established") == "True", what="established"
        )
    control_plane.api.apply(RUNTIME)
    return control_plane


@pytest.fixture
def kube(installed: Cluster, namespace: str) -> Kube:
    """What tests do as a user of the cluster."""
    return Kube(installed.api, namespace)


@pytest.fixture
def proxy(installed: Cluster) -> Iterator[FaultProxy]:
    """A proxy in front of the API server."""
    with open_proxy(installed) as running:
        yield running


def open_proxy(cluster: Cluster) -> FaultProxy:
    """A proxy with the cluster administrator's credentials."""
    configuration = Configuration()
    load_kube_config(str(cluster.kubeconfig), client_configuration=configuration, persist_config=False)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return FaultProxy(configuration.host, context)


class OperatorFactory:
    """Makes replicas that serve one namespace; `kill_all`, and the end of a `with`, ends them."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._directory = directory
        self._made: list[OperatorProcess] = []

    def __call__(
        self,
        *flags: str,
        proxy: FaultProxy | None = None,
        identity: str = "operator-0",
        kubeconfig: Path | None = None,
        is_clusterwide: bool = False,
    ) -> OperatorProcess:
        """A replica that is not started yet."""
        kubeconfig = kubeconfig or self._cluster.kubeconfig
        if proxy is not None:
            kubeconfig = proxy_kubeconfig(self._directory / "proxy-kubeconfig", proxy.url)
        options = OperatorOptions(
            kubeconfig=kubeconfig,
            namespace=self._namespace,
            log=self._directory / f"{identity}.log",
            identity=identity,
            is_clusterwide=is_clusterwide,
            flags=(*PATIENT_LEASE, *flags),
        )
        self._made.append(OperatorProcess(options))
        return self._made[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    def kill_all(self) -> None:
        """End what still runs."""
        for process in self._made:
            process.kill()


@pytest.fixture
def make_operator(installed: Cluster, namespace: str, tmp_path: Path) -> Iterator[OperatorFactory]:
    """Make replicas for this test."""
    with OperatorFactory(installed, namespace, tmp_path) as factory:
        yield factory


@dataclass(frozen=True)
class Shared:
    """An operator behind a proxy, for tests that can share one: starting it is what takes their time."""

    kube: Kube
    proxy: FaultProxy
    operator: OperatorProcess

    def kill_at_write(
        self, number: int, change: Callable[[], object], name: str, action: str = "lose-answer"
    ) -> None:
        """Make a change of a service, kill the operator at its nth write since then, start it again.

        The write arrives at the API server, or with the action `lose` it does not.
        """
        self.proxy.forget()
        rule = Rule(
            lambda request: request.number == number, action, times=1, callback=self.operator.kill_now
        )
        self.proxy.add(rule)
        change()
        wait_until(
            # A write that makes it ready may be the one at which it is being killed.
            lambda: not self.operator.is_running() or (self.kube.is_ready(name) and not rule.used),
            "killed, or done with fewer writes",
            120,
        )
        self.proxy.clear()
        if not self.operator.is_running():
            self.operator.start().wait_ready()


@pytest.fixture(scope="module")
def shared_flags() -> tuple[str, ...]:
    """Flags of the shared operator; a module may have its own."""
    return ()


@pytest.fixture(scope="module")
def shared(
    installed: Cluster, tmp_path_factory: pytest.TempPathFactory, shared_flags: tuple[str, ...]
) -> Iterator[Shared]:
    """One running operator and namespace for the tests of a module."""
    with (
        open_proxy(installed) as running,
        testing.fresh_namespace(installed.api) as namespace,
        OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator")) as factory,
    ):
        operator = factory(*shared_flags, proxy=running).start().wait_leading()
        yield Shared(Kube(installed.api, namespace), running, operator)


def is_ready(service: dict[str, Any]) -> bool:
    """Ready, for the current generation."""
    current = service.get("status", {}).get("observedGeneration") == service["metadata"]["generation"]
    return current and condition_status(service, "Ready") == "True"


@dataclass(frozen=True)
class Kube:
    """A user's view of one namespace."""

    api: Api
    namespace: str

    def path(self, kind: str, name: str = "") -> str:
        """Path of a collection or an object of the namespace."""
        group = {
            "modelservices": "apis/modelservice.dev/v1alpha1",
            "deployments": "apis/apps/v1",
            "controllerrevisions": "apis/apps/v1",
            "horizontalpodautoscalers": "apis/autoscaling/v2",
            "poddisruptionbudgets": "apis/policy/v1",
            "networkpolicies": "apis/networking.k8s.io/v1",
            "leases": "apis/coordination.k8s.io/v1",
            "endpointslices": "apis/discovery.k8s.io/v1",
            "replicasets": "apis/apps/v1",
        }.get(kind, "api/v1")
        return f"/{group}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def apply_service(self, name: str = "spam", tag: str = "1", **spec: Any) -> dict[str, Any]:
        """Apply a ModelService whose model is the image tag `tag`."""
        return self.api.apply(
            {
                "apiVersion": "modelservice.dev/v1alpha1",
                "kind": "ModelService",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {
                    "model": {"storageUri": f"oci://registry.example/models/spam:{tag}"},
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    **spec,
                },
            }
        )

    def service(self, name: str = "spam") -> dict[str, Any]:
        """A ModelService, as it is now."""
        found: dict[str, Any] = self.api.get(self.path("modelservices", name))
        return found

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Objects of one kind in the namespace that are not being deleted."""
        items = self.api.get(self.path(kind))["items"]
        return [item for item in items if "deletionTimestamp" not in item["metadata"]]

    def is_ready(self, name: str = "spam") -> bool:
        """Whether a ModelService is ready now."""
        return is_ready(self.service(name))

    def wait_ready(self, name: str = "spam", timeout_seconds: float = 120.0) -> dict[str, Any]:
        """Wait until a ModelService is ready, and return it."""
        path = self.path("modelservices", name)
        return self.api.wait_for(path, is_ready, what="Ready", timeout_seconds=timeout_seconds)

    def wait_observed(self, name: str = "spam") -> None:
        """Wait until the status speaks of the newest generation."""
        path = self.path("modelservices", name)
        self.api.wait_for(
            path,
            lambda found: (
                found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
            ),
            what="observed",
        )

    def condition(self, condition_type: str = "Ready", name: str = "spam") -> dict[str, Any]:
        """One condition, empty where it is not there yet."""
        conditions = self.service(name).get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == condition_type), {})

    def wait_reason(self, reason: str, name: str = "spam", timeout_seconds: float = 120.0) -> dict[str, Any]:
        """Wait until Ready has this reason, and return the condition."""
        wait_until(
            lambda: self.condition("Ready", name).get("reason") == reason,
            f"Ready has the reason {reason}, not {self.condition('Ready', name)}",
            timeout_seconds,
        )
        return self.condition("Ready", name)

    def children(self, service: str = "spam") -> dict[str, tuple[str, ...]]:
        """Names of a service's children by kind."""
        kinds = (
            *("deployments", "controllerrevisions", "services", "serviceaccounts"),
            *("horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies"),
        )
        return {
            kind: tuple(
                sorted(
                    item["metadata"]["name"]
                    for item in self.items(kind)
                    if item["metadata"].get("labels", {}).get("modelservice.dev/name") == service
                )
            )
            for kind in kinds
        }

    def versions(self) -> dict[str, str]:
        """resourceVersions of the ModelServices and of the metadata and spec of their children."""
        found = {}
        for kind in ("modelservices", *self.children()):
            for item in self.items(kind):
                metadata = item["metadata"]
                managed = [
                    entry.get("time", "")
                    for entry in metadata.get("managedFields", [])
                    if entry["manager"] == "modelservice-operator"
                ]
                found[f"{kind}/{metadata['name']}"] = f"{metadata.get('generation', '')} {managed}"
        return found
