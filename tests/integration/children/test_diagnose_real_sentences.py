"""The sentences of the real scheduler, controllers and admission become causes with a remedy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from modelservice_operator.cache.project import project_child
from modelservice_operator.explain.diagnose import Cause, diagnose
from modelservice_operator.facts.kinds import DEPLOYMENTS
from modelservice_operator.facts.labels import REVISION

if TYPE_CHECKING:
    from tests.integration.children.conftest import Families, Family

TIMEOUT_SECONDS = 120


def wait_for_cause(family: Family) -> Cause:
    """Return the first failure that pods or Deployment show."""
    path = family.api.path_of(family.child("Deployment"))
    namespace = path.split("/deployments/")[0].replace("/apis/apps/v1", "/api/v1")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    cause = None
    while time.monotonic() < deadline:
        deployment = project_child(DEPLOYMENTS, family.api.get(path))
        pods = family.api.get(f"{namespace}/pods")["items"]
        cause = diagnose(deployment.labels[REVISION], pods, (), deployment)  # type: ignore[arg-type]
        if cause is not None and cause.failing:
            return cause
        time.sleep(0.2)
    raise AssertionError(f"no failure within {TIMEOUT_SECONDS} s, last {cause}")


SMALL = {"model": {"storageUri": "oci://registry.example/models/spam:1"}}


@pytest.mark.parametrize(
    ("spec", "sentence", "remedy"),
    [
        ({"gpu": {"count": 1}}, "Insufficient nvidia.com/gpu", "correct spec.gpu"),
        (
            {"resources": {"requests": {"memory": "900Ti"}}},
            "Insufficient memory",
            "Lower spec.resources.requests",
        ),
        (
            {"scheduling": {"nodeSelector": {"no": "such-node"}}},
            "didn't match Pod's node affinity/selector",
            "Correct nodeSelector",
        ),
    ],
    ids=["gpu", "memory", "selector"],
)
def test_scheduler_refuses_and_the_remedy_fits(
    families: Families, spec: dict[str, Any], sentence: str, remedy: str
) -> None:
    family = families.create({**SMALL, **spec})
    family.apply()

    cause = wait_for_cause(family)

    assert cause.reason == "Unschedulable"
    assert sentence in cause.message
    assert remedy in cause.message
    assert "preemption" not in cause.message.lower()
    assert "deallocate" not in cause.message


def test_scheduler_misses_a_claim_and_it_is_named(families: Families) -> None:
    family = families.create({"model": {"storageUri": "pvc://no-such-claim/model.onnx"}})
    family.apply()

    cause = wait_for_cause(family)

    assert (cause.reason, "'no-such-claim'" in cause.message) == ("ClaimNotFound", True)


def test_scheduler_keeps_a_claim_of_one_pod_from_the_second(families: Families) -> None:
    """ReadWriteOncePod: what a rolling update with a surge runs into."""
    name = f"volume-{families.namespace}"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "",
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**spec, "hostPath": {"path": "/tmp"}},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": families.namespace},
        "spec": {
            "accessModes": spec["accessModes"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": spec["capacity"]},
        },
    }
    families.api.apply(volume)
    families.api.apply(claim)
    families.api.wait_for(
        families.api.path_of(claim), lambda one: one["status"].get("phase") == "Bound", what="bound"
    )
    family = families.create({"model": {"storageUri": "pvc://models/model.onnx"}, "replicas": 2})
    family.apply()
    try:
        cause = wait_for_cause(family)
    finally:
        families.api.delete(families.api.path_of(volume))

    assert cause.reason == "ClaimInUse"
    assert "ReadWriteOncePod" in cause.message


@pytest.mark.parametrize(
    ("spec", "reason", "remedy"),
    [
        ({"serviceAccountName": "nobody"}, "ServiceAccountNotFound", "spec.serviceAccountName"),
        ({"scheduling": {"priorityClassName": "no-such"}}, "PriorityClassNotFound", "priorityClassName"),
    ],
    ids=["account", "priority"],
)
def test_admission_refuses_pods_and_the_remedy_fits(
    families: Families, spec: dict[str, Any], reason: str, remedy: str
) -> None:
    family = families.create({**SMALL, **spec})
    family.apply()

    cause = wait_for_cause(family)

    assert cause.reason == reason
    assert remedy in cause.message


def test_quota_refuses_pods_and_is_named(families: Families) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": families.namespace},
        "spec": {"hard": {"requests.cpu": "1"}},
    }
    families.api.apply(quota)
    path = families.api.path_of(quota)
    families.api.wait_for(path, lambda one: "hard" in one["status"], what="in force")
    family = families.create({**SMALL, "resources": {"requests": {"cpu": "2"}}})
    family.apply()

    cause = wait_for_cause(family)

    assert cause.reason == "QuotaExceeded"
    assert "small" in cause.message


@pytest.mark.parametrize("limits", [{"max": {"memory": "8Mi"}}, {"min": {"cpu": "2"}}], ids=["max", "min"])
def test_limit_range_refuses_pods_and_is_named(families: Families, limits: dict[str, Any]) -> None:
    limit_range = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "narrow", "namespace": families.namespace},
        "spec": {"limits": [{"type": "Container", **limits}]},
    }
    families.api.apply(limit_range)
    family = families.create({**SMALL, "resources": {"requests": {"cpu": "1", "memory": "16Mi"}}})
    family.apply()
    try:
        cause = wait_for_cause(family)
    finally:
        families.api.delete(families.api.path_of(limit_range))

    assert cause.reason == "LimitRange"
    assert "spec.resources" in cause.message
