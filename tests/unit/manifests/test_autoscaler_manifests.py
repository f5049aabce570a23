"""The autoscaler in the rendered install manifests: its rights, its pods, and that they fit the program."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import Loader, arguments_of

from modelservice_autoscaler.settings import parse_settings
from modelservice_operator.facts import kinds

ROOT = Path(__file__).parents[3]
NAME = "modelservice-operator-autoscaler"
Object = dict[str, Any]
Right = tuple[str, str, str]


def load() -> list[Object]:
    documents = yaml.load_all((ROOT / "manifests/install.yaml").read_text(encoding="utf-8"), Loader)
    return [document for document in documents if document]


def find(kind: str, name: str = NAME) -> Object:
    (found,) = [one for one in load() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def granted(kind: str) -> set[Right]:
    """Every (group, resource, verb) of its ClusterRole or Role."""
    return {
        (group, resource, verb)
        for rule in find(kind)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights(resource: kinds.Resource, verbs: set[str], subresource: str = "") -> set[Right]:
    return {(resource.group, resource.plural + subresource, verb) for verb in verbs}


@pytest.fixture
def pod() -> Object:
    template: Object = find("Deployment")["spec"]["template"]
    return template


def test_cluster_role_grants_what_it_uses_and_no_more():
    assert granted("ClusterRole") == (
        rights(kinds.MODEL_SERVICES, {"list", "watch"})
        | rights(kinds.MODEL_SERVICES, {"patch"}, "/scale")
        | rights(kinds.MODEL_SERVICES, {"patch"}, "/status")
        | rights(kinds.ENDPOINT_SLICES, {"list", "watch"})
    )


def test_role_grants_its_own_lease_only():
    assert granted("Role") == rights(kinds.LEASES, {"create", "get", "update"})
    by_name = [(rule["verbs"], rule.get("resourceNames")) for rule in find("Role")["rules"]]
    assert by_name == [(["create"], None), (["get", "update"], [NAME])]


@pytest.mark.parametrize("kind", ["ClusterRoleBinding", "RoleBinding"])
def test_rights_are_bound_to_its_own_account(kind, pod):
    (subject,) = find(kind)["subjects"]
    assert subject["name"] == pod["spec"]["serviceAccountName"] == NAME
    assert find(kind)["roleRef"]["name"] == NAME
    assert find("ServiceAccount")["automountServiceAccountToken"] is False


def test_pods_have_the_operators_security_and_image(pod):
    operator = find("Deployment", "modelservice-operator")["spec"]["template"]["spec"]
    (container,), (theirs,) = pod["spec"]["containers"], operator["containers"]
    assert pod["spec"]["securityContext"] == operator["securityContext"]
    for field in ("image", "securityContext", "livenessProbe", "readinessProbe", "startupProbe", "env"):
        assert container[field] == theirs[field], field
    assert pod["spec"]["volumes"] == operator["volumes"]


def test_command_is_the_images_but_for_the_module(pod):
    dockerfile = (ROOT / "operator/Dockerfile").read_text(encoding="utf-8")
    entry = yaml.safe_load(dockerfile.rpartition("ENTRYPOINT ")[2])
    assert entry[-1] == "modelservice_operator"
    (container,) = pod["spec"]["containers"]
    assert container["command"] == [*entry[:-1], "modelservice_autoscaler"]
    assert (ROOT / "operator/modelservice_autoscaler/__main__.py").exists()


def test_program_accepts_the_arguments_and_serves_the_ports(pod):
    (container,) = pod["spec"]["containers"]
    settings = parse_settings(
        arguments_of(container), {"POD_NAMESPACE": "modelservice-system", "POD_NAME": "a"}
    )
    assert (settings.lease.namespace, settings.lease.name) == ("modelservice-system", NAME)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.http_port, "grpc": settings.grpc_port}
    served = {port["targetPort"]: port["port"] for port in find("Service")["spec"]["ports"]}
    assert served == ports


def test_operator_tells_keda_where_it_answers():
    (container,) = find("Deployment", "modelservice-operator")["spec"]["template"]["spec"]["containers"]
    assert f"--scaler-address={NAME}.modelservice-system.svc:9090" in arguments_of(container)


def test_no_selector_of_another_component_chooses_its_pods(pod):
    own = find("Deployment")["spec"]["selector"]["matchLabels"]
    labels = pod["metadata"]["labels"]
    selectors = {
        one["metadata"]["name"]: (one["spec"]["selector"].get("matchLabels") or one["spec"]["selector"])
        for one in load()
        if one["kind"] in ("Deployment", "Service", "PodDisruptionBudget")
    }
    assert {name for name, selector in selectors.items() if selector.items() <= labels.items()} == {NAME}
    assert selectors[NAME] == own
    assert find("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == own
    assert find("Service")["spec"]["selector"] == own


def test_two_replicas_spread_over_nodes(pod):
    assert find("Deployment")["spec"]["replicas"] == 2
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
