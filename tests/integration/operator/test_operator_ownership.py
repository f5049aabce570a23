"""What is ours is kept as it must be; what is not ours is never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.api import ApiError
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS = {"app.kubernetes.io/managed-by": "modelservice-operator", "modelservice.dev/name": "spam"}


def foreign_service(kube, **metadata: Any) -> dict[str, Any]:
    """A Service that somebody else made."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "spam", "namespace": kube.namespace, **metadata},
        "spec": {"ports": [{"port": 9999}], "selector": {"app": "theirs"}},
    }


@pytest.mark.parametrize("labels", [{}, LABELS], ids=["foreign", "foreign-with-our-labels"])
def test_foreign_object_of_the_same_name_is_never_touched_and_reported(kube, make_operator, labels):
    before = kube.api.create(kube.path("services"), foreign_service(kube, labels=labels))
    make_operator().start()
    kube.apply_service()
    condition = kube.wait_reason("NameConflict")
    assert "Service 'spam' exists" in condition["message"]
    # Everything else is there: one refused child does not block the others.
    wait_until(lambda: len(kube.children()["deployments"]) == 1, "the Deployment is there")
    after = kube.api.get(kube.path("services", "spam"))
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    kube.api.delete(kube.path("services", "spam"))
    kube.wait_ready(timeout_seconds=120)
    owner = kube.api.get(kube.path("services", "spam"))["metadata"]["ownerReferences"][0]
    assert owner["uid"] == kube.service()["metadata"]["uid"]


def test_foreign_service_account_keeps_new_pods_from_running_under_it(kube, make_operator):
    account = {"metadata": {"name": "spam-runtime", "namespace": kube.namespace}}
    kube.api.create(kube.path("serviceaccounts"), account)
    make_operator().start()
    kube.apply_service()
    kube.wait_reason("NameConflict")
    assert kube.children()["deployments"] == ()
    kube.api.delete(kube.path("serviceaccounts", "spam-runtime"))
    kube.wait_ready()


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("deployments", {"spec": {"replicas": 5}}),
        ("deployments", {"metadata": {"labels": {"modelservice.dev/name": "stolen"}}}),
        ("services", {"spec": {"selector": {"modelservice.dev/name": "stolen"}}}),
        ("networkpolicies", {"spec": {"podSelector": {"matchLabels": {"modelservice.dev/name": "x"}}}}),
        ("poddisruptionbudgets", {"spec": {"maxUnavailable": 7}}),
        # Without this label our watch loses sight of it.
        ("services", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
        ("deployments", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "them"}}}),
        # An orphan: still ours, by the fields that we manage in it.
        ("services", {"metadata": {"ownerReferences": None}}),
    ],
)
def test_drift_of_a_child_is_mended(shared, kind, patch):
    kube = shared.kube
    kube.apply_service("drift")
    kube.wait_ready("drift")
    path = kube.path(kind, kube.children("drift")[kind][0])
    wanted = essence(kube.api.get(path))
    kube.api.patch(path, patch)
    wait_until(lambda: essence(kube.api.get(path)) == wanted, f"{kind} is as before")
    kube.wait_ready("drift")


def rename_server(spec: dict[str, Any]) -> None:
    spec["template"]["spec"]["containers"][0]["name"] = "renamed"


