from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.api import canonical_quantity
from modelservice_operator.facts.fields.canonical import canonicalise, fingerprint, project_managed

OURS = {"manager": "modelservice-operator", "operation": "Apply", "fieldsType": "FieldsV1"}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "spam-1",
        "namespace": "mail",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"a": "1", "foreign": "2"},
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "ownerReferences": [{"uid": "o", "kind": "ModelService", "name": "spam"}],
        "managedFields": [
            {
                **OURS,
                "apiVersion": "apps/v1",
                "fieldsV1": {
                    "f:metadata": {
                        "f:labels": {"f:a": {}},
                        "f:ownerReferences": {'k:{"uid":"o"}': {}},
                    },
                    "f:spec": {
                        "f:replicas": {},
                        "f:template": {
                            "f:spec": {
                                "f:containers": {
                                    'k:{"name":"server"}': {
                                        ".": {},
                                        "f:args": {},
                                        "f:name": {},
                                        "f:ports": {
                                            'k:{"containerPort":8080,"protocol":"TCP"}': {
                                                ".": {},
                                                "f:containerPort": {},
                                                "f:protocol": {},
                                            }
                                        },
                                        "f:resources": {"f:limits": {"f:memory": {}}},
                                    }
                                },
                                "f:volumes": {
                                    'k:{"name":"tmp"}': {
                                        ".": {},
                                        "f:name": {},
                                        "f:emptyDir": {"f:sizeLimit": {}},
                                    }
                                },
                            }
                        },
                    },
                },
            },
            {
                "manager": "kubectl",
                "operation": "Update",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:foreign": {}}}},
            },
            {**OURS, "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
        ],
    },
    "spec": {
        "replicas": 2,
        "revisionHistoryLimit": 10,
        "template": {
            "spec": {
                "containers": [
                    {"name": "sidecar", "image": "mesh"},
                    {
                        "name": "server",
                        "args": ["serve"],
                        "imagePullPolicy": "Always",
                        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                        "resources": {"limits": {"memory": "1Gi"}},
                    },
                ],
                "volumes": [
                    {"name": "injected", "emptyDir": {}},
                    {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                ],
            }
        },
    },
    "status": {"replicas": 2},
}
DESIRED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "spam-1",
        "labels": {"a": "1"},
        "ownerReferences": [{"uid": "o", "kind": "ModelService", "name": "spam"}],
    },
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "server",
                        "args": ["serve"],
                        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                        "resources": {"limits": {"memory": "1024Mi"}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1024Mi"}}],
            }
        },
    },
}


def needs_write(desired: dict[str, Any], observed: dict[str, Any]) -> bool:
    return fingerprint(canonicalise(desired)) != fingerprint(canonicalise(project_managed(observed)))


def edited(*path: Any, value: Any = None) -> dict[str, Any]:
    """The observed Deployment with one value changed, or removed."""
    *parents, last = path
    copy = _copy(DEPLOYMENT)
    node = copy
    for part in parents:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return copy


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


SERVER = ("spec", "template", "spec", "containers", 1)


def test_needs_write_after_own_apply_false_despite_defaults_and_other_managers() -> None:
    assert not needs_write(DESIRED, DEPLOYMENT)


@pytest.mark.parametrize(
    "observed",
    [
        edited("spec", "replicas", value=3),
        edited(*SERVER, "args", value=["serve", "--x"]),
        edited(*SERVER, "args"),
        edited(*SERVER, "resources", "limits", "memory", value="2Gi"),
        edited(*SERVER, "ports", value=[]),
        edited("spec", "template", "spec", "containers", value=[]),
        edited("metadata", "labels", "a", value="other"),
        edited("metadata", "ownerReferences", value=[]),
        edited("metadata", "managedFields", value=[]),
    ],
)
def test_needs_write_one_of_our_fields_changed_true(observed: dict[str, Any]) -> None:
    assert needs_write(DESIRED, observed)


def test_needs_write_another_manager_took_a_field_true() -> None:
    observed = _copy(DEPLOYMENT)
    del observed["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"]

    assert needs_write(DESIRED, observed)


@pytest.mark.parametrize(
    "observed",
    [
        edited("spec", "revisionHistoryLimit", value=3),
        edited("metadata", "labels", "foreign", value="9"),
        edited("metadata", "resourceVersion", value="8"),
        edited("status", "replicas", value=0),
        edited("spec", "template", "spec", "containers", 0, "image", value="other"),
    ],
)
def test_needs_write_foreign_field_changed_false(observed: dict[str, Any]) -> None:
    assert not needs_write(DESIRED, observed)


def test_project_managed_nothing_owned_empty() -> None:
    assert project_managed(DEPLOYMENT, "somebody") == {}
    assert project_managed({"metadata": {}}) == {}


def test_project_managed_sets_by_value() -> None:
    fields = {"f:metadata": {"f:finalizers": {".": {}, 'v:"a/b"': {}, 'v:"gone"': {}}}}
    obj = {"metadata": {"finalizers": ["x/y", "a/b"], "managedFields": [{**OURS, "fieldsV1": fields}]}}

    assert project_managed(obj) == {"metadata": {"finalizers": ["a/b"]}}


def test_project_managed_two_entries_united() -> None:
    entries = [{**OURS, "fieldsV1": {"f:spec": {f"f:{name}": {}}}} for name in ("a", "b")]
    obj = {"metadata": {"managedFields": entries}, "spec": {"a": 1, "b": 2, "c": 3}}

    assert project_managed(obj) == {"spec": {"a": 1, "b": 2}}


def test_project_managed_atomic_list_as_a_whole() -> None:
    obj = {
        "metadata": {"managedFields": [{**OURS, "fieldsV1": {"f:spec": {"f:egress": {}}}}]},
        "spec": {"egress": [{"ports": [{"port": 53}]}]},
    }

    assert project_managed(obj) == {"spec": {"egress": [{"ports": [{"port": 53}]}]}}


def test_canonicalise_drops_identity_status_and_unset_fields() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "x", "uid": "u", "labels": {}},
        "spec": {"a": None, "b": 1},
        "status": {"c": 2},
    }

    assert canonicalise(obj) == {"spec": {"b": 1}}


def test_canonicalise_empty_lists_and_maps_that_the_server_drops_are_dropped() -> None:
    obj = {"spec": {"nodeSelector": {}, "args": [], "emptyDir": {}, "resources": {"limits": {}}}}

    assert canonicalise(obj) == {"spec": {"emptyDir": {}, "resources": {}}}


def test_canonicalise_labels_that_look_like_quantities_stay() -> None:
    obj = {
        "spec": {
            "nodeSelector": {"sizeLimit": "1000m"},
            "template": {"metadata": {"labels": {"value": "1000m"}}},
        }
    }

    assert canonicalise(obj) == obj


QUANTITIES = st.from_regex("[0-9]{1,6}(m|k|Ki|Mi|Gi|)", fullmatch=True)


@given(QUANTITIES)
def test_fingerprint_same_quantity_in_any_spelling_is_the_same(quantity: str) -> None:
    def fingerprints(text: str) -> list[str]:
        return [
            fingerprint(canonicalise(obj))
            for obj in (
                {"spec": {"resources": {"requests": {"cpu": text}}}},
                {"spec": {"emptyDir": {"sizeLimit": text}}},
                {"spec": {"metrics": [{"resource": {"target": {"averageValue": text}}}]}},
            )
        ]

    assert fingerprints(quantity) == fingerprints(canonical_quantity(quantity))


def test_fingerprint_order_of_keys_says_nothing() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1})
