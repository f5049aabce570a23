"""What tools of GitOps do all day: apply the same manifests again, compare, prune. Nothing may ever differ.

All services are applied at once: the examples, and specs that between them use every field.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster import testing
from tests.integration.operator.conftest import Kube, OperatorFactory, Shared, open_proxy
from tests.support import argo
from tests.support.fault_proxy import Rule
from tests.support.operator_process import wait_until
from tests.unit.operator.specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

Object = dict[str, Any]

EXAMPLES = Path(__file__).parents[3] / "examples"
KUBECTL = Path(sys.executable).with_name("kubectl")
TOOLS = ("argocd-controller", "kustomize-controller")
"""Field managers of Argo CD and Flux."""
PASSING = ("events", "endpointslices", "endpoints")
"""What Kubernetes keeps of its own accord for a while."""


def example_objects() -> list[Object]:
    files = sorted(EXAMPLES.glob("*/*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    return [one for one in found if one is not None]


def services(namespace: str) -> list[Object]:
    """Every ModelService of the examples, and one for each spec."""
    found = [one for one in example_objects() if one["kind"] == "ModelService"]
    found += [
        {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"name": f"spec-{name}"},
        }
        | {"spec": spec}
        for name, spec in SPECS.items()
    ]
    return [{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in found]


class User:
    """Somebody with kubectl and these manifests."""

    def __init__(self, kube: Kube, kubeconfig: Path, manifests: list[Object]) -> None:
        self.kube, self.manifests = kube, manifests
        self._kubeconfig = kubeconfig

    def run(self, *arguments: str, manifests: list[Object] | None = None, exit_code: int = 0) -> str:
        """Run kubectl with manifests as its input; return what it printed."""
        items = self.manifests if manifests is None else manifests
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        command = [KUBECTL, "--kubeconfig", self._kubeconfig, *arguments]
        environment = {**os.environ, "KUBECTL_APPLYSET": "true"}
        answer = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env=environment
        )
        assert answer.returncode == exit_code, answer.stdout + answer.stderr
        return answer.stdout

    def traces(self) -> dict[str, Any]:
        """Of each service who wrote what when, but for the status: time alone may change that."""
        return {
            one["metadata"]["name"]: (
                one["metadata"]["generation"],
                [
                    (entry["manager"], entry.get("time"), entry["fieldsV1"])
                    for entry in one["metadata"]["managedFields"]
                    if entry.get("subresource") != "status"
                ],
            )
            for one in self.kube.items("modelservices")
        }


def written(shared: Shared) -> list[str]:
    """What the operator has written, but for what it says of services."""
    return [one.path for one in shared.proxy.writes() if not one.path.endswith("/status")]


@pytest.fixture(scope="module")
def applied(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[User, Shared]]:
    """All services, applied by kubectl as most people do, and an operator that has done its work."""
    others = [one for one in example_objects() if one["kind"] in ("PriorityClass", "ModelRuntime")]
    for one in others:
        installed.api.apply(one)
    with open_proxy(installed) as proxy, testing.fresh_namespace(installed.api) as namespace:
        factory = OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator"))
        try:
            operator = factory(proxy=proxy).start().wait_leading()
            kube = Kube(installed.api, namespace)
            user = User(kube, installed.kubeconfig, services(namespace))
            user.run("apply", "-f", "-")
            wait_until(
                lambda: all("status" in one for one in kube.items("modelservices")),
                "every service has a status",
            )
            operator.wait_at_rest()
            yield user, Shared(kube, proxy, operator)
        finally:
            factory.kill_all()
    for one in others:
        installed.api.delete(installed.api.path_of(one))


def test_applying_again_changes_nothing(applied: tuple[User, Shared]) -> None:
    user, shared = applied
    before = user.traces()
    shared.proxy.forget()

    said = user.run("apply", "-f", "-")

    assert [line for line in said.splitlines() if not line.endswith(" unchanged")] == []
    assert user.run("diff", "-f", "-") == ""
    assert user.traces() == before
    shared.operator.wait_at_rest(1.0)
    assert written(shared) == []


def test_argo_cd_finds_every_service_in_sync(applied: tuple[User, Shared]) -> None:
    user, _ = applied
    live = {one["metadata"]["name"]: one for one in user.kube.items("modelservices")}
    for config in user.manifests:
        found = live[config["metadata"]["name"]]
        assert "kubectl.kubernetes.io/last-applied-configuration" in found["metadata"]["annotations"]
        assert argo.three_way_patch(config, found) == {}
        assert argo.three_way_patch(config, without_applied(found)) == {}, "applied on the server"
    config = copy.deepcopy(user.manifests[0])
    changed = {"model": {**config["spec"]["model"], "storageUri": "oci://registry.example/models/spam:9"}}
    config["spec"] |= changed
    found = live[config["metadata"]["name"]]
    assert argo.three_way_patch(config, found)["spec"]["model"] == {
        "storageUri": "oci://registry.example/models/spam:9"
    }


def without_applied(live: Object) -> Object:
    """The object without kubectl's note of what was applied last."""
    annotations = {
        key: value
        for key, value in live["metadata"].get("annotations", {}).items()
        if not key.startswith("kubectl.")
    }
    return {**live, "metadata": {**live["metadata"], "annotations": annotations}}


