"""Edits of a running ModelService: each is seen in its status, and nothing is left after the last one."""

import pytest
from hack.cluster.api import Object, condition_status
from tests.support.installation import Installation
from tests.support.operator_process import wait_until
from tests.support.serving import User, condition, is_ready

NAME = "adder"
RUNTIME = "e2e-two-threads"


@pytest.fixture(scope="module")
def service(user: User) -> Object:
    user.apply(NAME, model=user.push_adder(1))
    return user.wait_ready(NAME)


def edit_and_wait_ready(user: User, spec: Object) -> Object:
    """Edit; the status speaks of the edit, and is Ready in the end, with a new revision."""
    before = user.service(NAME)["status"]["stableRevision"]
    generation = user.edit(NAME, spec)["metadata"]["generation"]
    user.wait(
        NAME,
        lambda one: one["status"]["observedGeneration"] == generation,
        "the edit seen in status",
    )
    ready = user.wait_ready(NAME)
    assert ready["status"]["stableRevision"] == ready["status"]["targetRevision"] != before
    return ready


def server_of(user: User) -> Object:
    """The server container of the only pod."""
    (pod,) = user.pods(NAME).values()
    container: Object = pod["spec"]["containers"][0]
    return container


def test_changed_model_is_served(user: User, service: Object) -> None:
    model = user.push_adder(2)
    ready = edit_and_wait_ready(user, {"model": model})
    user.wait_answer(NAME, 40, 42)
    assert ready["status"]["model"]["sha256"] == model["sha256"]


def test_changed_resources_reach_the_pod(user: User, service: Object) -> None:
    edit_and_wait_ready(user, {"resources": {"limits": {"memory": "640Mi"}}})
    assert server_of(user)["resources"]["limits"]["memory"] == "640Mi"


def test_changed_runtime_is_used(user: User, service: Object, installation: Installation) -> None:
    runtime = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelRuntime",
        "metadata": {"name": RUNTIME},
        "spec": {"image": installation.runtime_image, "intraOpThreads": 2},
    }
    user.cluster.api.apply(runtime)
    ready = edit_and_wait_ready(user, {"runtime": {"ref": RUNTIME}})
    assert ready["status"]["runtime"] == {"ref": RUNTIME, "image": installation.runtime_image}
    arguments = server_of(user)["args"]
    assert arguments[arguments.index("--intra-op-threads") + 1] == "2"

    # What runs does not depend on the ModelRuntime any more.
    pods = user.pods(NAME).keys()
    user.cluster.api.delete(user.cluster.api.path_of(runtime))
    user.run_kubectl("scale", "msvc", NAME, "--replicas=2")
    assert user.wait_ready(NAME)["status"]["availableReplicas"] == 2
    assert pods < user.pods(NAME).keys()


def test_kubectl_scale_to_zero_and_back(user: User, service: Object) -> None:
    user.run_kubectl("scale", "msvc", NAME, "--replicas=0")
    off = user.wait(
        NAME,
        lambda one: is_ready(one) and condition(one, "Ready")["reason"] == "ScaledToZero",
        "Ready as ScaledToZero",
    )
    assert condition_status(off, "Available") == "False"
    wait_until(lambda: not user.pods(NAME), "no pod is left")
    user.run_kubectl("scale", "msvc", NAME, "--replicas=1")
    user.wait_ready(NAME)
    assert user.ask(NAME, 40) == 42


def test_autoscaler_reads_and_writes_scale(user: User) -> None:
    """Without a metrics server the HPA still holds the minimum, which the user's replicas are below."""
    metrics = [{"type": "CPU", "target": {"averageUtilization": 80}}]
    user.apply(
        "scaled",
        model=user.push_adder(1),
        autoscaling={"minReplicas": 2, "maxReplicas": 3, "metrics": metrics},
    )
    path = user.path("horizontalpodautoscalers", "scaled")
    hpa = user.cluster.api.wait_for(
        path, lambda one: condition_status(one, "AbleToScale") == "True", what="AbleToScale"
    )
    target = hpa["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("ModelService", "scaled")
    user.wait("scaled", lambda one: one["spec"]["replicas"] == 2, "the HPA's minimum in spec.replicas")
    assert user.wait_ready("scaled")["status"]["replicas"] == 2


def test_budget_was_counted_through_every_rollout(user: User, service: Object) -> None:
    """The disruption controller gives up, and allows no eviction, while a pod has no Deployment any more."""
    told = [one for one in user.items("events") if one["involvedObject"]["kind"] == "PodDisruptionBudget"]
    assert not [one["message"] for one in told if one["reason"] == "CalculateExpectedPodCountFailed"]


# The last one: it ends what the others share.
def test_deleted_services_leave_nothing(user: User, service: Object) -> None:
    user.run_kubectl("delete", "msvc", "--all", "--wait=true", "--timeout=120s")
    kinds = ("deployments", "replicasets", "controllerrevisions", "services", "endpointslices", "pods")
    kinds = (*kinds, "horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies")

    def left() -> list[str]:
        return [f"{kind}/{one['metadata']['name']}" for kind in kinds for one in user.items(kind)]

    wait_until(lambda: not left(), "nothing is left of deleted ModelServices")
    accounts = {one["metadata"]["name"] for one in user.items("serviceaccounts")}
    assert accounts == {"default"}
