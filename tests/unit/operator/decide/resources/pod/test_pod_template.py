from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.builders import make_model_service, make_runtime, model
from tests.unit.operator.specs import SHA, SPECS

from modelservice_operator.api import parse_model_runtime, parse_model_service
from modelservice_operator.decide.resources.pod.template import PodInputs, build_pod_template, drain_seconds
from modelservice_operator.decide.revision import record_runtime
from modelservice_operator.facts.text.quantity import parse_quantity

Template = dict[str, Any]


def build(runtime: dict[str, Any] | None = None, /, **spec: Any) -> Template:
    service = parse_model_service(make_model_service(**spec))
    recorded = record_runtime(
        None, parse_model_runtime(runtime or make_runtime(gpuImage="registry.example/gpu:1"))
    )
    inputs = PodInputs(service="spam", revision="bcdfghjklm", spec=service.spec, runtime=recorded)
    return build_pod_template(inputs)


def server(template: Template) -> dict[str, Any]:
    [container] = template["spec"]["containers"]
    return dict(container)


def fetcher(template: Template) -> dict[str, Any]:
    [container] = template["spec"]["initContainers"]
    return dict(container)


def arguments(container: dict[str, Any]) -> dict[str, list[str]]:
    """Options of a command line, each with all its values."""
    options: dict[str, list[str]] = {}
    args = iter(container["args"][1:])
    for option in args:
        value = "" if option == "--verify-only" else next(args)
        options.setdefault(option, []).append(value)
    return options


def test_build_pod_template_encrypted_model_has_room_in_memory_beside_the_server() -> None:
    template = build(**SPECS["encrypted"])
    volume_bytes = 1024**3 + 16 * 1024**2
    limits = [container(template)["resources"]["limits"]["memory"] for container in (server, fetcher)]
    requests = [container(template)["resources"]["requests"] for container in (server, fetcher)]

    assert limits[0] == "2Gi"
    assert parse_quantity(limits[1]) - parse_quantity(limits[0]) == volume_bytes
    assert parse_quantity(requests[1]["memory"]) - parse_quantity(requests[0]["memory"]) == volume_bytes
    model = next(one for one in template["spec"]["volumes"] if one["name"] == "model")
    assert parse_quantity(model["emptyDir"]["sizeLimit"]) == volume_bytes


def test_build_pod_template_image_volume_is_mounted_and_nothing_is_fetched() -> None:
    template = build(model={"storageUri": "oci://registry.example/spam:1", "imageVolume": {}})
    image = {"reference": "registry.example/spam:1"}
    assert {"name": "model", "image": image} in template["spec"]["volumes"]
    assert "initContainers" not in template["spec"]
    assert arguments(server(template))["--model"] == ["spam=/mnt/models/models"]


def test_build_pod_template_encrypted_model_needs_no_amounts() -> None:
    spec = {key: value for key, value in SPECS["encrypted"].items() if key != "resources"}
    template = build(**spec)
    assert "resources" not in fetcher(template)


