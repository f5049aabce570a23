"""The chart with the main sets of values, as `make generate` renders it: what holds for each of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import Loader

GOLDEN = Path(__file__).parent / "golden"
SETS = sorted(folder.name for folder in GOLDEN.iterdir())
OWN = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
NAMESPACE = "modelservice-system"
Object = dict[str, Any]


@pytest.fixture(params=SETS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return load(request.param)


def load(name: str) -> list[Object]:
    text = (GOLDEN / name / "objects.yaml").read_text(encoding="utf-8")
    return [one for one in yaml.load_all(text, Loader) if one]


def pod_templates(objects: list[Object]) -> Iterator[Object]:
    """The pods that the release makes: those of Deployments, and that of `helm test`."""
    for one in objects:
        if one["kind"] == "Deployment":
            yield one["spec"]["template"]
        if one["kind"] == "Pod":
            yield one


def names(objects: list[Object], kind: str) -> set[tuple[str, str]]:
    """Namespace and name of every object of a kind."""
    return {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in objects
        if one["kind"] == kind
    }


def selectors(objects: list[Object]) -> Iterator[tuple[str, dict[str, str]]]:
    """The labels by which objects of the release choose pods of the release."""
    for one in objects:
        spec, name = one.get("spec", {}), f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] in ("Deployment", "PodDisruptionBudget"):
            yield name, spec["selector"]["matchLabels"]
        elif one["kind"] == "Service":
            yield name, spec["selector"]
        elif one["kind"] == "NetworkPolicy":
            yield name, spec["podSelector"]["matchLabels"]


def test_each_object_has_the_labels_of_the_release_and_one_place(objects):
    places = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert len(set(places)) == len(places)
    for one in objects:
        assert set(OWN) <= one["metadata"]["labels"].keys(), one["metadata"]["name"]


def test_each_selector_chooses_the_pods_of_one_component(objects):
    pods = [one["metadata"]["labels"] for one in pod_templates(objects)]
    for name, wanted in selectors(objects):
        assert wanted.keys() == set(OWN), name
        assert len([one for one in pods if wanted.items() <= one.items()]) == 1, name


def test_each_account_that_is_named_is_made_and_has_its_rights(objects):
    accounts = names(objects, "ServiceAccount")
    bound = set()
    for one in objects:
        if one["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            home = one["metadata"].get("namespace", "")
            role = one["roleRef"]
            assert (home if role["kind"] == "Role" else "", role["name"]) in names(objects, role["kind"])
            bound |= {(subject["namespace"], subject["name"]) for subject in one["subjects"]}
    assert bound == accounts
    used = {
        (NAMESPACE, one["spec"]["template"]["spec"]["serviceAccountName"])
        for one in objects
        if one["kind"] == "Deployment"
    }
    assert used == accounts


def test_each_pod_meets_pod_security_restricted(objects):
    for pod in pod_templates(objects):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
        assert not [volume for volume in pod["spec"].get("volumes", ()) if "hostPath" in volume]
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_no_right_is_a_wildcard_or_leads_to_secrets_or_more_rights(objects):
    for one in objects:
        for rule in one.get("rules", ()) if one["kind"] in ("Role", "ClusterRole") else ():
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not words & {"*", "secrets", "escalate", "bind", "impersonate", "roles", "clusterroles"}


def test_everything_is_on_in_the_fullest_set():
    kinds = {one["kind"] for one in load("everything")}
    assert kinds >= {"NetworkPolicy", "PodMonitor", "PriorityClass", "Namespace", "ModelRuntime", "Pod"}


def test_namespaced_release_has_nothing_of_the_whole_cluster():
    objects = load("namespaced")
    assert not {one["kind"] for one in objects if "namespace" not in one["metadata"]}
    roles = {namespace for namespace, _ in names(objects, "Role")}
    assert roles == {NAMESPACE, "team-a", "team-b"}


def test_operator_alone_is_one_deployment_without_the_others_traces():
    objects = load("operator-alone")
    assert names(objects, "Deployment") == {(NAMESPACE, "modelservice-operator")}
    text = yaml.dump([one for one in objects if one["kind"] in ("Deployment", "Role", "ClusterRole")])
    assert "--scaler-address" not in text
    assert "--activator-service" not in text
    assert "gateway.networking.k8s.io" not in text
