"""Faults between the operator and the API server. After each the cluster is where it would be without it."""

from __future__ import annotations

import time

import pytest
from tests.support.fault_proxy import Rule
from tests.support.operator_process import wait_until

CREATION_WRITES = 9
"""Eight children and a first status; what a change writes is fewer."""


def expect_fault_free_end(kube, name: str = "spam", *, replicas: int = 1) -> None:
    """Ready, one Deployment, one of everything, nothing doubled."""
    service = kube.wait_ready(name, timeout_seconds=120)
    revision = f"{name}-{service['status']['stableRevision']}"
    wait_until(lambda: kube.children(name)["deployments"] == (revision,), "one Deployment is left")
    children = kube.children(name)
    assert set(children["services"]) == {name, f"{name}-pods", revision}
    assert children["serviceaccounts"] == (f"{name}-runtime",)
    assert children["poddisruptionbudgets"] == children["networkpolicies"] == (name,)
    assert kube.api.get(kube.path("deployments", revision))["spec"]["replicas"] == replicas


@pytest.mark.parametrize("number", range(1, CREATION_WRITES + 1))
def test_killed_at_write_n_while_creating_and_changing_ends_the_same(shared, number):
    kube, name = shared.kube, f"killed-{number}"
    # Half of them before the write arrives at the API server, half after it was done.
    action = "lose-answer" if number % 2 else "lose"
    shared.kill_at_write(number, lambda: kube.apply_service(name, replicas=2), name, action)
    expect_fault_free_end(kube, name, replicas=2)
    shared.kill_at_write(number, lambda: kube.apply_service(name, tag="2", replicas=2), name, action)
    expect_fault_free_end(kube, name, replicas=2)
    assert len(kube.children(name)["controllerrevisions"]) == 2


def test_killed_twice_and_during_start_ends_the_same(kube, make_operator):
    operator = make_operator().start()
    kube.apply_service()
    time.sleep(0.5)
    operator.kill()
    operator.start().wait_ready()
    operator.kill()
    operator.start()
    expect_fault_free_end(kube)


def test_every_answer_lost_once_ends_the_same(kube, proxy, make_operator):
    seen: set[tuple[str, str]] = set()

    def is_first(request) -> bool:
        place = (request.method, request.path)
        if not request.is_write or place in seen:
            return False
        seen.add(place)
        return True

    proxy.add(Rule(is_first, "lose-answer"))
    make_operator(proxy=proxy).start()
    kube.apply_service()
    expect_fault_free_end(kube)
    kube.apply_service(tag="2")
    expect_fault_free_end(kube)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 429, 500, 503])
def test_every_first_call_refused_heals(kube, proxy, make_operator, status):
    seen: set[tuple[str, str]] = set()

    def is_first(request) -> bool:
        # Discovery is left alone: kopf ends at once when that is refused, and so would every start here.
        place = (request.method + request.query.get("watch", ""), request.path)
        if place in seen or f"/namespaces/{kube.namespace}/" not in request.path:
            return False
        seen.add(place)
        return "/leases" not in request.path

    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    body = {"message": f"refused with {status} by the test", "code": status}
    proxy.add(Rule(is_first, "refuse", status=status, headers=headers, body=body))
    operator = make_operator(proxy=proxy).start()
    kube.apply_service()
    deadline = time.monotonic() + 120
    while not kube.is_ready():
        # kopf gives up on a kind whose list is refused; the kubelet would start the process anew.
        if not operator.is_running():
            operator.start()
        assert time.monotonic() < deadline, operator.log_tail()
        time.sleep(0.2)
    proxy.clear()
    if not operator.is_running():
        operator.start()
    expect_fault_free_end(kube)


def test_refusal_shows_in_status_and_heals(kube, proxy, make_operator):
    rule = Rule(
        lambda request: request.method == "PATCH" and "/deployments/" in request.path,
        "refuse",
        status=403,
        body={"reason": "Forbidden", "message": "admission policy says no"},
    )
    proxy.add(rule)
    make_operator(proxy=proxy).start()
    kube.apply_service()
    wait_until(
        lambda: "admission policy says no" in kube.condition().get("message", ""), "the refusal is told"
    )
    assert kube.condition()["status"] == "False"
    proxy.clear()
    expect_fault_free_end(kube)


def test_retry_after_is_honoured(kube, proxy, make_operator):
    tried_at: list[float] = []

    def is_try(request) -> bool:
        if request.method != "PATCH" or "/deployments/" not in request.path:
            return False
        tried_at.append(time.monotonic())
        return True

    proxy.add(
        Rule(
            is_try,
            "refuse",
            status=429,
            headers={"Retry-After": "4"},
            body={"message": "too many requests"},
        )
    )
    make_operator(proxy=proxy).start().wait_leading()
    kube.apply_service()
    wait_until(lambda: len(tried_at) > 1, "it tries again")
    # Without the header the backoff (0.2, 0.4, 0.8 ... s) would have tried five times in between.
    assert tried_at[1] - tried_at[0] >= 4
    proxy.clear()
    expect_fault_free_end(kube)


EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("refuse", {"status": 410, "body": EXPIRED}),
        ("events", {"lines": ({"type": "ERROR", "object": EXPIRED},)}),
        ("events", {"lines": ()}),
        ("events", {"lines": ({"type": "ERROR", "object": {"code": 500, "message": "etcd"}},)}),
        ("lose", {}),
    ],
    ids=["410", "410-in-stream", "immediate-end", "500-in-stream", "cut"],
)
def test_deletion_during_a_broken_watch_is_found(shared, request, action, fields):
    kube, proxy, name = shared.kube, shared.proxy, request.node.callspec.id
    name = f"watch-{name}"
    kube.apply_service(name)
    deployment = f"{name}-{kube.wait_ready(name)['status']['stableRevision']}"
    path = kube.path("deployments", deployment)
    uid = kube.api.get(path)["metadata"]["uid"]
    rule = Rule(lambda request: request.is_watch and "/deployments" in request.path, action, **fields)
    proxy.add(rule)
    proxy.cut_watches()
    wait_until(lambda: rule.used >= 1, "the broken watch was seen")
    kube.api.delete(path)
    wait_until(lambda: rule.used >= 2, "and once more")
    proxy.clear()
    wait_until(
        lambda: (kube.api.find(path) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid,
        "the deleted Deployment was made anew",
    )
    assert shared.operator.is_running()
    expect_fault_free_end(kube, name)


def test_edit_during_cut_watches_is_reconciled(shared):
    kube = shared.kube
    kube.apply_service("edited")
    kube.wait_ready("edited")
    for replicas in (2, 3, 2):
        shared.proxy.cut_watches()
        kube.apply_service("edited", replicas=replicas)
        shared.proxy.cut_watches()
    expect_fault_free_end(kube, "edited", replicas=2)


def test_deletion_that_no_watch_delivers_is_found_by_the_audit(kube, proxy, make_operator):
    operator = make_operator("--audit-interval-seconds", "2", proxy=proxy).start()
    kube.apply_service()
    revision = kube.wait_ready()["status"]["stableRevision"]
    # The watch of Services stays open and says nothing from now on.
    proxy.add(Rule(lambda request: request.is_watch and request.path.endswith("/services"), "hold"))
    proxy.cut_watches()
    kube.api.delete(kube.path("services", f"spam-{revision}"))
    wait_until(
        lambda: f"spam-{revision}" in kube.children()["services"], "the audit found the deleted Service"
    )
    wait_until(
        lambda: operator.metric("modelservice_operator_audit_corrections_total", kind="Service") >= 1,
        "it is counted",
    )