@pytest.mark.parametrize("name", SPECS)
def test_build_pod_template_any_spec_meets_pod_security_restricted(name: str) -> None:
    pod = build(**SPECS[name])["spec"]

    ours = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    extra = {key for key in pod["securityContext"] if key not in ours}
    assert pod["securityContext"].items() >= ours.items()
    assert extra <= {"fsGroup", "fsGroupChangePolicy", "supplementalGroups"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert SPECS[name].get("env") or "env" not in container
        assert "envFrom" not in container
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    # As the API server's own check has them (k8s.io/pod-security-admission, restrictedVolumes).
    assert kinds <= {"emptyDir", "secret", "persistentVolumeClaim", "configMap", "projected", "image"}
    assert all("sizeLimit" in one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one)


@pytest.mark.parametrize("name", SPECS)
def test_build_pod_template_twice_shares_nothing(name: str) -> None:
    first, second = build(**SPECS[name]), build(**SPECS[name])
    first["spec"]["containers"][0].get("resources", {}).clear()
    first["metadata"]["labels"].clear()

    assert second == build(**SPECS[name])


def test_build_pod_template_users_labels_never_replace_ours() -> None:
    labels = build(podMetadata={"labels": {"team": "mail"}})["metadata"]["labels"]

    assert labels == {
        "team": "mail",
        "modelservice.dev/name": "spam",
        "modelservice.dev/revision": "bcdfghjklm",
    }


def test_build_pod_template_credentials_only_in_the_fetcher() -> None:
    template = build(model=model(1, credentials={"secretName": "s3"}))

    assert "credentials" not in {mount["name"] for mount in server(template)["volumeMounts"]}
    mount = next(one for one in fetcher(template)["volumeMounts"] if one["name"] == "credentials")
    assert mount["readOnly"] is True
    volume = next(one for one in template["spec"]["volumes"] if one["name"] == "credentials")
    assert volume["secret"] == {"secretName": "s3", "defaultMode": 0o444}
    assert arguments(fetcher(template))["--credentials-dir"] == [mount["mountPath"]]


def test_build_pod_template_model_is_writable_only_for_the_fetcher() -> None:
    template = build()

    [server_mount] = [one for one in server(template)["volumeMounts"] if one["name"] == "model"]
    [fetch_mount] = [one for one in fetcher(template)["volumeMounts"] if one["name"] == "model"]
    assert server_mount.get("readOnly") is True
    assert "readOnly" not in fetch_mount


def test_build_pod_template_volume_is_larger_than_the_fetchers_cap() -> None:
    template = build(model=model(1, maxSize="1Gi"))

    assert arguments(fetcher(template))["--max-bytes"] == [str(1024**3)]
    volume = next(one for one in template["spec"]["volumes"] if one["name"] == "model")
    assert volume["emptyDir"]["sizeLimit"] == "1040Mi"


@pytest.mark.parametrize(
    ("uri", "volume", "path"),
    [
        (
            "pvc://claim/a/b.onnx",
            {"persistentVolumeClaim": {"claimName": "claim", "readOnly": True}},
            "/mnt/models/a/b.onnx",
        ),
        (
            "pvc://claim/a/",
            {"persistentVolumeClaim": {"claimName": "claim", "readOnly": True}},
            "/mnt/models/a",
        ),
        (
            "configmap://tiny/m.onnx",
            {"configMap": {"name": "tiny", "items": [{"key": "m.onnx", "path": "m.onnx"}]}},
            "/mnt/models/m.onnx",
        ),
    ],
)
def test_build_pod_template_mounted_model_needs_no_fetcher(
    uri: str, volume: dict[str, Any], path: str
) -> None:
    template = build(model={"storageUri": uri})

    assert "initContainers" not in template["spec"]
    assert template["spec"]["volumes"][0] == {"name": "model", **volume}
    assert arguments(server(template))["--model"] == [f"spam={path}"]


def test_build_pod_template_mounted_model_with_digest_is_verified() -> None:
    container = fetcher(build(model={"storageUri": "pvc://claim/m.onnx", "sha256": SHA}))

    assert container["args"] == [
        "fetch", "--uri", "file:///mnt/models/m.onnx", "--verify-only", "--sha256", SHA,
    ]  # fmt: skip
    assert {"name": "model", "mountPath": "/mnt/models", "readOnly": True} in container["volumeMounts"]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, "1"),
        ({"limits": {"memory": "1Gi"}}, "1"),
        ({"requests": {"cpu": "1500m"}}, "2"),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "3500m"}}, "4"),
        ({"requests": {"cpu": "100m"}}, "1"),
    ],
)
def test_build_pod_template_threads_follow_the_cpu(resources: Any, expected: str) -> None:
    spec = {"resources": resources} if resources else {}

    assert arguments(server(build(**spec)))["--intra-op-threads"] == [expected]


