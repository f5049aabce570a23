"""The node of the cluster runs real containers from images of its own registry."""

import http.client
import json
import time
import urllib.request
from pathlib import Path

import pytest
from hack.cluster import kwok
from hack.cluster.api import Object, condition_status
from hack.cluster.cluster import Cluster
from hack.cluster.images import ImageBuild, build_and_push
from hack.cluster.node import NODE_NAME
from hack.cluster.registry import push_model

WEB = Path(__file__).parent / "web"
# A first build unpacks the base image, and shares two cores with whatever else runs.
READY_TIMEOUT_SECONDS = 120.0
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def web_image(cluster: Cluster) -> str:
    return build_and_push(cluster, ImageBuild("tests/web:1", WEB / "Dockerfile", context=WEB))


def make_pod(image: str, resources: Object | None = None) -> Object:
    container = {
        "name": "web",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        "resources": resources or {"limits": {"memory": "64Mi"}},
        "securityContext": RESTRICTED,
    }
    return {
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


def make_service() -> Object:
    ports = [{"port": 80, "targetPort": "http"}]
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}


def is_ready(pod: Object) -> bool:
    return condition_status(pod, "Ready") == "True"


def test_pod_from_registry_answers_through_service(cluster: Cluster, namespace: str, web_image: str) -> None:
    api = cluster.api
    base = f"/api/v1/namespaces/{namespace}"
    service = api.create(f"{base}/services", make_service())
    api.create(f"{base}/pods", make_pod(web_image))
    pod = api.wait_for(f"{base}/pods/web", is_ready, what="Ready", timeout_seconds=READY_TIMEOUT_SECONDS)
    assert pod["spec"]["nodeName"] == NODE_NAME

    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    api.wait_for(slices, lambda found: any(item["endpoints"] for item in found["items"]))
    port = cluster.forward(service["spec"]["clusterIP"], 80)
    assert wait_for_answer(f"http://127.0.0.1:{port}/") == "It works.\n"
    assert '"GET / HTTP/1.1" 200' in api.get(f"{base}/pods/web/log")

    api.delete(f"{base}/pods/web")
    api.wait_gone(f"{base}/pods/web")


def test_pod_with_extended_resource_runs_once_the_node_has_it(
    cluster: Cluster, namespace: str, web_image: str
) -> None:
    api = cluster.api
    base = f"/api/v1/namespaces/{namespace}"
    resource = f"tests.example/{namespace}"
    api.create(f"{base}/pods", make_pod(web_image, {"limits": {resource: "1"}}))
    waiting = api.wait_for(f"{base}/pods/web", lambda pod: condition_status(pod, "PodScheduled") == "False")
    assert f"Insufficient {resource}" in json.dumps(waiting["status"]["conditions"])

    kwok.add_extended_resource(api, NODE_NAME, resource, 1)
    api.wait_for(f"{base}/pods/web", is_ready, what="Ready", timeout_seconds=READY_TIMEOUT_SECONDS)


def test_push_model_twice_stores_one_artifact(cluster: Cluster, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"not a real model, but its bytes count")
    pushed = push_model(cluster.registry, model, "oci://10.0.0.1:5000/tests/model:1")
    assert push_model(cluster.registry, model, "oci://10.0.0.1:5000/tests/model:1") == pushed

    repository = f"http://{cluster.registry}/v2/tests/model"
    with urllib.request.urlopen(f"{repository}/blobs/sha256:{pushed.sha256}") as blob:
        assert blob.read() == model.read_bytes()
    request = urllib.request.Request(
        f"{repository}/manifests/{pushed.manifest_digest}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )
    with urllib.request.urlopen(request) as manifest:
        layers = json.load(manifest)["layers"]
    assert [layer["annotations"]["org.opencontainers.image.title"] for layer in layers] == ["model.onnx"]


def test_status_of_running_cluster_names_every_component(cluster: Cluster) -> None:
    health = {component.name: component.health for component in cluster.status()}
    assert health.pop("apiserver") == "ready"
    assert set(health.values()) == {"running"}
    assert {"etcd", "scheduler", "controller-manager", "kubelet", "containerd", "registry"} <= health.keys()


def wait_for_answer(url: str) -> str:
    """The rules of a new Service take kube-proxy a moment; refused connections until then are no failure."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return str(response.read().decode())
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
