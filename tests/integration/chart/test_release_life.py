"""Releases come and go on a real API server: by the real helm, as docs/install.md says. Pods are played."""

import os
import re
import shlex
import subprocess

import pytest
from hack.cluster.cluster import Cluster
from tests.support.chart import CHART, NAMESPACE, RELEASE, ROOT, Chart

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelservices.modelservice.dev"
RUNTIME = "defaultRuntime.install=true"
INSTANCE = "app.kubernetes.io/instance"
KINDS = (
    "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,pods,"
    "clusterroles,clusterrolebindings,priorityclasses,modelruntimes"
)


def taking_command() -> list[str]:
    """The words of the command of docs/install.md by which a release takes over what is there."""
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (command,) = [one for one in blocks if "--take-ownership" in one]
    helm, *words = shlex.split(command.replace("\\\n", ""))
    assert (helm, words.pop()) == ("helm", "...")
    return words


class Helm:
    """The real helm, on the tests' control plane."""

    def __init__(self, chart: Chart, cluster: Cluster) -> None:
        self._helm = str(chart.helm)
        self._environ = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}

    def install(self, name: str, namespace: str, *options: str) -> str:
        """Install or upgrade as a user does; empty, or why not."""
        create = ("upgrade", "--install", name, str(CHART), "--create-namespace", "--namespace", namespace)
        return self._run(*create, "--set", "defaultRuntime.name=of-a-release", *options)

    def take_over(self, name: str, namespace: str) -> str:
        """Install as a user does who has read how; empty, or why not."""
        said = {RELEASE: name, NAMESPACE: namespace, f"charts/{RELEASE}": str(CHART)}
        words = [said.get(word, word) for word in taking_command()]
        return self._run(*words, "--set", "defaultRuntime.name=of-a-release")

    def uninstall(self, name: str, namespace: str) -> None:
        """Remove a release and wait until its objects are gone."""
        assert self._run("uninstall", name, "--namespace", namespace, "--wait") == ""

    def _run(self, *arguments: str) -> str:
        command = [self._helm, *arguments]
        result = subprocess.run(command, env=self._environ, capture_output=True, text=True, check=False)
        return result.stderr if result.returncode else ""


@pytest.fixture
def helm(chart: Chart, crds: Cluster) -> Helm:
    return Helm(chart, crds)


def leftovers(cluster: Cluster, release: str) -> str:
    """The names of what a release has left, in any namespace."""
    kubectl = ("kubectl", "--kubeconfig", str(cluster.kubeconfig))
    command = [*kubectl, "get", KINDS, "-A", "-l", f"{INSTANCE}={release}", "-o", "name"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def owner_of_definitions(cluster: Cluster) -> tuple[str, str]:
    annotations = cluster.api.get(DEFINITIONS)["metadata"]["annotations"]
    return annotations["meta.helm.sh/release-namespace"], annotations["meta.helm.sh/release-name"]


def test_definitions_outlive_releases_and_pass_from_one_to_the_next(helm: Helm, crds: Cluster):
    uid = crds.api.get(DEFINITIONS)["metadata"]["uid"]

    # Somebody applied the definitions with kubectl.
    assert "invalid ownership metadata" in helm.install(RELEASE, "helm-first")
    assert leftovers(crds, RELEASE) == ""
    assert helm.take_over(RELEASE, "helm-first") == ""
    assert owner_of_definitions(crds) == ("helm-first", RELEASE)
    assert (
        helm.install(RELEASE, "helm-first", "--set", "networkPolicy.enabled=true,priorityClass.create=true")
        == ""
    )

    # Somebody else brings the definitions and the runtime, but the operator would be a second one.
    alone = ("--set", "crds.install=false,defaultRuntime.install=false")
    refusal = helm.install("another", "helm-second", *alone)
    assert "An operator in namespace helm-first already serves all namespaces" in refusal
    assert leftovers(crds, "another") == ""

    helm.uninstall(RELEASE, "helm-first")
    assert leftovers(crds, RELEASE) == ""
    assert "invalid ownership metadata" in helm.install("another", "helm-second")
    assert helm.take_over("another", "helm-second") == ""
    assert owner_of_definitions(crds) == ("helm-second", "another")

    helm.uninstall("another", "helm-second")
    assert leftovers(crds, "another") == ""

    # Beside each other, as long as each has namespaces of its own.
    for name, served in (("first", "helm-first"), ("second", "helm-second")):
        only = ("--set", f"operator.watchNamespaces={{{served}}}")
        assert helm.install(f"{RELEASE}-{name}", f"helm-{name}", *alone, *only, "--set", RUNTIME) == ""
        refusal = helm.install("third", "helm-third", *alone, *only, "--set", RUNTIME)
        assert f"An operator in namespace helm-{name} already serves namespace {served}" in refusal
        assert helm.install(f"{RELEASE}-{name}", f"helm-{name}", *alone, *only, "--set", RUNTIME) == ""
    for name in ("first", "second"):
        helm.uninstall(f"{RELEASE}-{name}", f"helm-{name}")
    assert crds.api.get(DEFINITIONS)["metadata"]["uid"] == uid