def test_tools_that_apply_on_the_server_find_nothing_to_change(applied: tuple[User, Shared]) -> None:
    user, shared = applied
    shared.proxy.forget()
    before = {one["metadata"]["name"]: one["spec"] for one in user.kube.items("modelservices")}
    generations = {one["metadata"]["generation"] for one in user.kube.items("modelservices")}
    for tool in TOOLS:
        as_tool = ("--server-side", f"--field-manager={tool}", "-f", "-")
        user.run("apply", *as_tool)
        versions = user.traces()
        user.run("apply", *as_tool)
        assert user.traces() == versions, tool
        assert user.run("diff", *as_tool) == "", tool

    assert {one["metadata"]["name"]: one["spec"] for one in user.kube.items("modelservices")} == before
    assert {one["metadata"]["generation"] for one in user.kube.items("modelservices")} == generations
    shared.operator.wait_at_rest(1.0)
    assert written(shared) == [], "children neither"


def test_request_of_a_person_is_no_difference_and_stays(applied: tuple[User, Shared]) -> None:
    user, shared = applied
    config = next(one for one in user.manifests if one["metadata"]["name"] == "spam")
    path = user.kube.path("modelservices", "spam")
    annotation = "modelservice.dev/rollout-action"
    script = (EXAMPLES.parent / argo_script("pause")).read_text(encoding="utf-8")
    live = user.kube.service("spam")
    user.kube.api.patch(path, argo.merge_patch(live, argo.run_action(script, live)))
    shared.operator.wait_at_rest(1.0)

    found = user.kube.service("spam")
    asked = f"pause@{found['status']['targetRevision']}"
    assert found["metadata"]["annotations"][annotation] == asked
    assert found["status"]["rollout"]["action"]["request"] == asked
    assert argo.three_way_patch(config, found) == {}
    for arguments in (
        ("apply", "-f", "-"),
        ("apply", "--server-side", f"--field-manager={TOOLS[0]}", "-f", "-"),
    ):
        user.run(*arguments, manifests=[config])
        assert user.kube.service("spam")["metadata"]["annotations"][annotation] == asked
    user.kube.api.patch(path, {"metadata": {"annotations": {annotation: None}}})


def argo_script(verb: str) -> Path:
    folder = "gitops/argocd/resource_customizations/modelservice.dev/ModelService"
    return Path(folder) / "actions" / verb / "action.lua"


def test_first_status_comes_with_the_first_look(applied: tuple[User, Shared]) -> None:
    user, shared = applied
    shared.operator.wait_at_rest(1.0)
    shared.proxy.forget()
    user.kube.apply_service("seen")
    user.kube.wait_ready("seen")

    places = [one.path for one in shared.proxy.writes()]
    before = places[: places.index(user.kube.path("modelservices", "seen") + "/status")]
    assert len(before) == len(set(before)), "every child was written once: nothing was waited for"
    assert any("/deployments/" in place for place in before)
    user.kube.api.delete(user.kube.path("modelservices", "seen"))


def test_first_status_comes_also_where_no_child_can_be_written(applied: tuple[User, Shared]) -> None:
    user, shared = applied
    shared.proxy.add(Rule(lambda one: one.is_write and "/modelservices/" not in one.path, "refuse"))
    user.kube.apply_service("stuck")
    user.kube.wait_observed("stuck")
    assert user.kube.condition("Ready", "stuck")["status"] == "False"
    shared.proxy.clear()
    user.kube.api.delete(user.kube.path("modelservices", "stuck"))


def test_prune_takes_everything_with_it_and_nothing_else(applied: tuple[User, Shared]) -> None:
    user, shared = applied
    namespace = user.kube.namespace
    as_set = ("apply", "-n", namespace, "--prune", "--applyset=models", "-f", "-")
    user.run(*as_set)
    shared.proxy.forget()
    shared.operator.wait_at_rest(1.0)
    assert written(shared) == [], "the label of an ApplySet is no child's business"
    kept = [one for one in user.manifests if one["metadata"]["name"] in ("spam", "spec-full")]

    user.run(*as_set, manifests=kept)

    wait_until(lambda: set(owners(user.kube)) == {"spam", "spec-full"}, "what belonged to the others is gone")
    assert owners(user.kube)["spam"] >= {"ModelService", "Deployment", "ReplicaSet", "Service", "Pod"}
    assert owners(user.kube)["spec-full"] >= {"ModelService", "ControllerRevision", "HorizontalPodAutoscaler"}
    user.run("delete", "-f", "-", manifests=kept)
    wait_until(lambda: owners(user.kube) == {}, "nothing of any service is left")
    assert shared.operator.is_ready()


def owners(kube: Kube) -> dict[str, set[str]]:
    """Name of each ModelService that anything in the namespace belongs to, with the kinds of what does."""
    found: dict[str, set[str]] = {}
    for kind, path in namespaced_kinds(kube):
        for one in kube.api.get(path)["items"]:
            metadata = one["metadata"]
            name = metadata.get("labels", {}).get("modelservice.dev/name")
            name = metadata["name"] if kind == "ModelService" else name
            if name is not None:
                found.setdefault(name, set()).add(kind)
    return found


def namespaced_kinds(kube: Kube) -> list[tuple[str, str]]:
    """Kind and path of everything in the namespace that can be listed."""
    groups = [group["preferredVersion"]["groupVersion"] for group in kube.api.get("/apis")["groups"]]
    found: list[tuple[str, str]] = []
    for base in ("/api/v1", *(f"/apis/{group}" for group in groups)):
        found += (
            (one["kind"], f"{base}/namespaces/{kube.namespace}/{one['name']}")
            for one in kube.api.get(base)["resources"]
            if one["namespaced"] and "list" in one["verbs"] and one["name"] not in PASSING
        )
    return found
