"""What users see: create, change, scale, mend and delete, and nothing written at rest."""

from __future__ import annotations

import time

from tests.support.operator_process import wait_until

AUTOSCALING = {"maxReplicas": 3, "metrics": [{"type": "CPU", "target": {"averageUtilization": 80}}]}


def test_create_makes_every_child_and_becomes_ready(kube, make_operator):
    make_operator().start()
    kube.apply_service(autoscaling=AUTOSCALING)
    service = kube.wait_ready()
    revision = service["status"]["stableRevision"]
    assert service["status"]["targetRevision"] == revision
    assert kube.children() == {
        "deployments": (f"spam-{revision}",),
        "controllerrevisions": (f"spam-{revision}",),
        "services": ("spam", f"spam-{revision}"),
        "serviceaccounts": ("spam-runtime",),
        "horizontalpodautoscalers": ("spam",),
        "poddisruptionbudgets": ("spam",),
        "networkpolicies": ("spam",),
    }
    for kind in kube.children():
        for item in kube.items(kind):
            if item["metadata"]["name"] != "default":
                assert item["metadata"]["ownerReferences"][0]["uid"] == service["metadata"]["uid"]


def test_change_of_model_rolls_to_a_new_revision_and_old_pods_go(kube, make_operator):
    make_operator().start()
    kube.apply_service(replicas=2)
    old = kube.wait_ready()["status"]["stableRevision"]
    kube.apply_service(tag="2", replicas=2)
    new = kube.wait_ready()["status"]["stableRevision"]
    assert new != old
    wait_until(lambda: kube.children()["deployments"] == (f"spam-{new}",), "only the new Deployment is left")
    assert kube.children()["controllerrevisions"] == tuple(sorted((f"spam-{old}", f"spam-{new}")))


def test_scale_subresource_changes_replicas_of_the_deployment(kube, make_operator):
    make_operator().start()
    kube.apply_service()
    kube.wait_ready()
    kube.api.patch(kube.path("modelservices", "spam") + "/scale", {"spec": {"replicas": 3}})
    wait_until(lambda: kube.service()["status"].get("availableReplicas") == 3, "three replicas are available")
    kube.wait_ready()
    assert kube.items("deployments")[0]["spec"]["replicas"] == 3


def test_second_reconcile_and_restart_write_nothing(kube, make_operator):
    operator = make_operator().start()
    kube.apply_service(replicas=2)
    kube.wait_ready()
    wait_until(lambda: operator.metric("modelservice_operator_queue_depth") == 0, "the queue is empty")
    time.sleep(2)  # whatever was debounced or due has come
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


def test_delete_leaves_nothing_behind(kube, make_operator):
    make_operator().start()
    kube.apply_service(autoscaling=AUTOSCALING)
    kube.wait_ready()
    kube.api.delete(kube.path("modelservices", "spam"))
    kube.api.wait_gone(kube.path("modelservices", "spam"))
    wait_until(lambda: not any(kube.children().values()), "all children are gone", 90)


def test_deleted_and_recreated_under_the_same_name_gets_its_own_children(kube, make_operator):
    make_operator().start()
    kube.apply_service()
    first = kube.wait_ready()["metadata"]["uid"]
    kube.api.delete(kube.path("modelservices", "spam"))
    kube.apply_service()
    second = kube.wait_ready(timeout_seconds=120)["metadata"]["uid"]
    assert first != second

    def owners() -> set[str]:
        return {
            item["metadata"]["ownerReferences"][0]["uid"]
            for kind in kube.children()
            for item in kube.items(kind)
            if item["metadata"]["name"] != "default"
        }

    wait_until(lambda: owners() == {second}, "all children belong to the new object")


def test_sigterm_finishes_and_releases_the_lease(kube, make_operator):
    operator = make_operator().start().wait_leading()
    started = time.monotonic()
    assert operator.stop() == 0
    assert time.monotonic() - started < 10
    assert kube.api.get(kube.path("leases", "modelservice-operator"))["spec"].get("holderIdentity", "") == ""