def move_container_port(spec: dict[str, Any]) -> None:
    spec["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = 8181


def mount_the_node(spec: dict[str, Any]) -> None:
    volume = next(one for one in spec["template"]["spec"]["volumes"] if one["name"] == "tmp")
    del volume["emptyDir"]
    volume["hostPath"] = {"path": "/tmp"}


def ask_by_command(spec: dict[str, Any]) -> None:
    probe = spec["template"]["spec"]["containers"][0]["livenessProbe"]
    del probe["httpGet"]
    probe["exec"] = {"command": ["true"]}


def want_at_least_one(spec: dict[str, Any]) -> None:
    del spec["maxUnavailable"]
    spec["minAvailable"] = 1


def move_port(spec: dict[str, Any]) -> None:
    spec["ports"][0]["port"] = 8080


def move_both_ports(spec: dict[str, Any]) -> None:
    for port in spec["ports"]:
        port["port"] += 1


def answer_by_udp(spec: dict[str, Any]) -> None:
    spec["ports"][1]["protocol"] = "UDP"


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        ("services", move_port),
        ("services", move_both_ports),
        ("services", answer_by_udp),
        ("deployments", rename_server),
        ("deployments", move_container_port),
        ("deployments", mount_the_node),
        ("deployments", ask_by_command),
        ("poddisruptionbudgets", want_at_least_one),
    ],
)
def test_edit_that_an_apply_alone_cannot_undo_is_mended(shared, kind, edit):
    """Keys of lists, and fields that exclude each other."""
    kube = shared.kube
    kube.apply_service("drift")
    kube.wait_ready("drift")
    path = kube.path(kind, kube.children("drift")[kind][0])
    wanted = essence(kube.api.get(path))
    spec = kube.api.get(path)["spec"]
    edit(spec)
    assert spec != wanted["spec"]
    replacement = [{"op": "replace", "path": "/spec", "value": spec}]
    kube.api.patch(f"{path}?fieldManager=kubectl-edit", replacement, "json")
    wait_until(lambda: essence(kube.api.get(path)) == wanted, f"{kind} is as before")
    kube.wait_ready("drift")
    managers = {one["manager"] for one in kube.api.get(path)["metadata"]["managedFields"]}
    assert "kubectl-edit" not in managers


MIRROR = """[JSONPatch{
    op: "replace",
    path: "/spec/template/spec/containers/0/image",
    value: "mirror.example/modelservice-runtime:1"
}]"""


@pytest.fixture
def mirror(kube) -> Iterator[None]:
    """Admission that changes the image of every Deployment of the namespace."""
    api, name = "admissionregistration.k8s.io/v1", f"mirror-{kube.namespace}"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": kube.namespace}}
    policy = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "resourceRules": [{**rule, "resources": ["deployments"]}],
                "namespaceSelector": here,
            },
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": MIRROR}}],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    for one in (policy, binding):
        kube.api.apply(one)
    wait_until(lambda: "mirror" in probe_image(kube), "the policy is in force")
    yield
    for one in (binding, policy):
        kube.api.delete(kube.api.path_of(one))


