"""Two replicas, one writer; and a replica that was away misses nothing."""

from __future__ import annotations

import signal
import time

from tests.integration.operator.conftest import SHORT_LEASE
from tests.support.operator_process import wait_until


def holder(kube) -> str:
    """Who holds the Lease."""
    lease = kube.api.find(kube.path("leases", "modelservice-operator"))
    return lease["spec"].get("holderIdentity", "") if lease else ""


def start_pair(make_operator):
    first = make_operator(*SHORT_LEASE, identity="operator-a").start().wait_leading()
    second = make_operator(*SHORT_LEASE, identity="operator-b").start().wait_ready()
    return first, second


def test_standby_is_warm_writes_nothing_and_takes_over_after_a_kill(kube, make_operator):
    first, second = start_pair(make_operator)
    kube.apply_service()
    kube.wait_ready()
    assert holder(kube) == "operator-a"
    assert second.metric("modelservice_operator_writes_total") == 0
    assert [one.metric("modelservice_info") for one in (first, second)] == [1, 0]  # nothing is told twice
    wait_until(lambda: "model" in kube.service()["status"], "what its pods have loaded was compared")
    first.wait_at_rest().kill()
    versions = kube.versions()
    second.wait_leading()
    wait_until(lambda: second.metric("modelservice_info") == 1, "it tells of the services")
    wait_until(lambda: second.metric("modelservice_operator_reconcile_total") >= 1, "it reconciled")
    time.sleep(1)
    assert second.metric("modelservice_operator_writes_total") == 0  # a failover is no reason to write
    assert kube.versions() == versions
    kube.apply_service(replicas=2)
    wait_until(lambda: kube.service()["status"].get("availableReplicas") == 2, "the successor works")


def test_released_lease_is_taken_over_at_once(kube, make_operator):
    first, second = start_pair(make_operator)
    assert first.stop() == 0
    second.wait_leading()
    assert holder(kube) == "operator-b"


def test_frozen_leader_does_not_write_after_it_wakes_up(kube, make_operator):
    first, second = start_pair(make_operator)
    kube.apply_service()
    kube.wait_ready()
    first.signal(signal.SIGSTOP)
    second.wait_leading()
    kube.apply_service(replicas=3)
    wait_until(lambda: kube.service()["status"].get("availableReplicas") == 3, "the successor works")
    first.signal(signal.SIGCONT)
    # It finds that its Lease has run out, and ends; the kubelet would start it anew as the standby.
    assert first.process.wait(120) == 1
    assert "never retrieved" not in first.log_tail(200)
    assert holder(kube) == "operator-b"
    assert kube.items("deployments")[0]["spec"]["replicas"] == 3


def test_deleted_lease_leaves_one_leader(kube, make_operator):
    first, second = start_pair(make_operator)
    kube.api.delete(kube.path("leases", "modelservice-operator"))
    wait_until(lambda: holder(kube) != "", "somebody holds the Lease")
    wait_until(
        lambda: sum(one.metric("modelservice_operator_leader") for one in (first, second)) == 1, "one leads"
    )
    kube.apply_service()
    kube.wait_ready()


def test_leader_that_cannot_renew_ends(kube, proxy, make_operator):
    from tests.support.fault_proxy import Rule

    operator = make_operator(*SHORT_LEASE, proxy=proxy).start().wait_leading()
    proxy.add(Rule(lambda request: "/leases" in request.path, "refuse", status=500))
    assert operator.process.wait(120) == 1
    assert "never retrieved" not in operator.log_tail(200)
    proxy.clear()
    operator.start().wait_leading()


def test_edits_and_deletion_while_the_operator_is_down_are_caught_up_with(kube, make_operator):
    operator = make_operator().start()
    for name in ("spam", "ham"):
        kube.apply_service(name)
    for name in ("spam", "ham"):
        kube.wait_ready(name)
    operator.kill()
    for tag in ("2", "3", "4"):
        kube.apply_service(tag=tag)
    kube.api.delete(kube.path("modelservices", "ham"))
    kube.api.delete(kube.path("services", "spam"))
    operator.start()
    service = kube.wait_ready()
    # Three edits, one new revision: only the last one was ever seen.
    assert len([name for name in kube.children()["controllerrevisions"] if name.startswith("spam-")]) == 2
    revision = service["status"]["stableRevision"]
    wait_until(lambda: kube.children()["deployments"] == (f"spam-{revision}",), "one Deployment is left")
    assert "spam" in kube.children()["services"]


def test_flapping_spec_ends_with_the_last_one_and_bounded_revisions(kube, make_operator):
    operator = make_operator().start()
    kube.apply_service(rollout={"revisionHistoryLimit": 3})
    kube.wait_ready()
    for number in range(100):
        kube.apply_service(tag=str(number), rollout={"revisionHistoryLimit": 3})
    kube.apply_service(tag="last", rollout={"revisionHistoryLimit": 3})
    service = kube.wait_ready(timeout_seconds=120)
    revision = service["status"]["stableRevision"]
    wait_until(lambda: kube.children()["deployments"] == (f"spam-{revision}",), "one Deployment is left", 90)
    wait_until(lambda: len(kube.children()["controllerrevisions"]) <= 4, "the history is bounded")
    images = kube.items("deployments")[0]["spec"]["template"]["spec"]["initContainers"][0]["args"]
    assert "oci://registry.example/models/spam:last" in images
    assert operator.is_running()


def test_service_that_cannot_work_delays_no_other(kube, make_operator):
    make_operator().start()
    kube.api.create(
        kube.path("services"),
        {"metadata": {"name": "poison"}, "spec": {"ports": [{"port": 1}]}},
    )
    kube.apply_service("poison")
    kube.wait_reason("NameConflict", "poison")
    kube.apply_service("missing-runtime", runtime={"ref": "absent"})
    for number in range(5):
        kube.apply_service(f"good-{number}")
    for number in range(5):
        kube.wait_ready(f"good-{number}")
    assert kube.condition("Ready", "poison")["status"] == "False"


def test_missing_runtime_heals_when_it_comes(kube, make_operator):
    make_operator().start()
    name = f"late-{kube.namespace}"
    kube.apply_service(runtime={"ref": name})
    wait_until(lambda: kube.condition().get("status") == "False", "it is not ready")
    runtime = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelRuntime",
        "metadata": {"name": name},
        "spec": {"image": "registry.example/other:1"},
    }
    kube.api.apply(runtime)
    kube.wait_ready()
    kube.api.delete(f"/apis/modelservice.dev/v1alpha1/modelruntimes/{name}")
