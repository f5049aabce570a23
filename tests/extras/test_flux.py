"""The real Flux applies what a Git repository has, waits for it, says what failed, and takes it away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster import flux
from hack.cluster.api import condition_status
from hack.cluster.git_repository import Repository
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hack.cluster.cluster import Cluster
    from tests.integration.operator.conftest import Kube, OperatorFactory

Object = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "gitops/flux/models.yaml"
KUSTOMIZATIONS = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{flux.NAMESPACE}/kustomizations"
PATIENCE_SECONDS = 120.0


class Git:
    """A repository of ModelServices, and the two Flux objects that apply it."""

    def __init__(self, kube: Kube, repository: Repository, url: str) -> None:
        self.kube, self.repository = kube, repository
        self._source, self._kustomization = yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8"))
        self._source["spec"] |= {"url": f"{url}/{repository.name}.git", "interval": "2s"}

    def follow(self, name: str = "models", path: str = "./services", *, careful: bool = True) -> None:
        """Let Flux apply a folder; without care it goes by kstatus alone."""
        one: Object = json.loads(json.dumps(self._kustomization))
        one["metadata"]["name"] = name
        one["spec"] |= {
            "path": path,
            "interval": "3s",
            "retryInterval": "3s",
            "targetNamespace": self.kube.namespace,
        }
        if not careful:
            del one["spec"]["healthCheckExprs"]
        self.kube.api.apply(self._source)
        self.kube.api.apply(one)

    def kustomization(self, name: str = "models") -> Object:
        found: Object = self.kube.api.get(f"{KUSTOMIZATIONS}/{name}")
        return found

    def condition(self, kind: str, name: str = "models") -> Object:
        conditions = self.kustomization(name).get("status", {}).get("conditions") or []
        return next((one for one in conditions if one["type"] == kind), {})

    def ready(self, name: str = "models") -> Object:
        """The condition that `kubectl get kustomizations` shows."""
        return self.condition("Ready", name)

    def wait_applied(self, commit: str, name: str = "models") -> None:
        """Wait until Flux says that this commit is there and healthy."""

        def is_done() -> bool:
            status = self.kustomization(name).get("status", {})
            return self.ready(name).get("status") == "True" and commit in status.get(
                "lastAppliedRevision", ""
            )

        wait_until(is_done, f"{commit} is applied and healthy", PATIENCE_SECONDS)


@pytest.fixture
def git(kube: Kube, control_plane: Cluster, inside: Sequence[str], tmp_path: Path) -> Iterator[Git]:
    """Flux, and a Git server where it finds one repository."""
    installed = flux.install_flux(kube.api)
    repository = Repository(tmp_path, "models").create()
    with flux.git_server(control_plane, tmp_path) as url, flux.running_flux(control_plane, tmp_path):
        yield Git(kube, repository, url)
        # Flux has to release them, so it may not go before.
        for one in kube.api.get(KUSTOMIZATIONS)["items"]:
            kube.api.delete(f"{KUSTOMIZATIONS}/{one['metadata']['name']}")
        wait_until(lambda: not kube.api.get(KUSTOMIZATIONS)["items"], "no Kustomization is left")
        sources = KUSTOMIZATIONS.replace("kustomize", "source").replace("kustomizations", "gitrepositories")
        kube.api.delete(f"{sources}/models")
        kube.api.wait_gone(f"{sources}/models")
    for path in installed:
        kube.api.delete(path)
    for path in installed:
        kube.api.wait_gone(path)


def manifest(name: str = "spam", tag: int = 1, **spec: Any) -> str:
    service = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name},
        "spec": {
            "model": {"storageUri": f"oci://registry.example/models/spam:{tag}"},
            "replicas": 2,
            "rollout": {
                "strategy": "Canary",
                "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]},
                "contract": "Ignore",
            },
            **spec,
        },
    }
    return yaml.safe_dump(service)


FILE = "services/spam.yaml"


def test_flux_carries_out_a_change_waits_for_it_and_takes_it_back(
    git: Git, make_operator: OperatorFactory
) -> None:
    kube = git.kube
    first = git.repository.push(
        "Serve version 1", {FILE: manifest(), "unwatched/careless.yaml": manifest("careless")}
    )
    git.follow()
    git.follow("careless", "./unwatched", careful=False)
    # Nobody has seen either of them: there is no operator yet.
    git.wait_applied(first, "careless")
    assert "status" not in kube.service("careless"), "kstatus alone takes it for ready"
    wait_until(
        lambda: "Running health checks" in git.condition("Reconciling").get("message", ""), "Flux waits"
    )
    assert "status" not in kube.service()
    assert git.ready()["status"] == "Unknown"
    make_operator().start().wait_leading()
    git.wait_applied(first)
    assert kube.is_ready()

    check_nothing_drifts(git)
    change_by_canary(git)
    fail_and_revert(git)

    note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}}
    git.repository.push("Serve nothing", {FILE: None, "services/note.yaml": yaml.safe_dump(note)})
    path = kube.path("modelservices", "spam")
    wait_until(lambda: kube.api.find(path) is None, "Flux has pruned it", PATIENCE_SECONDS)
    wait_until(lambda: not any(kube.children().values()), "its children are gone too")


def check_nothing_drifts(git: Git) -> None:
    """Flux applies again and again; that changes nothing."""
    before = trace(git.kube.service())
    for number in range(3):
        asked = f"again-{number}"
        git.kube.api.patch(
            f"{KUSTOMIZATIONS}/models",
            {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": asked}}},
        )

        def is_handled(asked: str = asked) -> bool:
            found = git.kustomization()
            return bool(found["status"].get("lastHandledReconcileAt") == asked)

        wait_until(is_handled, "Flux has applied it again", PATIENCE_SECONDS)
    wait_until(lambda: git.ready()["status"] == "True", "Flux is done")
    assert trace(git.kube.service()) == before


def trace(service: Object) -> list[Any]:
    """Who wrote what when, but for the status."""
    entries = service["metadata"]["managedFields"]
    return [one for one in entries if one.get("subresource") != "status"]


def change_by_canary(git: Git) -> None:
    """A push begins a canary; the release is done when a person has said so, and not before."""
    kube, stable = git.kube, git.kube.service()["status"]["stableRevision"]
    commit = git.repository.push("Serve version 2", {FILE: manifest(tag=2)})
    kube.wait_reason("RolloutPaused", timeout_seconds=PATIENCE_SECONDS)
    target = kube.service()["status"]["targetRevision"]
    assert target != stable
    assert commit not in git.kustomization()["status"]["lastAppliedRevision"]
    assert git.ready()["status"] == "Unknown"

    # What follows is not held up by a canary that waits for a person.
    git.repository.revert()
    wait_until(
        lambda: kube.is_ready() and kube.service()["status"]["stableRevision"] == stable,
        "the change was taken back",
        PATIENCE_SECONDS,
    )
    commit = git.repository.revert()
    kube.wait_reason("RolloutPaused", timeout_seconds=PATIENCE_SECONDS)
    request = f"promote@{target}"
    kube.api.patch(
        kube.path("modelservices", "spam") + "?fieldManager=kubectl-annotate",
        {"metadata": {"annotations": {"modelservice.dev/rollout-action": request}}},
    )
    git.wait_applied(commit)
    assert kube.service()["status"]["stableRevision"] == target
    # Flux takes away what people write with kubectl; the request has been answered by then.
    wait_until(
        lambda: "modelservice.dev/rollout-action" not in kube.service()["metadata"].get("annotations", {}),
        "the request is gone",
        PATIENCE_SECONDS,
    )
    assert kube.is_ready()


def fail_and_revert(git: Git) -> None:
    """A change that cannot work is told by Flux, and undone by Git alone."""
    kube, stable = git.kube, git.kube.service()["status"]["stableRevision"]
    bad = git.repository.push(
        "Serve by a runtime that nobody has", {FILE: manifest(tag=3, runtime={"ref": "nobody"})}
    )

    seen: list[Object] = []

    def says_failed() -> bool:
        found = git.kustomization()["status"]
        seen[:] = [one for one in found["conditions"] if one["type"] == "Ready" and one["status"] == "False"]
        return bool(seen) and bad in found["lastAttemptedRevision"]

    wait_until(says_failed, "Flux says that it failed", PATIENCE_SECONDS)
    assert seen[0]["reason"] == "HealthCheckFailed"
    assert f"ModelService/{kube.namespace}/spam" in seen[0]["message"]
    assert condition_status(kube.service(), "Available") == "True", "the old revision serves on"

    back = git.repository.revert()
    git.wait_applied(back)
    assert kube.service()["status"]["stableRevision"] == stable
