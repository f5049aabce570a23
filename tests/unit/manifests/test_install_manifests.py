"""The rendered install manifests: rights, pod security, and that they fit the operator."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import Loader, arguments_of

from modelservice_operator.facts import kinds, labels
from modelservice_operator.settings import parse_settings

ROOT = Path(__file__).parents[3]
Object = dict[str, Any]

CHILD_VERBS = {"get", "list", "watch", "create", "patch", "delete"}
WATCH_VERBS = {"get", "list", "watch"}


def load(name: str) -> list[Object]:
    documents = yaml.load_all((ROOT / "manifests" / name).read_text(), Loader)
    return [document for document in documents if document]


def find(kind: str, name: str = "modelservice-operator") -> Object:
    (found,) = [
        item for item in load("install.yaml") if item["kind"] == kind and item["metadata"]["name"] == name
    ]
    return found


def granted(kind: str) -> set[tuple[str, str, str]]:
    """Every (group, resource, verb) of the operator's ClusterRole or Role."""
    return {
        (group, resource, verb)
        for rule in find(kind)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights(resource: kinds.Resource, verbs: set[str], subresource: str = "") -> set[tuple[str, str, str]]:
    return {(resource.group, resource.plural + subresource, verb) for verb in verbs}


@pytest.fixture
def pod_spec() -> Object:
    spec: Object = find("Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod_spec: Object) -> Object:
    (only,) = pod_spec["containers"]
    assert isinstance(only, dict)
    return only


def test_cluster_role_grants_what_the_operator_uses_and_no_more():
    expected = rights(kinds.MODEL_SERVICES, WATCH_VERBS) | rights(kinds.MODEL_RUNTIMES, WATCH_VERBS)
    expected |= rights(kinds.MODEL_SERVICES, {"patch"}, "/status")
    expected |= rights(kinds.MODEL_SERVICES, {"patch"}, "/scale")
    expected |= rights(kinds.MODEL_SERVICES, {"update"}, "/finalizers")
    for child in (*kinds.CHILDREN, *kinds.OPTIONAL_CHILDREN):
        # Every service has a disruption budget for as long as it exists.
        expected |= rights(child, CHILD_VERBS - ({"delete"} if child is kinds.DISRUPTION_BUDGETS else set()))
    for gateway in kinds.GATEWAY_KINDS:
        expected |= rights(gateway, {"list", "watch"})
    expected |= rights(kinds.PODS, {"list", "watch"}) | rights(kinds.CORE_EVENTS, {"list"})
    expected |= rights(kinds.NODES, {"list"})
    expected |= rights(kinds.EVENTS, {"create", "patch"})
    expected |= rights(kinds.RUNTIME_ROLLOUTS, {"list", "watch", "delete"})
    expected |= rights(kinds.RUNTIME_ROLLOUTS, {"patch"}, "/status")
    assert granted("ClusterRole") == expected


def test_role_grants_one_lease_and_a_look_at_the_autoscalers():
    verbs = {str(rule.get("resourceNames")): rule["verbs"] for rule in find("Role")["rules"]}
    assert granted("Role") == rights(kinds.LEASES, {"create", "get", "update"})
    assert verbs == {
        "None": ["create"],
        "['modelservice-operator']": ["get", "update"],
        "['modelservice-operator-autoscaler']": ["get"],
    }


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_roles_have_no_wildcard_no_secrets_and_no_right_to_grant_rights(kind):
    rules = [rule for item in load("install.yaml") if item["kind"] == kind for rule in item["rules"]]
    assert rules
    for rule in rules:
        words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert not words & {"*", "secrets", "escalate", "bind", "impersonate", "roles", "clusterroles"}
        assert "nonResourceURLs" not in rule


def test_pod_meets_pod_security_restricted(pod_spec, container):
    assert pod_spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod_spec)
    assert [set(volume) - {"name"} for volume in pod_spec["volumes"]] == [{"emptyDir"}]
    assert pod_spec["volumes"][0]["emptyDir"]["sizeLimit"]


def test_operator_accepts_the_arguments_and_serves_the_probed_port(container):
    settings = parse_settings(
        arguments_of(container), {"POD_NAMESPACE": "modelservice-system", "POD_NAME": "a"}
    )
    lease = find("Role")["rules"][1]["resourceNames"][0]
    (port,) = container["ports"]
    assert (settings.lease.namespace, settings.lease.name) == ("modelservice-system", lease)
    assert port == {"name": "http", "containerPort": settings.http_port}
    probes = [container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert [probe["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]
    assert {probe["port"] for probe in probes} == {"http"}


def test_start_on_a_busy_node_is_not_cut_off(container):
    # Seen on two cores for which forty processes waited: not ready in a minute, four times in a row.
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 300


def test_deployment_has_a_warm_standby_and_a_budget():
    deployment = find("Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert deployment["spec"]["replicas"] == 2
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert find("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == selector
    assert find("Service", "modelservice-operator-metrics")["spec"]["selector"] == selector
    # The operator selects its children by this label: its own objects must never be among them.
    marks = [item["metadata"].get("labels", {}).get(labels.MANAGED_BY) for item in load("install.yaml")]
    assert set(marks) == {None}


def test_default_runtime_is_marked_and_is_no_hook():
    runtime = find("ModelRuntime", "onnx")
    assert runtime["metadata"]["annotations"] == {labels.DEFAULT_RUNTIME: "true"}
    assert runtime["spec"]["image"] == find("Deployment")["spec"]["template"]["spec"]["containers"][0][
        "image"
    ].replace("/operator:", "/runtime:")


@pytest.mark.parametrize("plural", ["modelservices", "modelruntimes", "runtimerollouts"])
def test_crds_are_the_generated_ones_and_stay_when_the_release_goes(plural):
    source = yaml.load((ROOT / "crds" / f"{plural}.yaml").read_text(), Loader)
    (rendered,) = [
        item for item in load("crds.yaml") if item["metadata"]["name"] == source["metadata"]["name"]
    ]
    assert rendered["spec"] == source["spec"]
    assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_install_yaml_holds_no_definitions_and_one_restricted_namespace():
    items = load("install.yaml")
    namespaces = {item["metadata"].get("namespace") for item in items} - {None}
    assert "CustomResourceDefinition" not in {item["kind"] for item in items}
    assert namespaces == {"modelservice-system"}
    level = find("Namespace", "modelservice-system")["metadata"]["labels"]
    assert level["pod-security.kubernetes.io/enforce"] == "restricted"
