"""The demo's own cluster: a real Kubernetes and a registry in a network namespace of this machine."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.cluster import Cluster
from hack.cluster.images import build_image, push_image
from hack.cluster.node import REGISTRY
from hack.cluster.registry import Registry
from hack.demo.images import Image
from hack.demo.kubectl import Kubectl
from hack.demo.steps import Steps
from hack.demo.targets import ASK_WITH_CURL

NAME = "demo"
_SERVICE_PORT = 80


@dataclass(frozen=True)
class LocalTarget:
    """The running cluster of the demo. Nothing in it is routed from the host: each address is forwarded."""

    cluster: Cluster

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl with the administrator's kubeconfig."""
        return Kubectl(kubeconfig=self.cluster.kubeconfig)

    @property
    def registry_name(self) -> str:
        """The registry's address inside the namespace."""
        return REGISTRY

    @property
    def registry(self) -> Registry:
        """The registry through a forward."""
        return Registry(f"http://{self.cluster.registry}")

    def provide_image(self, image: Image, root: Path) -> str:
        """Build on the stand-in for the base image, and push into the namespace."""
        local = build_image(image.make_build(root))
        # The tag in the local storage is a hash of the content, the base image included.
        name = f"{image.name}:{local.rpartition(':')[2]}"
        push_image(self.cluster, local, name)
        return f"{REGISTRY}/{name}"

    @contextmanager
    def open_service(self, namespace: str, name: str) -> Iterator[str]:
        """Forward to the Service's cluster address: requests pass kube-proxy as those of a pod do."""
        address = self.kubectl.run(
            "get", "service", name, "--namespace", namespace, "-o", "jsonpath={.spec.clusterIP}"
        )
        yield f"http://127.0.0.1:{self.cluster.forward(address, _SERVICE_PORT)}"

    def next_steps(self) -> list[str]:
        """Return how to use the cluster, ask the model and remove everything."""
        here = self.cluster.registry
        return [
            f"export KUBECONFIG={shlex.quote(str(self.cluster.kubeconfig))}",
            "kubectl get msvc -o wide                       # .venv/bin/kubectl where you have none",
            "kubectl port-forward service/spam 8000:80 &",
            *ASK_WITH_CURL,
            "# a model of yours, as docs/pipeline.md makes it (.venv/bin/modelservice where you have none):",
            f"modelservice model deploy tumor --registry {here}/models --cluster-registry {REGISTRY}",
            "make demo-down                                 # removes the cluster and everything in it",
        ]


def start(steps: Steps) -> LocalTarget:
    """Start the demo's cluster, or what is missing of it."""
    cluster = Cluster(NAME)
    with steps.step("starting Kubernetes (the first time it is built: about 12 minutes)"):
        cluster.up()
    return LocalTarget(cluster)


def stop(steps: Steps) -> None:
    """Remove the demo's cluster with everything in it; the caches stay."""
    with steps.step("removing the demo's cluster"):
        Cluster(NAME).down()
