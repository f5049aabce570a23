"""What kubectl, autoscalers and GitOps tools get from the CRDs, on a real API server."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.cluster.api import ApiError, Object
from hack.cluster.cluster import Cluster
from tests.support.manifests import SMALLEST_SPECS, merge_patch, model_service_cases

GROUP = "/apis/modelservice.dev/v1alpha1"
GOOD = {case.name: case.manifest for case in model_service_cases() if not case.refused}
EVERYTHING = GOOD["everything"]


def make_service(name: str = "spam", **spec: Any) -> Object:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name},
        "spec": merge_patch(SMALLEST_SPECS["ModelService"], spec),
    }


def collection(namespace: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/modelservices"


def kubectl(
    cluster: Cluster, *arguments: str, manifest: Object | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("kubectl"), f"--kubeconfig={cluster.kubeconfig}", *arguments],
        input=None if manifest is None else yaml.safe_dump(manifest),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def make_status(**changes: Any) -> Object:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "DigestMismatch",
        "message": "the model file is another one: correct spec.model.sha256",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {
        "observedGeneration": 1,
        "url": "http://spam.mail.svc/v2/models/spam",
        "replicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "selector": "modelservice.dev/name=spam",
        "stableRevision": "bx5c9d7fgz",
        "targetRevision": "bx5c9d7fgz",
        "traffic": [{"revision": "bx5c9d7fgz", "desired": 100, "actual": 100}],
        "model": {"sha256": "4f" * 32, "sizeBytes": 5_000_000_000, "version": "3"},
        "runtime": {"ref": "onnx", "image": "registry.example/runtime@sha256:" + "4f" * 32},
        "conditions": [condition],
        **changes,
    }


def test_create_stores_what_was_written_and_the_one_default(crds: Cluster, namespace: str) -> None:
    created = crds.api.create(collection(namespace), make_service())
    assert created["spec"] == {**SMALLEST_SPECS["ModelService"], "replicas": 1}
    everything = crds.api.create(f"{collection(namespace)}?fieldValidation=Strict", EVERYTHING)
    assert everything["spec"] == EVERYTHING["spec"]
    canary = crds.api.create(f"{collection(namespace)}?fieldValidation=Strict", GOOD["rollout-canary"])
    assert canary["spec"] == {**GOOD["rollout-canary"]["spec"], "replicas": 1}, "{} says something in a step"


def test_scale_is_read_and_written_through_the_subresource(crds: Cluster, namespace: str) -> None:
    path = f"{collection(namespace)}/spam"
    crds.api.create(collection(namespace), make_service())
    assert crds.api.get(f"{path}/scale")["spec"]["replicas"] == 1
    crds.api.patch(f"{path}/status", {"status": make_status()})

    scale = crds.api.get(f"{path}/scale")
    assert scale["status"] == {"replicas": 2, "selector": "modelservice.dev/name=spam"}
    scale["spec"]["replicas"] = 4
    crds.api.request("PUT", f"{path}/scale", scale)

    service = crds.api.get(path)
    assert (service["spec"]["replicas"], service["metadata"]["generation"]) == (4, 2)
    scale["spec"]["replicas"] = 10_001
    scale["metadata"]["resourceVersion"] = service["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match=r"spec\.replicas"):
        crds.api.request("PUT", f"{path}/scale", scale)


def test_kubectl_scale_survives_applying_the_manifest_again(crds: Cluster, namespace: str) -> None:
    manifest = make_service()
    assert kubectl(crds, "apply", "-n", namespace, "-f", "-", manifest=manifest).returncode == 0
    scaled = kubectl(crds, "scale", "-n", namespace, "msvc/spam", "--replicas=3")
    assert scaled.returncode == 0, scaled.stderr
    assert kubectl(crds, "apply", "-n", namespace, "-f", "-", manifest=manifest).returncode == 0
    assert crds.api.get(f"{collection(namespace)}/spam")["spec"]["replicas"] == 3


def test_scale_works_beside_autoscaling(crds: Cluster, namespace: str) -> None:
    crds.api.create(collection(namespace), make_service(autoscaling={"maxReplicas": 3}))
    path = f"{collection(namespace)}/spam/scale"
    crds.api.patch(path, {"spec": {"replicas": 2}})
    assert crds.api.get(path)["spec"]["replicas"] == 2


def test_status_and_spec_are_written_apart(crds: Cluster, namespace: str) -> None:
    path = f"{collection(namespace)}/spam"
    forged = {**make_service(), "status": make_status()}
    assert "status" not in crds.api.create(collection(namespace), forged)

    crds.api.patch(f"{path}/status", {"spec": {"replicas": 7}, "status": make_status()})
    service = crds.api.get(path)
    assert service["status"] == make_status()
    assert (service["spec"]["replicas"], service["metadata"]["generation"]) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": -1},
        {"conditions": [{"type": "Ready", "status": "Perhaps"}]},
        {"traffic": [{"revision": "a", "desired": 101, "actual": 0}]},
    ],
)
def test_status_that_breaks_the_schema_is_refused(crds: Cluster, namespace: str, changes: Object) -> None:
    crds.api.create(collection(namespace), make_service())
    with pytest.raises(ApiError) as refused:
        crds.api.patch(f"{collection(namespace)}/spam/status", {"status": make_status(**changes)})
    assert refused.value.code == 422


def test_status_takes_the_longest_message(crds: Cluster, namespace: str) -> None:
    crds.api.create(collection(namespace), make_service())
    status = make_status()
    status["conditions"][0]["message"] = "x" * 32768
    crds.api.patch(f"{collection(namespace)}/spam/status", {"status": status})
    status["conditions"][0]["message"] += "x"
    with pytest.raises(ApiError, match="may not be more than 32768"):
        crds.api.patch(f"{collection(namespace)}/spam/status", {"status": status})


def test_conditions_merge_by_type_between_field_managers(crds: Cluster, namespace: str) -> None:
    crds.api.create(collection(namespace), make_service())
    base = {**make_service(), "metadata": {"name": "spam", "namespace": namespace}}
    condition = make_status()["conditions"][0]
    for manager, type_ in (("one", "Ready"), ("two", "Available")):
        status = {"conditions": [{**condition, "type": type_}]}
        applied = {**{key: base[key] for key in ("apiVersion", "kind", "metadata")}, "status": status}
        crds.api.apply(copy.deepcopy(applied), manager=manager, subresource="status")
    stored = crds.api.get(f"{collection(namespace)}/spam")["status"]["conditions"]
    assert [item["type"] for item in stored] == ["Ready", "Available"]


def test_kubectl_get_shows_the_state_in_columns(crds: Cluster, namespace: str) -> None:
    crds.api.create(collection(namespace), make_service())
    ready = make_status()["conditions"][0]
    steers = {"type": "AutoscalingActive", "status": "True", "reason": "MaxReplicas", "message": "2 -> 4"}
    conditions = [ready, {**ready, "type": "Degraded", "status": "True"}, {**ready, **steers}]
    status = make_status(
        conditions=conditions,
        rollout={"phase": "Paused", "weight": 20},
        autoscaling={"engine": "Builtin"},
    )
    crds.api.patch(f"{collection(namespace)}/spam/status", {"status": status})
    head, row = kubectl(crds, "get", "msvc", "-n", namespace).stdout.splitlines()
    columns = "NAME READY REASON DEGRADED DESIRED AVAILABLE REVISION PHASE WEIGHT ENGINE SCALING AGE"
    assert head.split() == columns.split()
    assert row.split()[:-1] == [
        "spam",
        "False",
        "DigestMismatch",
        "True",
        "1",
        "1",
        "bx5c9d7fgz",
        "Paused",
        "20",
        "Builtin",
        "MaxReplicas",
    ]

    wide = kubectl(crds, "get", "msvc", "-n", namespace, "-o", "wide").stdout
    assert wide.splitlines()[0].split()[-5:] == ["URL", "MODEL", "IMAGE", "MESSAGE", "DECISION"]
    for shown in (
        "http://spam.mail.svc/v2/models/spam",
        "oci://registry.example/models/spam:3",
        "correct spec",
        "2 -> 4",
    ):
        assert shown in wide


def test_kubectl_get_shows_the_default_runtime(crds: Cluster, namespace: str) -> None:
    name = f"runtime-{namespace}"
    runtime = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelRuntime",
        "metadata": {"name": name, "annotations": {"modelservice.dev/is-default-runtime": "true"}},
        "spec": {"image": "runtime:1", "gpuImage": "runtime:1-gpu"},
    }
    crds.api.create(f"{GROUP}/modelruntimes", runtime)
    try:
        head, row = kubectl(crds, "get", "mrt", name).stdout.splitlines()
    finally:
        crds.api.delete(f"{GROUP}/modelruntimes/{name}")
    assert head.split() == ["NAME", "IMAGE", "GPU-IMAGE", "DEFAULT", "AGE"]
    assert row.split()[:4] == [name, "runtime:1", "runtime:1-gpu", "true"]


def test_kubectl_get_all_lists_model_services(crds: Cluster, namespace: str) -> None:
    crds.api.create(collection(namespace), make_service())
    listed = kubectl(crds, "get", "all", "-n", namespace, "-o", "name").stdout.split()
    assert "modelservice.modelservice.dev/spam" in listed


def test_kubectl_wait_sees_the_ready_condition(crds: Cluster, namespace: str) -> None:
    crds.api.create(collection(namespace), make_service())
    status = make_status()
    status["conditions"][0]["status"] = "True"
    crds.api.patch(f"{collection(namespace)}/spam/status", {"status": status})
    waited = kubectl(crds, "wait", "-n", namespace, "msvc/spam", "--for=condition=Ready", "--timeout=120s")
    assert waited.returncode == 0, waited.stderr


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("modelservice.spec.model.sha256", "file is refused and the old"),
        ("msvc.spec.scheduling.topologySpread", "Preferred\n    Required\n    Disabled"),
        ("msvc.spec.resources.limits", "never exceeded"),
        ("msvc.status.conditions.reason", "CamelCase"),
        ("modelruntime.spec.gpuImage", "spec.gpu"),
    ],
)
def test_kubectl_explain_describes_the_field(crds: Cluster, field: str, said: str) -> None:
    explained = kubectl(crds, "explain", field)
    assert said in explained.stdout, explained.stdout + explained.stderr


def test_kubectl_refuses_an_unknown_field(crds: Cluster, namespace: str) -> None:
    applied = kubectl(crds, "apply", "-n", namespace, "-f", "-", manifest=make_service(model={"sha255": "x"}))
    assert applied.returncode != 0
    assert 'unknown field "spec.model.sha255"' in applied.stderr


def test_unknown_field_without_validation_is_not_stored(crds: Cluster, namespace: str) -> None:
    manifest = make_service(podTemplate={"spec": {"hostNetwork": True}})
    created = crds.api.create(f"{collection(namespace)}?fieldValidation=Ignore", manifest)
    assert "podTemplate" not in created["spec"]


def test_null_fields_are_left_out(crds: Cluster, namespace: str) -> None:
    manifest = make_service()
    manifest["spec"] |= {"replicas": None, "gpu": None}
    created = crds.api.create(collection(namespace), manifest)
    assert created["spec"] == {**SMALLEST_SPECS["ModelService"], "replicas": 1}


def test_generated_name_is_checked_like_a_given_one(crds: Cluster, namespace: str) -> None:
    manifest = {**make_service(), "metadata": {"generateName": "spam-"}}
    created = crds.api.create(collection(namespace), manifest)
    assert created["metadata"]["name"].startswith("spam-")
    manifest["metadata"]["generateName"] = "9-"
    with pytest.raises(ApiError, match="expected a name of at most 52"):
        crds.api.create(collection(namespace), manifest)


def test_oversized_manifests_are_refused(crds: Cluster, namespace: str) -> None:
    many = {f"k{i}": "x" * 4096 for i in range(300)}
    with pytest.raises(ApiError, match=r"spec\.podMetadata\.annotations: Too many"):
        crds.api.create(collection(namespace), make_service(podMetadata={"annotations": many}))
    with pytest.raises(ApiError, match=r"spec\.model\.storageUri: Too long"):
        crds.api.create(collection(namespace), make_service(model={"storageUri": "s3://" + "x" * 1_400_000}))


def make_largest_rollout() -> Object:
    bounds = dict.fromkeys(("max", "maxIncrease", "maxRatio"), "0.000000001")
    metrics = [{"type": "Prometheus", "query": "q" * 2048, **bounds} for _ in range(8)]
    return {
        "strategy": "Canary",
        "canary": {"steps": [{"analysis": {"metrics": metrics}} for _ in range(32)]},
        "prometheus": {"url": "http://h/" + "p" * 503},
        "rollbackWindowSeconds": 86_400,
    }


def test_largest_manifest_is_decided_within_the_cel_budget(crds: Cluster, namespace: str) -> None:
    # The API server stops a validation that costs too much at run time, whatever it estimated before.
    labels = {f"{'p' * 240}.example/{'k' * 50}{i}": "v" * 63 for i in range(64)}
    spec = {
        "model": {"storageUri": "s3://bucket/" + "k" * 2000},
        "podMetadata": {"labels": labels, "annotations": dict.fromkeys(labels, "v" * 100)},
        "scheduling": {"nodeSelector": dict(list(labels.items())[:32])},
        "imagePullSecrets": [{"name": f"{'s' * 240}{i}"} for i in range(16)],
        "childMetadata": {"labels": labels, "annotations": dict.fromkeys(labels, "v" * 100)},
        "env": [{"name": f"OTEL_{'X' * 100}{i}", "value": "v" * 4096} for i in range(32)],
        "networkPolicy": {
            "from": [
                {"namespaceSelector": {"matchLabels": {f"{'k' * 300}{i}": "v" for i in range(64)}}}
                for _ in range(15)
            ]
            + [{"ipBlock": {"cidr": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128"}}],
            "extraPorts": list(range(1, 17)),
        },
        "rollout": make_largest_rollout(),
    }
    created = crds.api.create(f"{collection(namespace)}?dryRun=All", make_service(**spec))
    assert len(json.dumps(created["spec"])) > 500_000


def test_client_side_apply_of_the_crds_is_possible(crds: Cluster) -> None:
    # The annotation with the last applied manifest may hold 256 KiB.
    for name in ("modelservices", "modelruntimes"):
        file = Path(__file__).parents[3] / "crds" / f"{name}.yaml"
        applied = kubectl(crds, "apply", "--dry-run=server", "-f", str(file))
        assert applied.returncode == 0, applied.stderr
