"""What pods get and keep: GPUs, mounted models, and a model that outlives its server."""

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hack.cluster import kwok
from hack.cluster.api import Object
from hack.cluster.node import NODE_NAME
from tests.support.faults import default_image, gpu_runtime
from tests.support.serving import PROXY_DELAY_SECONDS, User, condition, sha256_of
from tests.support.tiny_models import make_adder

from modelservice_cli.main import main
from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Case, Proof

NODE = f"/api/v1/nodes/{NODE_NAME}"
RUNTIME = "e2e-gpu"
EXIT_SERVER = ("/opt/venv/bin/python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")


@pytest.fixture
def gpu_node(user: User) -> Iterator[None]:
    """The real node has a GPU that nothing backs, and the taint that keeps other pods away from GPU nodes."""
    api = user.cluster.api
    kwok.add_extended_resource(api, NODE_NAME, kwok.GPU_RESOURCE, 1)
    labels = {kwok.GPU_PRODUCT_LABEL: "NVIDIA-L4"}
    taints = api.get(NODE)["spec"].get("taints", [])
    api.patch(NODE, {"metadata": {"labels": labels}, "spec": {"taints": [*taints, kwok.GPU_TAINT]}})
    yield
    api.patch(
        NODE, {"metadata": {"labels": {kwok.GPU_PRODUCT_LABEL: None}}, "spec": {"taints": taints or None}}
    )


@pytest.fixture
def runtime_with_gpu_image(user: User) -> Iterator[str]:
    runtime = gpu_runtime(RUNTIME, default_image(user))
    user.cluster.api.apply(runtime)
    yield RUNTIME
    user.cluster.api.delete(user.cluster.api.path_of(runtime))


def test_gpu_service_runs_on_the_gpu_node(user: User, gpu_node: None, runtime_with_gpu_image: str) -> None:
    user.apply(
        "gpu",
        model=user.push_adder(1),
        gpu={"count": 1, "product": "NVIDIA-L4"},
        runtime={"ref": runtime_with_gpu_image, "executionProviders": ["CPU"]},
    )
    user.wait_ready("gpu")
    assert user.ask("gpu", 41) == 42
    (pod,) = user.pods("gpu").values()
    server = pod["spec"]["containers"][0]
    assert server["resources"]["limits"][kwok.GPU_RESOURCE] == "1"
    assert any(
        toleration.get("key") == kwok.GPU_RESOURCE and toleration["effect"] == "NoSchedule"
        for toleration in pod["spec"]["tolerations"]
    )
    user.run_kubectl("delete", "msvc", "gpu")


def test_model_of_a_config_map_is_mounted_and_verified(user: User) -> None:
    content = make_adder(1)
    data = {"model.onnx": base64.b64encode(content).decode()}
    user.cluster.api.create(user.path("configmaps"), {"metadata": {"name": "models"}, "binaryData": data})
    user.apply("mounted", model={"storageUri": "configmap://models/model.onnx", "sha256": sha256_of(content)})
    user.wait_ready("mounted")
    assert user.ask("mounted", 41) == 42


def test_model_that_answers_otherwise_than_its_proof_never_serves(user: User, tmp_path: Path) -> None:
    values = np.array([1, 41], np.float32)
    write_proof(Proof((Case({"values": values}, {"sum": values + 1}),)), tmp_path)
    proof = {file.name: base64.b64encode(file.read_bytes()).decode() for file in tmp_path.iterdir()}
    for name, addend in (("proven", 1), ("refuted", 2)):
        data = {"model.onnx": base64.b64encode(make_adder(addend)).decode(), **proof}
        user.cluster.api.create(user.path("configmaps"), {"metadata": {"name": name}, "binaryData": data})
    user.apply("verified", model={"storageUri": "configmap://proven/model.onnx", "verify": True})
    user.wait_ready("verified")
    assert user.ask("verified", 41) == 42
    user.edit("verified", {"model": {"storageUri": "configmap://refuted/model.onnx"}})
    refused = user.wait(
        "verified",
        lambda one: condition(one, "Degraded").get("reason") == "ModelRejected",
        "Degraded=True with the reason ModelRejected",
    )
    message = condition(refused, "Degraded")["message"]
    assert "spec.model.verify: the model does not answer as its framework did" in message
    assert "the input is values=" in message
    assert user.ask("verified", 41) == 42
    user.run_kubectl("delete", "msvc", "verified", "--cascade=foreground", "--timeout=120s")


