"""What users see: create, change, scale, mend and delete, and nothing written at rest."""

from __future__ import annotations

import time

import pytest
from tests.support.operator_process import wait_until

AUTOSCALING = {"maxReplicas": 3, "metrics": [{"type": "CPU", "target": {"averageUtilization": 80}}]}


def test_create_makes_every_child_and_becomes_ready(shared):
    kube, name = shared.kube, "created"
    kube.apply_service(name, autoscaling=AUTOSCALING)
    service = kube.wait_ready(name)
    revision = service["status"]["stableRevision"]
    assert service["status"]["targetRevision"] == revision
    children = kube.children(name)
    assert children == {
        "deployments": (f"{name}-{revision}",),
        "controllerrevisions": (f"{name}-{revision}",),
        "services": tuple(sorted((name, f"{name}-pods", f"{name}-{revision}"))),
        "serviceaccounts": (f"{name}-runtime",),
        "horizontalpodautoscalers": (name,),
        "poddisruptionbudgets": (name,),
        "networkpolicies": (name,),
    }
    assert owners(kube, name) == {service["metadata"]["uid"]}


def owners(kube, service: str) -> set[str]:
    """UIDs of the owners of all children of a service."""
    return {
        kube.api.get(kube.path(kind, name))["metadata"]["ownerReferences"][0]["uid"]
        for kind, names in kube.children(service).items()
        for name in names
    }


def test_change_of_model_rolls_to_a_new_revision_and_old_pods_go(shared):
    kube, name = shared.kube, "changed"
    kube.apply_service(name, replicas=2)
    old = kube.wait_ready(name)["status"]["stableRevision"]
    kube.apply_service(name, tag="2", replicas=2)
    new = kube.wait_ready(name)["status"]["stableRevision"]
    assert new != old
    wait_until(
        lambda: kube.children(name)["deployments"] == (f"{name}-{new}",), "only the new Deployment is left"
    )
    revisions = tuple(sorted((f"{name}-{old}", f"{name}-{new}")))
    assert kube.children(name)["controllerrevisions"] == revisions


def test_scale_subresource_changes_replicas_of_the_deployment(shared):
    kube, name = shared.kube, "scaled"
    kube.apply_service(name)
    revision = kube.wait_ready(name)["status"]["stableRevision"]
    kube.api.patch(kube.path("modelservices", name) + "/scale", {"spec": {"replicas": 3}})
    service = kube.wait_ready(name)
    assert service["status"]["availableReplicas"] == 3
    assert kube.api.get(kube.path("deployments", f"{name}-{revision}"))["spec"]["replicas"] == 3


@pytest.mark.parametrize("how", ["apply", "patch"])
def test_autoscaling_that_is_turned_on_begins_with_the_pods_that_run(shared, how):
    kube, name = shared.kube, f"autoscaled-by-{how}"
    kube.apply_service(name, replicas=4)
    kube.wait_ready(name)
    deployment = kube.path("deployments", kube.children(name)["deployments"][0])
    generation = kube.api.get(deployment)["metadata"]["generation"]
    if how == "apply":
        kube.apply_service(name, autoscaling={**AUTOSCALING, "maxReplicas": 8, "minReplicas": 2})
    else:
        left_out = {"replicas": None, "autoscaling": {**AUTOSCALING, "maxReplicas": 8, "minReplicas": 2}}
        kube.api.patch(kube.path("modelservices", name), {"spec": left_out})
    wait_until(lambda: kube.children(name)["horizontalpodautoscalers"], "the autoscaler is there")
    assert kube.wait_ready(name)["spec"]["replicas"] == 4
    assert kube.api.get(deployment)["metadata"]["generation"] == generation
    # What an autoscaler writes is obeyed.
    kube.api.patch(kube.path("modelservices", name) + "/scale", {"spec": {"replicas": 1}})
    wait_until(lambda: kube.api.get(deployment)["spec"]["replicas"] == 2, "the minimum")


def test_delete_leaves_nothing_behind(shared):
    kube, name = shared.kube, "deleted"
    kube.apply_service(name, autoscaling=AUTOSCALING)
    kube.wait_ready(name)
    kube.api.delete(kube.path("modelservices", name))
    kube.api.wait_gone(kube.path("modelservices", name))
    wait_until(lambda: not any(kube.children(name).values()), "all children are gone", 90)


def test_deleted_and_recreated_under_the_same_name_gets_its_own_children(shared):
    kube, name = shared.kube, "again"
    kube.apply_service(name)
    first = kube.wait_ready(name)["metadata"]["uid"]
    kube.api.delete(kube.path("modelservices", name))
    kube.apply_service(name)
    second = kube.wait_ready(name, timeout_seconds=120)["metadata"]["uid"]
    assert first != second
    wait_until(lambda: owners(kube, name) == {second}, "all children belong to the new object")


def test_second_reconcile_and_restart_write_nothing(kube, make_operator):
    operator = make_operator().start()
    kube.apply_service(replicas=2)
    kube.wait_ready()
    operator.wait_at_rest()
    before = operator.metric("modelservice_operator_writes_total")
    reconciles = operator.metric("modelservice_operator_reconcile_total")
    versions = kube.versions()
    # An annotation that means nothing makes it reconcile.
    kube.api.patch(kube.path("modelservices", "spam"), {"metadata": {"annotations": {"touched": "1"}}})
    wait_until(
        lambda: operator.metric("modelservice_operator_reconcile_total") > reconciles, "it reconciles again"
    )
    time.sleep(1)
    assert operator.metric("modelservice_operator_writes_total") == before
    assert operator.metric("modelservice_operator_writes_not_kept_total") == 0
    assert operator.stop() == 0
    operator.start().wait_leading()
    wait_until(lambda: operator.metric("modelservice_operator_reconcile_total") >= 1, "it reconciled")
    time.sleep(1)
    assert operator.metric("modelservice_operator_writes_total") == 0
    assert kube.versions() == versions


def test_bulk_is_limited_from_the_start(kube, make_operator):
    operator = make_operator().start().wait_leading()
    limit = operator.metric("modelservice_operator_concurrency_limit")
    assert limit == 1, "no answer of the API server has been timed"


def test_sigterm_finishes_and_releases_the_lease(kube, make_operator):
    operator = make_operator().start().wait_leading()
    assert operator.stop(timeout_seconds=30) == 0  # the grace period of its pod
    assert kube.api.get(kube.path("leases", "modelservice-operator"))["spec"].get("holderIdentity", "") == ""


def test_network_policy_of_the_operators_setting_counts_where_the_spec_says_nothing(kube, make_operator):
    make_operator('--network-policy={"mode": "Disabled"}').start().wait_leading()
    kube.apply_service("open")
    kube.apply_service("closed", networkPolicy={"mode": "Strict"})
    kube.wait_ready("open")
    kube.wait_ready("closed")

    assert {item["metadata"]["name"] for item in kube.items("networkpolicies")} == {"closed"}
