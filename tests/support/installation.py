"""The operator in a cluster, installed as a user installs it: CRDs first, then `manifests/install.yaml`."""

import urllib.request
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.api import Object, condition_status
from hack.cluster.cluster import Cluster
from hack.cluster.images import build_image
from hack.demo.images import IMAGES, OPERATOR, RUNTIME
from hack.demo.kubectl import Kubectl
from hack.demo.local import LocalTarget
from hack.demo.manifests import find_names, replace_images
from tests.support.operator_process import wait_until

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "manifests" / "crds.yaml"
INSTALL = ROOT / "manifests" / "install.yaml"
NAMESPACE = "modelservice-system"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/modelservice-operator"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/modelservice-operator"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
ROLLOUT_TIMEOUT = "--timeout=180s"


@dataclass(frozen=True)
class Installation:
    """A running operator; `operator_image` and `runtime_image` are those that the cluster pulled."""

    cluster: Cluster
    operator_image: str
    runtime_image: str

    def set_operator_image(self, image: str) -> None:
        """Upgrade the operator (or downgrade it), and wait until only the new pods are left."""
        kubectl = Kubectl(kubeconfig=self.cluster.kubeconfig)
        in_namespace = ("--namespace", NAMESPACE)
        kubectl.run(*in_namespace, "set", "image", "deployment/modelservice-operator", f"operator={image}")
        self.wait_rolled_out()

    def wait_rolled_out(self) -> None:
        """Wait until the Deployment's pods are the newest ones and one of them leads."""
        wait_rollout(self.cluster)
        wait_until(self._one_pod_leads, "a pod of the operator holds the Lease")

    def _one_pod_leads(self) -> bool:
        return self.leader() in {pod["metadata"]["name"] for pod in self.pods()}

    def pods(self) -> list[Object]:
        """The operator's pods that are not being deleted."""
        pods: list[Object] = self.cluster.api.get(PODS)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def leader(self) -> str:
        """The name of the pod that holds the Lease; empty where nobody does."""
        lease = self.cluster.api.find(LEASE) or {"spec": {}}
        return str(lease["spec"].get("holderIdentity") or "")

    def metric(self, name: str) -> float:
        """Sum of all samples of one metric of the leader."""
        leader = self.cluster.api.get(f"{PODS}/{self.leader()}")
        port = self.cluster.forward(leader["status"]["podIP"], 8081)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as answer:
            lines = answer.read().decode().splitlines()
        samples = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in samples)


def prepare_images() -> None:
    """Build the two images where something changed; the first time takes minutes, and needs no cluster."""
    for image in IMAGES:
        build_image(image.make_build(ROOT))


def install(cluster: Cluster) -> Installation:
    """Push the two images where something changed, and install."""
    target = LocalTarget(cluster)
    images = {image.repository: target.provide_image(image, ROOT) for image in IMAGES}
    target.kubectl.run("apply", "-f", str(CRDS))
    for name in find_names(CRDS.read_text(encoding="utf-8"), "CustomResourceDefinition"):
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        cluster.api.wait_for(path, lambda crd: condition_status(crd, "Established") == "True")
    manifest = replace_images(INSTALL.read_text(encoding="utf-8"), images)
    target.kubectl.run("apply", "-f", "-", stdin=manifest)
    installation = Installation(cluster, images[OPERATOR.repository], images[RUNTIME.repository])
    installation.wait_rolled_out()
    return installation


def wait_rollout(cluster: Cluster) -> None:
    """Wait for the operator's Deployment; AssertionError with the logs where it does not come up."""
    kubectl = Kubectl(kubeconfig=cluster.kubeconfig)
    where = ("deployment/modelservice-operator", "--namespace", NAMESPACE)
    try:
        kubectl.run("rollout", "status", *where, ROLLOUT_TIMEOUT)
    except Exception as error:
        logs = kubectl.explain(("logs", *where, "--tail=20"), ("get", "pods", "--namespace", NAMESPACE))
        raise AssertionError(f"{error}\n{logs}") from error
