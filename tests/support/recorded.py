"""What a release left in a cluster: recorded by its own code, put back for today's operator to find.

To record, with a checkout of the release:
`python -m tests.support.recorded CHECKOUT tests/data/upgrade/VERSION.yaml`
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hack.cluster import testing
from hack.cluster.api import condition_status
from tests.support.operator_process import wait_until
from tests.support.ports import free_port

from modelservice_operator.facts.fields.canonical import project_managed
from modelservice_operator.facts.labels import MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hack.cluster.api import Api

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "upgrade"
SERVICES = "apis/modelservice.dev/v1alpha1"
CHILDREN = {
    "ServiceAccount": "api/v1/{}/serviceaccounts",
    "ControllerRevision": "apis/apps/v1/{}/controllerrevisions",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{}/networkpolicies",
    "Deployment": "apis/apps/v1/{}/deployments",
    "Service": "api/v1/{}/services",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/{}/horizontalpodautoscalers",
    "PodDisruptionBudget": "apis/policy/v1/{}/poddisruptionbudgets",
}
API_VERSIONS = {kind: path.partition("/")[2].partition("/{}")[0] for kind, path in CHILDREN.items()}
SMALL = {"requests": {"cpu": "10m", "memory": "16Mi"}}
STEPS = [{"setWeight": 34}, {"pause": {}}, {"setWeight": 67}]
CANARY = {"strategy": "Canary", "contract": "Ignore", "canary": {"steps": STEPS}}


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Path of a collection, or of an object in it."""
    path = f"{SERVICES}/{{}}/modelservices" if kind == "ModelService" else CHILDREN[kind]
    return "/" + path.format(f"namespaces/{namespace}") + (f"/{name}" if name else "")


def read(api: Api, namespace: str) -> list[Object]:
    """Every service with its status, and of each child what the operator wrote; UIDs of owners by name."""
    objects = api.get(path_of("ModelService", namespace))["items"]
    names = {one["metadata"]["uid"]: one["metadata"]["name"] for one in objects}
    recorded = [
        {
            "kind": "ModelService",
            "name": one["metadata"]["name"],
            "spec": one["spec"],
            "status": one["status"],
        }
        for one in objects
    ]
    for kind in CHILDREN:
        for one in api.get(path_of(kind, namespace))["items"]:
            metadata = one["metadata"]
            if not any(owner["uid"] in names for owner in metadata.get("ownerReferences", ())):
                continue
            written = project_managed(one, MANAGER)
            for owner in written["metadata"]["ownerReferences"]:
                owner["uid"] = names[owner["uid"]]
            recorded.append({"kind": kind, "name": metadata["name"], "written": written})
    return recorded


def restore(api: Api, namespace: str, recorded: Iterable[Object]) -> None:
    """Make these objects in a namespace, each field written by whom it was."""
    uids = {}
    for one in recorded:
        metadata = {"name": one["name"], "namespace": namespace}
        if one["kind"] == "ModelService":
            body = {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelService", "metadata": metadata}
            uids[one["name"]] = api.apply({**body, "spec": one["spec"]}, manager="kubectl")["metadata"]["uid"]
            path = path_of("ModelService", namespace, one["name"])
            api.patch(f"{path}/status?fieldManager={MANAGER}", {"status": one["status"]})
            continue
        written = one["written"]
        owners = [{**owner, "uid": uids[owner["uid"]]} for owner in written["metadata"]["ownerReferences"]]
        place = {**written["metadata"], **metadata, "ownerReferences": owners}
        body = {"apiVersion": API_VERSIONS[one["kind"]], "kind": one["kind"]}
        api.apply({**written, **body, "metadata": place}, manager=MANAGER)


def _make_services(api: Api, namespace: str) -> None:
    autoscaling = {"maxReplicas": 3, "metrics": [{"type": "CPU", "target": {"averageUtilization": 80}}]}
    kinds: dict[str, Object] = {
        "plain": {"replicas": 2},
        "scaled": {"autoscaling": autoscaling},
        "full": {
            "podMetadata": {"labels": {"team": "mail"}, "annotations": {"example.com/a": "b"}},
            "childMetadata": {"labels": {"cost": "mail"}},
            "batching": {"maxBatchSize": 8, "maxDelayMilliseconds": 2},
            "networkPolicy": {"extraPorts": [15008]},
            "terminationGracePeriodSeconds": 45,
            "scheduling": {"nodeSelector": {"kubernetes.io/os": "linux"}},
            "rollout": {"contract": "Ignore"},
        },
        "canary": {"replicas": 3, "rollout": CANARY},
    }
    for tag in ("1", "2"):
        for name, spec in kinds.items():
            if tag == "2" and name != "canary":
                continue
            model = {"storageUri": f"oci://registry.example/models/{name}:{tag}"}
            body = {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelService"}
            metadata = {"name": name, "namespace": namespace}
            api.apply({**body, "metadata": metadata, "spec": {"model": model, "resources": SMALL, **spec}})
        for name in kinds if tag == "1" else ():
            api.wait_for(
                path_of("ModelService", namespace, name),
                lambda one: condition_status(one, "Ready") == "True",
                what="Ready",
                timeout_seconds=120,
            )
    path = path_of("ModelService", namespace, "canary")
    api.wait_for(path, lambda one: one["status"].get("rollout", {}).get("paused"), timeout_seconds=120)


def main(checkout: Path, file: Path) -> None:
    """Run the operator of a checkout on a control plane, and write down what it leaves."""
    with testing.running_cluster("record", "MODELSERVICE_TEST_CONTROL_PLANE", node=False) as cluster:
        api = cluster.api
        for path in sorted((checkout / "crds").glob("*.yaml")):
            crd = api.apply(yaml.safe_load(path.read_text(encoding="utf-8")))
            api.wait_for(api.path_of(crd), lambda one: condition_status(one, "Established") == "True")
        annotations = {"modelservice.dev/is-default-runtime": "true"}
        runtime = {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelRuntime"}
        image = {"image": "registry.example/modelservice-runtime:1"}
        api.apply({**runtime, "metadata": {"name": "onnx", "annotations": annotations}, "spec": image})
        with testing.fresh_namespace(api) as namespace:
            command = [sys.executable, "-m", "modelservice_operator", "--kubeconfig", str(cluster.kubeconfig)]
            where = [
                "--namespace",
                namespace,
                "--lease-namespace",
                namespace,
                "--http-port",
                str(free_port()),
            ]
            environment = {**os.environ, "PYTHONPATH": str(checkout / "operator")}
            operator = subprocess.Popen([*command, *where], cwd=checkout / "operator", env=environment)
            try:
                wait_until(lambda: api.is_ready() and operator.poll() is None, "the operator runs")
                _make_services(api, namespace)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(yaml.safe_dump(read(api, namespace), sort_keys=False), encoding="utf-8")
            finally:
                operator.kill()
                operator.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
