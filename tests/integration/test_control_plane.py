"""The control plane of the tests is a real one: it schedules, runs controllers, and keeps what it is told."""

from hack.cluster import kwok
from hack.cluster.api import Object, condition_status
from hack.cluster.cluster import Cluster


def make_deployment(namespace: str, replicas: int) -> Object:
    labels = {"app": "web"}
    container = {"name": "web", "image": "registry.invalid/web:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def test_up_without_node_makes_kwok_node_ready(control_plane: Cluster) -> None:
    node = control_plane.api.get("/api/v1/nodes/kwok-0")
    assert kwok.is_schedulable(node)


def test_kwok_node_renews_a_lease(control_plane: Cluster) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/kwok-0"
    first = control_plane.api.wait_for(path, lambda lease: "renewTime" in lease["spec"])

    # Without renewals the controller manager marks the node and its pods as not ready after 50 seconds.
    control_plane.api.wait_for(
        path, lambda lease: lease["spec"]["renewTime"] != first["spec"]["renewTime"], timeout_seconds=60
    )


def test_deployment_on_kwok_node_becomes_available(control_plane: Cluster, namespace: str) -> None:
    api = control_plane.api
    manifest = make_deployment(namespace, replicas=2)
    api.apply(manifest)
    api.wait_for(api.path_of(manifest), lambda found: condition_status(found, "Available") == "True")
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    assert [(pod["status"]["phase"], pod["spec"]["nodeName"]) for pod in pods] == [("Running", "kwok-0")] * 2


def test_pod_with_gpu_request_waits_for_a_gpu_node(control_plane: Cluster, namespace: str) -> None:
    api = control_plane.api
    path = f"/api/v1/namespaces/{namespace}/pods"
    product = f"TEST-{namespace}"
    limits = {kwok.GPU_RESOURCE: "1"}
    spec = {
        "containers": [{"name": "gpu", "image": "registry.invalid/gpu:1", "resources": {"limits": limits}}],
        "nodeSelector": {kwok.GPU_PRODUCT_LABEL: product},
        "tolerations": [{"key": kwok.GPU_RESOURCE, "operator": "Exists"}],
    }
    api.create(path, {"metadata": {"name": "gpu"}, "spec": spec})
    waiting = api.wait_for(f"{path}/gpu", lambda pod: condition_status(pod, "PodScheduled") == "False")
    assert "node(s) didn't match Pod's node affinity/selector" in str(waiting["status"]["conditions"])

    node = f"gpu-{namespace}"
    kwok.create_nodes(api, [kwok.make_gpu_node(node, product=product, count=2)])
    try:
        running = api.wait_for(f"{path}/gpu", lambda pod: condition_status(pod, "Ready") == "True")
        assert running["spec"]["nodeName"] == node
    finally:
        api.delete(f"/api/v1/nodes/{node}")