def test_build_pod_template_threads_as_asked_for_beat_the_runtimes() -> None:
    runtime = make_runtime(intraOpThreads=7)

    assert arguments(server(build(runtime)))["--intra-op-threads"] == ["7"]
    asked = build(runtime, runtime={"intraOpThreads": 2})
    assert arguments(server(asked))["--intra-op-threads"] == ["2"]


@pytest.mark.parametrize(
    ("spec", "runtime", "expected"),
    [
        ({}, {"executionProviders": ["CUDA"]}, ["CPU"]),
        ({"gpu": {"count": 1}}, {}, ["CUDA"]),
        ({"gpu": {"count": 1}}, {"executionProviders": ["CUDA", "CPU"]}, ["CUDA", "CPU"]),
        (
            {"gpu": {"count": 1}, "runtime": {"executionProviders": ["CPU"]}},
            {"executionProviders": ["CUDA"]},
            ["CPU"],
        ),
    ],
)
def test_build_pod_template_execution_providers(
    spec: dict[str, Any], runtime: dict[str, Any], expected: list[str]
) -> None:
    template = build(make_runtime(gpuImage="registry.example/gpu:1", **runtime), **spec)

    assert arguments(server(template))["--execution-provider"] == expected


def test_build_pod_template_gpu_takes_the_gpu_image_and_asks_for_gpus_in_the_server_only() -> None:
    template = build(gpu={"count": 1}, resources={"limits": {"memory": "1Gi"}})

    assert server(template)["image"] == "registry.example/gpu:1"
    assert server(template)["resources"] == {"limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}}
    assert fetcher(template)["resources"] == {"limits": {"memory": "1Gi"}}


@pytest.mark.parametrize(
    ("resource", "keys", "selector"),
    [
        ("nvidia.com/gpu", ["nvidia.com/gpu"], {"nvidia.com/gpu.product": "X"}),
        (
            "nvidia.com/mig-1g.5gb",
            ["nvidia.com/mig-1g.5gb", "nvidia.com/gpu"],
            {"nvidia.com/gpu.product": "X"},
        ),
        ("amd.com/gpu", ["amd.com/gpu"], {"amd.com/gpu.product-name": "X"}),
    ],
)
def test_build_pod_template_gpu_tolerates_its_taint_and_selects_its_product(
    resource: str, keys: list[str], selector: dict[str, str]
) -> None:
    pod = build(gpu={"count": 1, "resource": resource, "product": "X"})["spec"]

    *own, pool = pod["tolerations"]
    assert [one["key"] for one in own] == keys
    assert all(one["operator"] == "Exists" and one["effect"] == "NoSchedule" for one in own)
    assert pool == {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
    assert pod["nodeSelector"] == selector


def test_build_pod_template_resources_of_the_service_replace_those_of_the_runtime() -> None:
    runtime = make_runtime(resources={"requests": {"cpu": "1", "memory": "1Gi"}})

    assert server(build(runtime))["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}}
    mine = build(runtime, resources={"limits": {"memory": "8Gi"}})
    assert server(mine)["resources"] == {"limits": {"memory": "8Gi"}}


def test_build_pod_template_amounts_below_one_thousandth_are_rounded_up() -> None:
    template = build(resources={"requests": {"cpu": "100u", "memory": "1Gi"}})

    assert server(template)["resources"]["requests"] == {"cpu": "1m", "memory": "1Gi"}


@given(st.integers(1, 3600))
def test_drain_seconds_any_grace_period_leaves_time_to_end(grace_period_seconds: int) -> None:
    delay, timeout = drain_seconds(grace_period_seconds)

    assert delay >= 0
    assert timeout >= 0
    assert delay + timeout < grace_period_seconds


def test_drain_seconds_default_grace_period() -> None:
    assert drain_seconds(60) == (5, 50)


def test_build_pod_template_cache_is_mounted_in_the_fetcher_only() -> None:
    pod = build(model=model(1, cache={"claimName": "models", "maxSize": "1Gi"}))["spec"]
    (fetch,), (server,) = pod["initContainers"], pod["containers"]

    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert {"name": "cache", "mountPath": "/mnt/cache"} in fetch["volumeMounts"]
    assert "cache" not in {mount["name"] for mount in server["volumeMounts"]}
    assert fetch["args"][-4:] == ["--cache-dir", "/mnt/cache", "--cache-max-bytes", str(1 << 30)]
    assert "fsGroup" not in pod["securityContext"]


@pytest.mark.parametrize(
    ("groups", "context", "claim"),
    [
        ({}, {}, {"claimName": "claim", "readOnly": True}),
        (
            {"supplementalGroups": [2000, 3000]},
            {"supplementalGroups": [2000, 3000]},
            {"claimName": "claim", "readOnly": True},
        ),
        # A volume that is read-only keeps its owner.
        (
            {"fsGroup": 2000},
            {"fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"},
            {"claimName": "claim"},
        ),
    ],
)
def test_build_pod_template_groups_reach_the_pod_and_the_server_only_reads(
    groups: dict[str, Any], context: dict[str, Any], claim: dict[str, Any]
) -> None:
    pod = build(model={"storageUri": "pvc://claim/m.onnx", **groups})["spec"]

    assert {key: value for key, value in pod["securityContext"].items() if "roup" in key} == context
    assert {"name": "model", "persistentVolumeClaim": claim} in pod["volumes"]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "model"]
    assert mount["readOnly"] is True


def test_build_pod_template_engines_are_kept_in_a_volume_of_the_pod() -> None:
    tensorrt = {"executionProviders": ["TensorRT"], "tensorrt": {"engineCacheSize": "4Gi"}}
    pod = build(gpu={"count": 1}, runtime=tensorrt)["spec"]
    (server,) = pod["containers"]

    assert {"name": "engines", "emptyDir": {"sizeLimit": "4Gi"}} in pod["volumes"]
    assert {"name": "engines", "mountPath": "/mnt/engines"} in server["volumeMounts"]
    assert server["args"][server["args"].index("--tensorrt-engine-cache") + 1] == "/mnt/engines"


def test_build_pod_template_environment_goes_to_the_container_that_it_is_for() -> None:
    template = build(
        env=[
            {"name": "OTEL_EXPORTER_OTLP_HEADERS", "secretName": "telemetry"},
            {"name": "TZ", "value": "UTC"},
            {"name": "https_proxy", "value": "http://proxy:3128"},
        ]
    )

    headers = {"name": "telemetry", "key": "OTEL_EXPORTER_OTLP_HEADERS"}
    assert server(template)["env"] == [
        {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": headers}},
        {"name": "TZ", "value": "UTC"},
    ]
    assert fetcher(template)["env"] == [{"name": "https_proxy", "value": "http://proxy:3128"}]


def test_build_pod_template_server_options_are_arguments_only_where_they_are_set() -> None:
    # A new revision may run on an older image, which knows no newer argument.
    plain = set(arguments(server(build())))
    options = arguments(server(build(server={"maxRequestBytes": "1Mi", "maxConnectionAgeSeconds": 0})))

    assert set(options) - plain == {"--max-request-bytes", "--max-connection-age-seconds"}
    assert options["--max-request-bytes"] == [str(1024**2)]
    assert options["--max-connection-age-seconds"] == ["off"]


@pytest.mark.parametrize(("workers", "threads"), [(1, "4"), (2, "2"), (3, "1"), (9, "1")])
def test_build_pod_template_workers_share_the_cpus_out(workers: int, threads: str) -> None:
    resources = {"requests": {"cpu": "3500m"}}
    options = arguments(server(build(server={"workers": workers}, resources=resources)))

    assert options["--intra-op-threads"] == [threads]
