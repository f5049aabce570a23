"""Release, break and take back a model by Git alone, through the real Flux (`make gitops`).

Nothing here touches the ModelService: Flux applies what is pushed, and the operator does the rest.
"""

import copy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hack.cluster import flux
from hack.cluster.git_repository import Repository
from hack.demo import training
from hack.demo.errors import DemoError
from hack.demo.example import Example, run_on_demo
from hack.demo.local import LocalTarget
from hack.demo.steps import Steps

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "examples" / "08-gitops" / "modelservice.yaml"
FLUX_MANIFEST = ROOT / "gitops" / "flux" / "models.yaml"
NAME, FILE = "spam-gitops", "services/spam-gitops.yaml"
NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "spam-gitops", "namespace": "default"}}
"""What stays in the folder in the end: Flux takes an empty one for a mistake."""
PATIENCE_SECONDS = 300.0


class GitopsExample:
    """One run on the demo's cluster."""

    def __init__(self, steps: Steps, target: LocalTarget) -> None:
        self._steps = steps
        self._target = target
        self._example = Example(steps, target, NAME)
        self._manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))

    def run(self) -> bool:
        """Return whether Flux said of every commit what was right."""
        model = training.train(ROOT).model
        cluster = self._target.cluster
        with self._steps.step("starting Flux (the first time it is built: about 10 minutes)"):
            flux.install_flux(cluster.api)
        with (
            tempfile.TemporaryDirectory() as name,
            flux.git_server(cluster, Path(name)) as url,
            flux.running_flux(cluster, Path(name)),
        ):
            repository = Repository(Path(name), "models").create()
            self._follow(f"{url}/models.git")
            try:
                self._release(repository, model)
            finally:
                self._leave()
        return True

    def _release(self, repository: Repository, model: Path) -> None:
        note = {"services/note.yaml": yaml.safe_dump(NOTE)}
        first = self._write(self._example.push(model, "1"))
        self._wait_done(repository.push("Serve version 1", {FILE: first, **note}), "version 1 serves")
        model_2 = self._example.push(model, "2")
        second = repository.push("Serve version 2", {FILE: self._write(model_2)})
        self._wait_done(second, "version 2 goes through its steps")
        uri = f"oci://{self._target.registry_name}/models/{NAME}:3"
        missing = self._write(model_2 | {"storageUri": uri, "version": "3"})
        bad = repository.push("Serve version 3, which nobody has pushed", {FILE: missing})
        self._wait("version 3 fails", lambda status: _failed(status, bad))
        print(f"Flux: {_ready(self._status())['message']}")
        print(f"the operator: {_ready(self._example.read()['status'])['message']}")
        self._wait_done(repository.revert(), "git revert: version 2 serves on")
        if self._example.read()["status"]["model"]["version"] != "2":
            raise DemoError("another version than 2 serves")
        repository.push("Serve nothing", {FILE: None})
        self._wait("Flux removes it", lambda _: self._is_gone())

    def _write(self, model: dict[str, Any]) -> str:
        """The manifest with another model."""
        manifest = copy.deepcopy(self._manifest)
        manifest["spec"]["model"] |= model
        return yaml.safe_dump(manifest, sort_keys=False)

    def _follow(self, url: str) -> None:
        source, kustomization = yaml.safe_load_all(FLUX_MANIFEST.read_text(encoding="utf-8"))
        source["spec"] |= {"url": url, "interval": "2s"}
        kustomization["spec"] |= {"interval": "5s", "retryInterval": "5s", "timeout": "5m"}
        self._target.kubectl.run("apply", "-f", "-", stdin=yaml.safe_dump_all([source, kustomization]))

    def _leave(self) -> None:
        where = ("--namespace", flux.NAMESPACE, "--wait", "--timeout=120s", "--ignore-not-found")
        with self._steps.step("removing what Flux has made"):
            self._target.kubectl.run("delete", "kustomization/models", *where)
            self._target.kubectl.run("delete", "gitrepository/models", *where)

    def _status(self) -> dict[str, Any]:
        path = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{flux.NAMESPACE}/kustomizations/models"
        status: dict[str, Any] = self._target.cluster.api.get(path).get("status", {})
        return status

    def _is_gone(self) -> bool:
        path = f"/apis/modelservice.dev/v1alpha1/namespaces/default/modelservices/{NAME}"
        return self._target.cluster.api.find(path) is None

    def _wait_done(self, commit: str, what: str) -> None:
        self._wait(
            what,
            lambda status: (
                _ready(status).get("status") == "True" and commit in status.get("lastAppliedRevision", "")
            ),
        )

    def _wait(self, what: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
        with self._steps.step(what):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not is_so(status := self._status()):
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"{what}: not so after {PATIENCE_SECONDS:.0f} s; Flux says {_ready(status)}"
                    )
                time.sleep(0.5)


def _ready(status: dict[str, Any]) -> dict[str, Any]:
    conditions = status.get("conditions") or []
    return next((one for one in conditions if one["type"] == "Ready"), {})


def _failed(status: dict[str, Any], commit: str) -> bool:
    return _ready(status).get("status") == "False" and commit in status.get("lastAttemptedRevision", "")


if __name__ == "__main__":
    sys.exit(run_on_demo(lambda target: GitopsExample(Steps(), target).run()))
