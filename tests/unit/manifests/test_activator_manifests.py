"""The activator in the rendered install manifests: its rights, its pods, and that they fit the program."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import Loader, arguments_of

from modelservice_activator.settings import parse_settings
from modelservice_operator.facts import kinds

ROOT = Path(__file__).parents[3]
NAME = "modelservice-operator-activator"
Object = dict[str, Any]


def load() -> list[Object]:
    documents = yaml.load_all((ROOT / "manifests/install.yaml").read_text(encoding="utf-8"), Loader)
    return [document for document in documents if document]


def find(kind: str, name: str = NAME) -> Object:
    (found,) = [one for one in load() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture
def pod() -> Object:
    template: Object = find("Deployment")["spec"]["template"]
    return template


@pytest.fixture
def container(pod: Object) -> Object:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_cluster_role_grants_what_it_uses_and_no_more():
    granted = {
        (group, resource, verb)
        for rule in find("ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        *((kinds.MODEL_SERVICES.group, "modelservices", verb) for verb in ("get", "list", "watch")),
        (kinds.MODEL_SERVICES.group, "modelservices/scale", "patch"),
        *((kinds.ENDPOINT_SLICES.group, "endpointslices", verb) for verb in ("list", "watch")),
    }
    (subject,) = find("ClusterRoleBinding")["subjects"]
    assert subject["name"] == find("ServiceAccount")["metadata"]["name"] == NAME


def test_pods_have_the_operators_security_and_image(pod, container):
    operator = find("Deployment", "modelservice-operator")["spec"]["template"]["spec"]
    (theirs,) = operator["containers"]
    assert pod["spec"]["securityContext"].items() >= operator["securityContext"].items()
    for field in ("image", "securityContext", "livenessProbe", "readinessProbe", "startupProbe"):
        assert container[field] == theirs[field], field
    assert container["command"][-1] == "modelservice_activator"


def test_ports_of_services_are_none_of_those_that_the_kernel_gives_away(pod):
    (sysctl,) = pod["spec"]["securityContext"]["sysctls"]
    first, last = map(int, sysctl["value"].split())
    # Of the sysctls that Pod Security "restricted" lets a pod set.
    assert sysctl["name"] == "net.ipv4.ip_local_port_range"
    assert (first, last) == (52_000, 65_535)


def test_program_accepts_the_arguments_and_ends_within_its_grace_period(pod, container):
    settings = parse_settings(arguments_of(container), {})
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.http_port}
    assert settings.leave_seconds < settings.grace_seconds < pod["spec"]["terminationGracePeriodSeconds"]


def test_two_replicas_are_found_by_their_addresses(pod):
    deployment, service = find("Deployment"), find("Service")
    assert deployment["spec"]["replicas"] == 2
    assert service["spec"]["clusterIP"] == "None"
    assert [port["port"] for port in service["spec"]["ports"]] == [8081]
    for selector in (
        service["spec"]["selector"],
        find("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert selector == deployment["spec"]["selector"]["matchLabels"]
        assert selector.items() <= pod["metadata"]["labels"].items()
