"""What an auditor looks for in the rights that the chart grants, whatever is set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import MODEL_RUNTIME_API, MONITORING_API, Chart, Object

GOLDEN = Path(__file__).parents[2] / "unit/manifests/golden"
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "the least": {"routes": {"enabled": False}, "operator": {"readNodes": False}},
    **{
        file.parent.name: yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in sorted(GOLDEN.glob("*/values.yaml"))
    },
}

ANY = "*"
TO_GRANT_RIGHTS = {"escalate", "bind", "impersonate"}
TO_BE_SOMEBODY_ELSE = {"serviceaccounts/token", "users", "groups", "userextras", "certificatesigningrequests"}
INTO_PODS = {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers"}
INTO_NODES = {"nodes/proxy", "services/proxy"}
OF_ADMISSION = {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
OF_RIGHTS = {"roles", "rolebindings", "clusterroles", "clusterrolebindings"}
NEVER = {ANY, "secrets", *TO_BE_SOMEBODY_ELSE, *INTO_PODS, *INTO_NODES, *OF_ADMISSION, *OF_RIGHTS}
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
ONLY_READ = {"pods", "nodes", "namespaces", "configmaps", "persistentvolumes", "customresourcedefinitions"}


@pytest.fixture(params=VALUES.values(), ids=VALUES.keys(), scope="module")
def objects(chart: Chart, request: pytest.FixtureRequest) -> list[Object]:
    """What is installed with these values."""
    return chart.render(request.param, apis=(MODEL_RUNTIME_API, MONITORING_API), tests=True)


def rules(objects: list[Object]) -> Iterator[Object]:
    for one in objects:
        if one["kind"] in ("Role", "ClusterRole"):
            yield from one["rules"]


def pods(objects: list[Object]) -> Iterator[Object]:
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            yield one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one["spec"]


def test_no_rule_has_a_wildcard_or_more_than_resources(objects: list[Object]) -> None:
    found = list(rules(objects))
    assert found
    for rule in found:
        assert rule.keys() <= {"apiGroups", "resources", "verbs", "resourceNames"}
        assert not any(ANY in word for part in ("apiGroups", "resources", "verbs") for word in rule[part])


def test_no_rule_leads_to_secrets_into_pods_or_to_more_rights(objects: list[Object]) -> None:
    for rule in rules(objects):
        assert not NEVER & {*rule["resources"]}
        assert not TO_GRANT_RIGHTS & {*rule["verbs"]}
        if ONLY_READ & {*rule["resources"]}:
            assert not WRITES & {*rule["verbs"]}, rule


def test_rights_are_bound_to_accounts_of_the_release_alone(objects: list[Object]) -> None:
    bindings = [one for one in objects if one["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    roles = {(one["kind"], one["metadata"]["name"]) for one in objects if one["kind"].endswith("Role")}
    accounts = {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"}
    assert bindings
    for binding in bindings:
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles
        assert {subject["kind"] for subject in binding["subjects"]} == {"ServiceAccount"}
        assert {subject["name"] for subject in binding["subjects"]} <= accounts


def test_accounts_mount_no_token_and_pods_say_so_themselves(objects: list[Object]) -> None:
    accounts = [one for one in objects if one["kind"] == "ServiceAccount"]
    assert [one["automountServiceAccountToken"] for one in accounts] == [False] * len(accounts)
    for pod in pods(objects):
        assert isinstance(pod["automountServiceAccountToken"], bool)