def probe_image(kube) -> str:
    """The image that admission makes of a Deployment, without keeping one."""
    labels = {"probe": "admission"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "probe", "image": "registry.example/probe:1"}]},
    }
    body = {
        "metadata": {"name": "probe"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    made = kube.api.create(kube.path("deployments") + "?dryRun=All", body)
    return str(made["spec"]["template"]["spec"]["containers"][0]["image"])


def test_what_admission_rewrites_comes_to_rest_and_is_logged_once(kube, mirror, make_operator):
    operator = make_operator().start()
    kube.apply_service()
    kube.wait_ready()
    before = operator.metric("modelservice_operator_writes_total", kind="Deployment", operation="apply")
    kube.apply_service(autoscaling={"maxReplicas": 3})
    wait_until(lambda: kube.children()["horizontalpodautoscalers"], "another reconciliation")
    kube.wait_ready()
    writes = operator.metric("modelservice_operator_writes_total", kind="Deployment", operation="apply")
    assert writes == before
    lines = [line for line in operator.log_tail(10_000).splitlines() if "admission changed" in line]
    assert len(lines) == 1
    assert "spec.template.spec.containers[server].image" in lines[0]


def test_service_of_somebody_else_makes_nothing_available(kube, make_operator):
    kube.api.create(kube.path("services"), foreign_service(kube))
    make_operator().start()
    kube.apply_service()
    wait_until(lambda: kube.service().get("status", {}).get("availableReplicas"), "a pod is available")
    wait_until(
        lambda: kube.condition("Available").get("reason") == "NameConflict", "Available tells whose it is"
    )
    assert kube.condition("Available")["status"] == "False"


def essence(obj: dict[str, Any]) -> dict[str, Any]:
    """What must not drift."""
    metadata = obj["metadata"]
    kept = {key: metadata.get(key) for key in ("uid", "labels", "ownerReferences")}
    return {"metadata": kept, "spec": obj["spec"]}


@pytest.mark.parametrize(
    "kind",
    [
        "deployments",
        "services",
        "serviceaccounts",
        "poddisruptionbudgets",
        "networkpolicies",
        "controllerrevisions",
    ],
)
def test_deleted_child_is_made_anew(shared, kind):
    kube = shared.kube
    kube.apply_service("drift")
    kube.wait_ready("drift")
    before = kube.children("drift")
    path = kube.path(kind, before[kind][0])
    uid = kube.api.get(path)["metadata"]["uid"]
    kube.api.delete(path)
    wait_until(
        lambda: (kube.api.find(path) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid,
        f"{kind} made anew",
    )
    wait_until(lambda: kube.children("drift") == before, "all children are there")
    kube.wait_ready("drift")


def test_fields_of_another_manager_are_left_alone(shared):
    kube = shared.kube
    kube.apply_service("drift")
    kube.wait_ready("drift")
    name = kube.children("drift")["deployments"][0]
    metadata = {
        "name": name,
        "namespace": kube.namespace,
        "annotations": {"mesh.example/injected": "yes"},
    }
    writes = shared.operator.metric("modelservice_operator_writes_total", kind="Deployment")
    events = shared.operator.metric("modelservice_operator_watch_events_total", resource="deployments")
    kube.api.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}, manager="mesh")
    wait_until(
        lambda: (
            shared.operator.metric("modelservice_operator_watch_events_total", resource="deployments")
            > events
        ),
        "the operator saw it",
    )
    kube.wait_ready("drift")
    assert kube.api.get(kube.path("deployments", name))["metadata"]["annotations"]["mesh.example/injected"]
    assert shared.operator.metric("modelservice_operator_writes_total", kind="Deployment") == writes


def test_orphans_of_a_deleted_service_are_taken_up_by_its_successor(kube, make_operator):
    operator = make_operator().start()
    kube.apply_service()
    kube.wait_ready()
    uids = {item["metadata"]["uid"] for item in kube.items("services")}
    operator.stop()
    kube.api.request("DELETE", kube.path("modelservices", "spam"), {"propagationPolicy": "Orphan"})
    kube.api.wait_gone(kube.path("modelservices", "spam"))
    operator.start()
    kube.apply_service()
    service = kube.wait_ready()
    assert {item["metadata"]["uid"] for item in kube.items("services")} == uids
    for item in kube.items("services"):
        assert [one["uid"] for one in item["metadata"]["ownerReferences"]] == [service["metadata"]["uid"]]


def test_forged_status_is_computed_anew(shared):
    kube = shared.kube
    kube.apply_service("drift")
    true = kube.wait_ready("drift")["status"]
    path = kube.path("modelservices", "drift") + "/status"
    kube.api.patch(path, {"status": {"readyReplicas": 99, "stableRevision": "bforged222", "conditions": []}})

    def is_true_again() -> bool:
        status = kube.service("drift")["status"]
        return kube.is_ready("drift") and status["readyReplicas"] == true["readyReplicas"]

    wait_until(is_true_again, "the status is true again")
    assert kube.service("drift")["status"]["stableRevision"] == true["stableRevision"]


def test_quota_is_reported_and_raising_it_heals(kube, make_operator):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": kube.namespace},
        "spec": {"hard": {"count/deployments.apps": "0"}},
    }
    kube.api.apply(quota)
    wait_until(
        lambda: "used" in kube.api.get(kube.path("resourcequotas", "small")).get("status", {}),
        "the quota is in force",
    )
    make_operator().start()
    kube.apply_service()
    assert "exceeded quota" in kube.wait_reason("QuotaExceeded")["message"]
    kube.api.delete(kube.path("resourcequotas", "small"))
    kube.wait_ready(timeout_seconds=120)


def test_deletion_of_the_namespace_is_not_disturbed(installed, make_operator, kube):
    operator = make_operator().start()
    kube.apply_service()
    kube.wait_ready()
    path = f"/api/v1/namespaces/{kube.namespace}"
    kube.api.delete(path)
    kube.api.wait_gone(path, timeout_seconds=120)
    assert operator.is_running()
    with pytest.raises(ApiError):
        kube.service()