def test_replica_that_loads_another_file_than_the_first_is_told(user: User) -> None:
    def data(addend: float) -> dict[str, dict[str, str]]:
        return {"binaryData": {"model.onnx": base64.b64encode(make_adder(addend)).decode()}}

    first, second = (sha256_of(make_adder(addend)) for addend in (1, 2))
    user.cluster.api.create(user.path("configmaps"), {"metadata": {"name": "mutable"}, **data(1)})
    user.apply("mutable", model={"storageUri": "configmap://mutable/model.onnx"}, replicas=1)
    user.wait_ready("mutable")
    served = user.wait(
        "mutable", lambda one: "comparedAt" in one["status"].get("model", {}), "what the server loaded"
    )["status"]["model"]
    assert (served["sha256"], served["batching"]["maxBatchSize"]) == (first, 1)
    user.cluster.api.patch(user.path("configmaps", "mutable"), data(2))
    user.edit("mutable", {"replicas": 2})
    told = user.wait(
        "mutable",
        lambda one: condition(one, "Degraded").get("reason") == "ModelContentChanged",
        "Degraded=True with the reason ModelContentChanged",
    )
    assert f"sha256 {first}, {second}" in condition(told, "Degraded")["message"]
    user.cluster.api.patch(user.path("configmaps", "mutable"), data(1))
    (newest,) = (
        pod for pod in user.pods("mutable").values() if not is_older(pod, user.pods("mutable").values())
    )
    user.cluster.api.delete(user.path("pods", newest["metadata"]["name"]))
    user.wait("mutable", lambda one: condition(one, "Degraded")["status"] == "False", "Degraded=False")
    user.run_kubectl("delete", "msvc", "mutable", "--cascade=foreground", "--timeout=120s")


def is_older(pod: Object, pods: Iterable[Object]) -> bool:
    """Whether one of the pods was made later."""
    created = pod["metadata"]["creationTimestamp"]
    return any(other["metadata"]["creationTimestamp"] > created for other in pods)


@pytest.fixture
def claim(user: User, tmp_path: Path) -> Iterator[str]:
    """A claim bound to a volume of the node, as an administrator without a provisioner makes it."""
    (tmp_path / "spam").mkdir()
    model = tmp_path / "spam" / "adder.onnx"
    model.write_bytes(make_adder(1))
    for path in (tmp_path, model.parent):
        path.chmod(0o755)  # the server runs as a user of its own
    name = f"models-{user.namespace}"
    size = {"storage": "1Mi"}
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        **shared,
        "capacity": size,
        "hostPath": {"path": str(tmp_path), "type": "Directory"},
        "claimRef": {"namespace": user.namespace, "name": "models"},
    }
    claim = {**shared, "volumeName": name, "resources": {"requests": size}}
    api = user.cluster.api
    api.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": volume})
    api.create(user.path("persistentvolumeclaims"), {"metadata": {"name": "models"}, "spec": claim})
    yield "models"
    api.delete(f"/api/v1/persistentvolumes/{name}")


def test_model_of_a_claim_is_mounted_and_verified(user: User, claim: str) -> None:
    uri, digest = f"pvc://{claim}/spam/adder.onnx", sha256_of(make_adder(1))
    user.apply("claimed", model={"storageUri": uri, "sha256": "0" * 64})
    refused = user.wait(
        "claimed",
        lambda one: condition(one, "Ready").get("reason") == "DigestMismatch",
        "Ready=False with the reason DigestMismatch",
    )
    assert digest in condition(refused, "Ready")["message"]
    user.edit("claimed", {"model": {"sha256": digest}})
    user.wait_ready("claimed")
    assert user.ask("claimed", 41) == 42
    user.run_kubectl("delete", "msvc", "claimed", "--cascade=foreground", "--timeout=120s")


def test_restarted_server_does_not_download_again(user: User) -> None:
    user.apply("restarted", model=user.push_adder(1))
    user.wait_ready("restarted")
    (before,) = user.pods("restarted").values()
    user.run_kubectl("exec", before["metadata"]["name"], "-c", "server", "--", *EXIT_SERVER)
    after = user.cluster.api.wait_for(
        user.path("pods", before["metadata"]["name"]),
        lambda pod: (
            pod["status"]["containerStatuses"][0]["restartCount"] == 1
            and pod["status"]["containerStatuses"][0]["ready"]
        ),
        what="the server ready again in the same pod",
    )
    fetched_before, fetched_after = (
        pod["status"]["initContainerStatuses"][0]["containerID"] for pod in (before, after)
    )
    assert fetched_after == fetched_before
    user.wait_ready("restarted")
    assert user.ask("restarted", 41) == 42


def test_top_shows_what_pods_say_of_themselves(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    user.apply("busy", model=user.push_adder(1), replicas=2)
    user.wait_ready("busy")
    command = ["top", "busy", "--json", "--kubeconfig", str(user.cluster.kubeconfig), "-n", user.namespace]
    stop, answered = threading.Event(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            user.ask("busy", 41)
            answered.set()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert answered.wait(PROXY_DELAY_SECONDS)
        assert main(command) == 0
    finally:
        stop.set()
        asking.join()
    (shown,) = json.loads(capsys.readouterr().out)

    assert (shown["readyPods"], shown["wantedPods"], len(shown["pods"])) == (2, 2, 2)
    assert all(pod["load"] for pod in shown["pods"])
    assert shown["load"]["requestsPerSecond"] > 0
    assert shown["load"]["latencyP99Seconds"] > 0
    limit_bytes = 512 << 20
    assert all(10 << 20 < pod["load"]["memoryBytes"] < limit_bytes for pod in shown["pods"])
