"""What a user of a cluster with the operator does: push a model, apply a ModelService, wait, ask."""

import hashlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.api import Object, condition_status
from hack.cluster.cluster import Cluster
from hack.cluster.registry import push_model
from hack.demo.kubectl import Kubectl
from tests.support.operator_process import wait_until
from tests.support.tiny_models import make_adder

NAMES = {"name": "modelservice.dev/name", "revision": "modelservice.dev/revision"}
GROUPS = {
    "modelservices": "apis/modelservice.dev/v1alpha1",
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "controllerrevisions": "apis/apps/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
    "poddisruptionbudgets": "apis/policy/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "jobs": "apis/batch/v1",
}
CHILDREN = (
    *("deployments", "controllerrevisions", "services", "serviceaccounts"),
    *("horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies"),
)
# A pod needs about 5 s of CPU until it answers; on two busy cores several of them take turns.
READY_TIMEOUT_SECONDS = 150.0
PROXY_DELAY_SECONDS = 120.0
# Small requests, so that a node of two cores takes all pods of the tests; a short grace period.
SMALL: Object = {
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
    "terminationGracePeriodSeconds": 8,
}


@dataclass(frozen=True)
class User:
    """A user of one namespace."""

    cluster: Cluster
    namespace: str

    @property
    def kubectl(self) -> Kubectl:
        """kubectl with the administrator's kubeconfig; it does not know the namespace."""
        return Kubectl(kubeconfig=self.cluster.kubeconfig)

    def run_kubectl(self, *arguments: str) -> str:
        """What kubectl prints in the namespace; DemoError with its message where it fails."""
        return self.kubectl.run("--namespace", self.namespace, *arguments)

    def path(self, kind: str, name: str = "") -> str:
        """Path of a collection or of one object of the namespace; `kind` is the plural."""
        group = GROUPS.get(kind, "api/v1")
        return f"/{group}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def items(self, kind: str, **labels: str) -> list[Object]:
        """Objects of a kind; `labels` may be `name` and `revision`."""
        selector = ",".join(f"{NAMES[key]}={value}" for key, value in labels.items())
        query = f"?labelSelector={selector}" if selector else ""
        found: list[Object] = self.cluster.api.get(self.path(kind) + query)["items"]
        return found

    def push(self, content: bytes, tag: str) -> Object:
        """Push a model file to the cluster's registry, under this namespace's own repository.

        Returns the `spec.model` that names it by address and digest: the registry speaks plain HTTP.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            file.write_bytes(content)
            reference = f"oci://10.0.0.1:5000/models/{self.namespace}:{tag}"
            pushed = push_model(self.cluster.registry, file, reference)
        return {"storageUri": pushed.uri, "sha256": pushed.sha256}

    def push_adder(self, addend: float) -> Object:
        """Push the model that adds `addend`; return its `spec.model`."""
        return self.push(make_adder(addend), f"adder-{addend}")

    def apply(self, name: str, **spec: Any) -> Object:
        """Apply a ModelService with small resources."""
        manifest = {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**SMALL, **spec},
        }
        return self.cluster.api.apply(manifest, manager="kubectl")

    def edit(self, name: str, spec: Mapping[str, Any]) -> Object:
        """Merge `spec` into a ModelService's spec."""
        return self.cluster.api.patch(self.path("modelservices", name), {"spec": spec})

    def service(self, name: str) -> Object:
        """A ModelService, as it is now."""
        found: Object = self.cluster.api.get(self.path("modelservices", name))
        return found

    def wait_ready(self, name: str, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> Object:
        """Wait as `kubectl wait --for=condition=Ready` does, which goes by observedGeneration."""
        return self.wait(name, is_ready, "Ready", timeout_seconds)

    def wait(
        self,
        name: str,
        condition: Callable[[Object], bool],
        what: str,
        timeout_seconds: float = READY_TIMEOUT_SECONDS,
    ) -> Object:
        """Wait until a ModelService fulfils `condition`; TimeoutError with its status and its pods."""
        path = self.path("modelservices", name)
        try:
            return self.cluster.api.wait_for(path, condition, what=what, timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            pods = [(pod["metadata"]["name"], pod["status"]) for pod in self.items("pods", name=name)]
            raise TimeoutError(f"{error}\npods: {json.dumps(pods, indent=1)}") from error

    def pods(self, name: str) -> dict[str, Object]:
        """Pods of a ModelService that are not being deleted, by UID."""
        pods = self.items("pods", name=name)
        return {pod["metadata"]["uid"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    def address(self, name: str, port: int = 80) -> tuple[str, int]:
        """Host and port here that lead to the Service's cluster address, past kube-proxy as from a pod."""
        address = self.cluster.api.get(self.path("services", name))["spec"]["clusterIP"]
        return "127.0.0.1", self.cluster.forward(address, port)

    def ask(self, name: str, value: float, *, model: str = "") -> float:
        """What an adder behind the Service answers to `value`; `model` where it has another name.

        kube-proxy may learn of the first pod a moment after the ModelService is Ready. Until then it refuses
        connections, which come out here as a reset before any answer.
        """
        deadline = time.monotonic() + PROXY_DELAY_SECONDS
        while True:
            connection = http.client.HTTPConnection(*self.address(name), timeout=120)
            try:
                return ask_adder(connection, model or name, value)
            except ConnectionResetError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            finally:
                connection.close()

    def wait_answer(self, name: str, value: float, expected: float) -> None:
        """Ask until the answer is `expected`: nodes may lead to pods of before a change for a moment."""
        wait_until(lambda: self.ask(name, value) == expected, f"{name} answers {expected} to {value}")

    def versions(self, name: str) -> dict[str, str]:
        """resourceVersions of a ModelService and of all its children."""
        service = self.service(name)
        found = {f"modelservices/{name}": service["metadata"]["resourceVersion"]}
        for kind in CHILDREN:
            for item in self.items(kind):
                owners = item["metadata"].get("ownerReferences", [])
                if any(owner["uid"] == service["metadata"]["uid"] for owner in owners):
                    found[f"{kind}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
        return found

    def versions_at_rest(self, name: str, quiet_seconds: float = 5.0) -> dict[str, str]:
        """The versions once they have not changed for so long: what follows readiness has been written."""
        found, since = self.versions(name), time.monotonic()
        deadline = since + 120
        while time.monotonic() - since < quiet_seconds:
            assert time.monotonic() < deadline, f"{name} does not come to rest"
            time.sleep(0.2)
            now = self.versions(name)
            if now != found:
                found, since = now, time.monotonic()
        return found


def adder_request(value: float) -> Object:
    """The body of a request for `value`."""
    tensor = {"name": "values", "datatype": "FP32", "shape": [1], "data": [value]}
    return {"inputs": [tensor]}


def ask_adder(connection: http.client.HTTPConnection, name: str, value: float) -> float:
    """One request on an open connection; AssertionError where the answer is not 200."""
    connection.request("POST", f"/v2/models/{name}/infer", json.dumps(adder_request(value)))
    response = connection.getresponse()
    body = response.read()
    assert response.status == http.client.OK, f"{response.status}: {body.decode()}"
    return float(json.loads(body)["outputs"][0]["data"][0])


def is_current(service: Object) -> bool:
    """Whether the status speaks of the spec as it is now."""
    observed = service.get("status", {}).get("observedGeneration")
    return bool(observed == service["metadata"]["generation"])


def is_ready(service: Object) -> bool:
    """Ready, for the spec as it is now."""
    return is_current(service) and condition_status(service, "Ready") == "True"


def condition(service: Object, condition_type: str) -> Object:
    """One condition, empty where it is not there."""
    conditions = service.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == condition_type), {})


def sha256_of(content: bytes) -> str:
    """Digest in hex."""
    return hashlib.sha256(content).hexdigest()
