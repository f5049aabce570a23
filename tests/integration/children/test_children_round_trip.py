"""What the builders make and what a real API server stores compare equal: nothing is ever written twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import NOW, make_model_service, make_observed
from tests.unit.operator.specs import EVALUATED, SPECS

from modelservice_operator.api import InvalidSpec, parse_model_service
from modelservice_operator.decide.decide import decide
from modelservice_operator.facts.fields.canonical import canonicalise, fingerprint, project_managed
from modelservice_operator.facts.labels import MANAGER

if TYPE_CHECKING:
    from hack.cluster.cluster import Cluster
    from tests.integration.children.conftest import Families

WITH_STATUS = ("Deployment", "HorizontalPodAutoscaler", "Job", "PodDisruptionBudget")
"""Kinds whose controllers write their status at any time."""


def fingerprint_of(intent: dict[str, Any]) -> str:
    return fingerprint(canonicalise(intent))


@pytest.mark.parametrize("name", [*SPECS, *EVALUATED])
def test_children_applied_once_compare_equal_and_stay_so(families: Families, name: str) -> None:
    family = families.create({**SPECS, **EVALUATED}[name])
    for body in family.children:
        answer = family.api.apply(body, manager=MANAGER)
        assert canonicalise(project_managed(answer)) == canonicalise(body)

    for body in family.children:
        before = family.api.get(family.api.path_of(body))
        assert fingerprint_of(project_managed(before)) == fingerprint_of(body)
        again = family.api.apply(body, manager=MANAGER)
        if body["kind"] not in WITH_STATUS:
            assert again["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_child_changed_by_hand_compares_different_until_applied_again(families: Families) -> None:
    family = families.create(SPECS["smallest"])
    body = family.child("Service")
    path = family.api.path_of(body)
    family.api.apply(body, manager=MANAGER)

    changed = family.api.patch(path, {"metadata": {"labels": {"team": "mail"}}})
    assert fingerprint_of(project_managed(changed)) == fingerprint_of(body), "an added label is not ours"
    changed = family.api.patch(path, {"spec": {"selector": {"modelservice.dev/name": "other"}}})
    assert fingerprint_of(project_managed(changed)) != fingerprint_of(body)

    mended = family.api.apply(body, manager=MANAGER)
    assert fingerprint_of(project_managed(mended)) == fingerprint_of(body)


@pytest.mark.parametrize("name", [name for name in SPECS if name != "full"])
def test_pods_of_the_template_are_admitted_as_restricted(families: Families, name: str) -> None:
    family = families.create(SPECS[name])
    family.api.apply(family.child("ServiceAccount"), manager=MANAGER)
    template = family.child("Deployment")["spec"]["template"]
    pod = {**template, "metadata": {**template["metadata"], "name": "probe"}}

    created = family.api.create(f"/api/v1/namespaces/{families.namespace}/pods?dryRun=All", pod)

    assert created["spec"]["containers"][0]["name"] == "server"


@pytest.mark.parametrize("name", [name for name in EVALUATED if name != "evaluated"])
def test_pods_of_an_evaluation_are_admitted_as_restricted(families: Families, name: str) -> None:
    family = families.create(EVALUATED[name])
    family.api.apply(family.child("ServiceAccount"), manager=MANAGER)
    template = family.child("Job")["spec"]["template"]
    pod = {**template, "metadata": {**template["metadata"], "name": "probe"}}

    created = family.api.create(f"/api/v1/namespaces/{families.namespace}/pods?dryRun=All", pod)

    assert created["spec"]["containers"][0]["name"] == "evaluation"


AMOUNT = st.from_regex("([1-9][0-9]{0,4}|0?[.][0-9]{0,3}[1-9])(m|u|k|M|Ki|Mi|Gi|)", fullmatch=True)
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        kind: st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage"]), AMOUNT, max_size=3)
        for kind in ("requests", "limits")
    },
)
KEY = st.from_regex("[a-z]{1,8}([.][a-z]{1,8}/[a-z]{1,8})?", fullmatch=True)
VALUE = st.from_regex("([a-z0-9]{1,8})?", fullmatch=True)
TEXTS = st.dictionaries(KEY, VALUE, max_size=3)
TOLERATION = st.sampled_from(
    [
        {"key": "a", "operator": "Exists"},
        {"key": "a", "value": "b"},
        {"key": "a", "value": ""},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
        {"key": "a", "operator": "Equal", "value": "x", "effect": "PreferNoSchedule"},
    ]
)
SCHEDULING = st.fixed_dictionaries(
    {},
    optional={
        "nodeSelector": TEXTS,
        "tolerations": st.lists(TOLERATION, max_size=3),
        "topologySpread": st.sampled_from(["Preferred", "Required", "Disabled"]),
    },
)
METADATA = st.fixed_dictionaries({}, optional={"labels": TEXTS, "annotations": TEXTS})
SELECTOR = st.fixed_dictionaries({}, optional={"matchLabels": TEXTS})
PEER = st.one_of(
    st.fixed_dictionaries({"namespaceSelector": SELECTOR}, optional={"podSelector": SELECTOR}),
    st.fixed_dictionaries({"podSelector": SELECTOR}),
    st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]).map(lambda cidr: {"ipBlock": {"cidr": cidr}}),
)
NETWORK = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(PEER, max_size=3),
        "extraPorts": st.lists(st.integers(1, 65_535), max_size=3),
    },
)
VARIABLES = st.lists(
    st.sampled_from(
        [
            {"name": "OTEL_SERVICE_NAME", "value": "spam"},
            {"name": "OTEL_EXPORTER_OTLP_HEADERS", "secretName": "telemetry"},
            {"name": "TZ", "value": " "},
            {"name": "NO_PROXY", "value": "$(HOME),$$x"},
        ]
    ),
    unique_by=lambda one: one["name"],
)
METRICS = st.builds(lambda amount: [{"type": "Memory", "target": {"averageValue": amount}}], AMOUNT)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "resources": RESOURCES,
        "podMetadata": METADATA,
        "childMetadata": METADATA,
        "networkPolicy": NETWORK,
        "env": VARIABLES,
        "scheduling": SCHEDULING,
        "autoscaling": st.fixed_dictionaries({"maxReplicas": st.integers(1, 9), "metrics": METRICS}),
        "replicas": st.integers(0, 3),
        "terminationGracePeriodSeconds": st.integers(1, 3600),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SPEC)
def test_any_valid_spec_is_stored_as_it_was_intended(
    control_plane: Cluster, namespace: str, spec: dict[str, Any]
) -> None:
    manifest = make_model_service(**spec)
    manifest["metadata"]["namespace"] = namespace
    assume(is_valid(manifest))
    for body in decide(make_observed(manifest), NOW).desired:
        if body["kind"] in ("Deployment", "HorizontalPodAutoscaler", "NetworkPolicy"):
            path = f"{control_plane.api.path_of(body)}?dryRun=All&force=true&fieldManager={MANAGER}"
            answer = control_plane.api.request("PATCH", path, body, "application/apply-patch+yaml")
            assert canonicalise(project_managed(answer)) == canonicalise(body)


def is_valid(manifest: dict[str, Any]) -> bool:
    try:
        parse_model_service(manifest)
    except InvalidSpec:
        return False
    return True
