"""What examples on the demo's cluster have in common: one ModelService of their own, served and removed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.demo.errors import DemoError
from hack.demo.local import NAME as CLUSTER
from hack.demo.local import LocalTarget
from hack.demo.steps import Steps

NAMESPACE = "default"
HTTP_PORT, GRPC_PORT = 80, 9000


@dataclass(frozen=True)
class Example:
    """One ModelService on the demo's cluster."""

    steps: Steps
    target: LocalTarget
    name: str

    @contextmanager
    def served(self, manifest: dict[str, Any], what: str) -> Iterator[None]:
        """Apply it and wait until it is ready; nothing of it stays."""
        kubectl = self.target.kubectl
        where = (f"modelservice/{self.name}", "--namespace", NAMESPACE)
        try:
            with self.steps.step(what):
                kubectl.run("apply", "--namespace", NAMESPACE, "-f", "-", stdin=yaml.safe_dump(manifest))
                kubectl.run("wait", "--for=condition=Ready", *where, "--timeout=300s")
            yield
        finally:
            with self.steps.step("deleting it"):
                kubectl.run("delete", *where, "--ignore-not-found", "--cascade=foreground")

    def push(self, model: Path, version: str) -> dict[str, Any]:
        """Push a version of the model; return the fields of `spec.model` that name it."""
        repository = f"models/{self.name}"
        layer, _ = self.target.registry.push_model(repository, version, model)
        return {
            "storageUri": f"oci://{self.target.registry_name}/{repository}:{version}",
            "sha256": str(layer["digest"]).removeprefix("sha256:"),
            "version": version,
        }

    def read(self) -> dict[str, Any]:
        """Return the ModelService as it is now."""
        path = f"/apis/modelservice.dev/v1alpha1/namespaces/{NAMESPACE}/modelservices/{self.name}"
        found: dict[str, Any] = self.target.cluster.api.get(path)
        return found

    def address(self, port: int) -> tuple[str, int]:
        """Return where a port of its Service answers on this machine."""
        service = self.target.cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{self.name}")
        return "127.0.0.1", self.target.cluster.forward(service["spec"]["clusterIP"], port)


def run_python(python: Path, *arguments: str | Path) -> None:
    """Run a script; raise DemoError with its last words where it fails."""
    result = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise DemoError(f"{Path(arguments[0]).name} failed:\n{result.stderr[-2000:].strip()}")


def run_on_demo(run: Callable[[LocalTarget], bool]) -> int:
    """Run an example on the demo's cluster; 0 where all went as it should."""
    cluster = Cluster(CLUSTER)
    try:
        if not cluster.status():
            raise DemoError("the demo does not run: `make demo` starts it")
        return 0 if run(LocalTarget(cluster)) else 1
    except (DemoError, ClusterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
