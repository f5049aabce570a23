"""What the operator writes into a pod is what the runtime in that pod understands.

The two packages never import each other; this is the one place that holds them together.
"""

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import orjson
import pytest
import yaml
from tests.unit.runtime.auth.signed_tokens import ALL_KEYS
from tests.unit.runtime.certificates import Authority
from yarl import URL

from modelservice_autoscaler.algorithm.load import GpuLoad, Load, TextLoad
from modelservice_autoscaler.looking.answer import parse_answer
from modelservice_operator.api import parse_model_service
from modelservice_operator.api.spec.resources import ExecutionProviders
from modelservice_operator.decide.resources.pod.template import PodInputs, build_pod_template
from modelservice_operator.decide.revision import RecordedRuntime
from modelservice_operator.explain.diagnose import diagnose
from modelservice_operator.explain.diagnose.flags import FIELDS, FIXED, in_fields, unknown_fields
from modelservice_operator.facts import labels, ports
from modelservice_operator.facts.observed import PodReport
from modelservice_operator.facts.signature import MOST_TENSORS, Signature, Tensor
from modelservice_operator.work.pods.reports import LARGEST_REPORT_BYTES
from modelservice_runtime.auth.api_keys import api_key_line, new_api_key
from modelservice_runtime.auth.loading import load_guard
from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.execution.statistics import QUEUE_BUCKETS_SECONDS, ModelStatistics
from modelservice_runtime.fetch.adapters import build_adapter_requests
from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.fetcher import FetchRequest
from modelservice_runtime.fetch.files.cache import ModelCache
from modelservice_runtime.fetch.http.proxies import read_proxies
from modelservice_runtime.fetch.main import build_parser, build_request
from modelservice_runtime.machine.cpu import available_cpus
from modelservice_runtime.machine.gpu_devices import GpuDevice
from modelservice_runtime.machine.memory.cgroup import find_control_groups
from modelservice_runtime.model import Batching, ModelSpec
from modelservice_runtime.models.content import ModelContent
from modelservice_runtime.models.load import Load as ServerLoad
from modelservice_runtime.models.samples import read_samples
from modelservice_runtime.models.snapshots import ModelSnapshot
from modelservice_runtime.onnx.execution_providers import (
    CPU,
    CUDA,
    MIGRAPHX,
    OPENVINO,
    ROCM,
    TENSORRT,
    build_provider_options,
    resolve_providers,
)
from modelservice_runtime.protocols.oip.routes import Endpoint, Route, match_route
from modelservice_runtime.protocols.oip.samples import decode_sample
from modelservice_runtime.protocols.rest.routing import split_target
from modelservice_runtime.serving.life import Life
from modelservice_runtime.serving.load import build_load
from modelservice_runtime.serving.report import LARGEST_SIGNATURE_BYTES, build_report
from modelservice_runtime.settings.generation import GenerationSettings
from modelservice_runtime.settings.security import AuditMode
from modelservice_runtime.settings.serve import ServeSettings, parse_serve_arguments
from modelservice_runtime.settings.sessions import (
    ArenaExtendStrategy,
    ConvolutionSearch,
    CudaOptions,
    ShapeProfile,
    TensorRtOptions,
)
from modelservice_runtime.tensors import BYTES, FP32, MAX_RANK, TensorSpec
from modelservice_runtime.transport.sockets import EVERY_ADDRESS
from modelservice_runtime.transport.tls import load_tls

ROOT = Path(__file__).parents[2]
SHA256 = "0123456789abcdef" * 4

SPECS: dict[str, dict[str, Any]] = {
    "plain": {"model": {"storageUri": "oci://registry.example/models/spam:3"}},
    "everything": {
        "model": {
            "storageUri": "s3://models/spam.onnx",
            "sha256": SHA256,
            "version": "3",
            "maxSize": "1Gi",
            "credentials": {"secretName": "s3-models"},
            "verify": True,
        },
        "runtime": {"executionProviders": ["CUDA", "CPU"], "intraOpThreads": 4},
        "gpu": {"count": 1},
        "batching": {"maxBatchSize": 32, "maxDelayMilliseconds": 5},
        "terminationGracePeriodSeconds": 30,
    },
    "encrypted": {
        "model": {
            "storageUri": "s3://models/spam.onnx.age",
            "maxSize": "1Gi",
            "decryption": {"secretName": "spam-key"},
        },
    },
    "accelerated": {
        "model": {
            "storageUri": "oci://registry.example/models/spam:3",
            "cache": {"claimName": "models", "maxSize": "20Gi"},
        },
        "gpu": {"count": 1},
        "runtime": {
            "executionProviders": ["TensorRT", "CPU"],
            "cuda": {
                "memoryLimit": "8Gi",
                "arenaExtendStrategy": "SameAsRequested",
                "convolutionSearch": "Default",
                "tf32": False,
                "graphs": True,
            },
            "tensorrt": {
                "fp16": True,
                "engineCacheSize": "4Gi",
                "profiles": [{"input": "x:0", "minimum": [1, 4], "optimum": [8, 4], "maximum": [32, 4]}],
            },
        },
    },
    "shared": {
        "model": {"storageUri": "oci://registry.example/models/spam:3"},
        "gpu": {"count": 1, "sharing": {"memoryLimit": "4Gi"}},
    },
    "intel": {
        "model": {"storageUri": "oci://registry.example/models/spam:3"},
        "gpu": {"count": 1, "resource": "gpu.intel.com/xe"},
        "runtime": {"executionProviders": ["OpenVINO"]},
    },
    "settings": {
        "model": {
            "storageUri": "oci://registry.example/models/spam:3",
            "name": "Junk_v2.1",
            "samples": {"shapes": [{"input": "x:0", "shape": [1, 4]}, {"input": "y", "shape": [2]}]},
        },
        "server": {
            "maxRequestBytes": "1.5Mi",
            "idleTimeoutSeconds": 900,
            "maxConnectionAgeSeconds": 60,
            "workers": 2,
            "accessLog": "0.25",
            "accessLogPayloads": {"maxBytes": 2048, "mask": ["$.inputs[?@.name == 'a'].data", "$.id"]},
            "auditLog": "Denied",
        },
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
    },
    "generative": {
        "model": {"storageUri": "oci://registry.example/models/chat:3"},
        "generation": {
            "maxSequences": 4,
            "maxContextTokens": 2048,
            "maxOutputTokens": 256,
            "kvCacheMemory": "1.5Gi",
            "prefixCache": False,
        },
    },
    "adapters": {
        "model": {"storageUri": "pvc://models/chat"},
        "generation": {
            "adapters": [
                {
                    "name": "law",
                    "storageUri": "s3://adapters/law.onnx_adapter",
                    "sha256": SHA256,
                    "credentials": {"secretName": "s3-adapters"},
                    "maxSize": "1Mi",
                },
                {
                    "name": "own",
                    "storageUri": "pvc://adapters/v=1",
                    "file": "a.onnx_adapter",
                    "sha256": SHA256,
                },
                {"name": "small", "storageUri": "configmap://adapters/small.onnx_adapter"},
            ],
        },
    },
    "samples": {
        "model": {
            "storageUri": "configmap://models/spam.onnx",
            "sha256": SHA256,
            "samples": {"file": "samples.json"},
        },
        "batching": {"maxBatchSize": 4, "maxDelayMilliseconds": 0, "rowsAreIndependent": True},
    },
    "access": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "auth": {
            "apiKeys": {"secretName": "keys"},
            "jwt": {
                "issuer": "https://login.example/realms/mail",
                "audience": "spam",
                "jwksConfigMapName": "issuer-keys",
                "scopes": ["read", "infer"],
            },
        },
        "tls": {"secretName": "certificate", "clientCASecretName": "certificate"},
    },
    "http": {"model": {"storageUri": "http://models.example/spam.onnx", "sha256": SHA256}},
    "pvc": {"model": {"storageUri": "pvc://claim/models/spam.onnx", "sha256": SHA256}},
    "configmap": {"model": {"storageUri": "configmap://models/spam.onnx", "sha256": SHA256}},
}


def make_pod(spec: dict[str, Any]) -> dict[str, Any]:
    service = parse_model_service(
        {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"name": "spam", "namespace": "mail"},
            "spec": spec,
        }
    )
    runtime = RecordedRuntime(name="onnx", image="runtime:1", gpu_image="runtime:1-gpu")
    pod: dict[str, Any] = build_pod_template(
        PodInputs(service="spam", revision="bx5c9d7fgz", spec=service.spec, runtime=runtime)
    )["spec"]
    return pod


def parse_server(pod: dict[str, Any]) -> ServeSettings:
    subcommand, *arguments = pod["containers"][0]["args"]
    assert subcommand == "serve"
    return parse_serve_arguments(arguments)


@pytest.mark.parametrize("name", SPECS)
def test_server_arguments_of_every_spec_are_understood(name: str) -> None:
    spec = SPECS[name]

    settings = parse_server(make_pod(spec))

    assert [source.name for source in settings.models] == [spec["model"].get("name", "spam")]
    assert settings.models[0].path.is_relative_to("/mnt/models")
    assert settings.model_version == spec["model"].get("version", "1")
    batching = spec.get("batching", {"maxBatchSize": 1, "maxDelayMilliseconds": 0})
    assert settings.max_batch_size == batching["maxBatchSize"]
    assert settings.max_batch_delay_seconds == batching["maxDelayMilliseconds"] / 1000
    assert settings.execution_providers == tuple(
        spec.get("runtime", {}).get("executionProviders", ("CUDA",) if "gpu" in spec else ("CPU",))
    )


def test_options_of_a_full_spec_arrive_in_the_server_and_the_fetcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    pod = make_pod(SPECS["everything"])

    settings = parse_server(pod)
    request = build_request(build_parser().parse_args(pod["initContainers"][0]["args"][1:]))

    assert settings.intra_op_threads == 4
    assert (settings.drain_delay_seconds, settings.drain_timeout_seconds) == (5, 20)
    assert (request.uri, request.max_bytes) == ("s3://models/spam.onnx", 1024**3)
    assert request.credentials_directory == Path("/mnt/credentials")
    assert settings.verify_proof
    assert request.with_proof


def test_generation_arrives_in_the_server_and_its_files_in_the_pod() -> None:
    def fetch(spec: dict[str, Any]) -> FetchRequest:
        return build_request(build_parser().parse_args(make_pod(spec)["initContainers"][0]["args"][1:]))

    settings = parse_server(make_pod(SPECS["generative"])).generation
    defaults = parse_server(make_pod(SPECS["plain"] | {"generation": {}})).generation

    assert settings == GenerationSettings(
        max_sequences=4,
        max_context_tokens=2048,
        max_output_tokens=256,
        kv_cache_bytes=3 << 29,
        keeps_prefixes=False,
    )
    assert defaults == GenerationSettings()
    assert fetch(SPECS["generative"]).generative
    assert fetch(SPECS["plain"] | {"generation": {}}).generative
    assert not fetch(SPECS["plain"]).generative


def test_adapters_are_served_from_where_the_fetcher_leaves_them() -> None:
    pod = make_pod(SPECS["adapters"])
    arguments = build_parser().parse_args(pod["initContainers"][0]["args"][1:])
    law, own = build_adapter_requests(arguments, build_request(arguments))
    paths = {one.name: one.path for one in parse_server(pod).generation.adapters}

    assert not arguments.uri  # a claim's model needs no look
    assert {one.model for one in parse_server(pod).generation.adapters} == {"spam"}
    assert paths["law"] == law.request.destination / str(law.request.file)
    assert (law.request.sha256, law.request.max_bytes) == (SHA256, 1024**2)
    assert own.request.uri == f"file://{paths['own']}"
    assert own.request.sha256 == SHA256
    mounts = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
    fetched = {one["mountPath"]: one["name"] for one in pod["initContainers"][0]["volumeMounts"]}
    for name in ("law", "own", "small"):
        assert any(paths[name].is_relative_to(path) for path in mounts), name
    assert mounts.keys() & fetched.keys() == {
        "/mnt/models", "/mnt/adapters", "/mnt/adapter-volumes/own", "/tmp",
    }  # fmt: skip
    assert str(law.request.credentials_directory) in fetched
    assert own.request.file_root is not None
    assert paths["own"].is_relative_to(own.request.file_root)


def test_proof_is_looked_for_only_where_the_spec_asks() -> None:
    pod = make_pod(SPECS["plain"])

    assert not parse_server(pod).verify_proof
    assert not build_request(build_parser().parse_args(pod["initContainers"][0]["args"][1:])).with_proof


def test_decryption_arrives_in_the_fetcher_alone() -> None:
    pod = make_pod(SPECS["encrypted"])
    fetch, server = pod["initContainers"][0], pod["containers"][0]
    decryption = build_request(build_parser().parse_args(fetch["args"][1:])).decryption

    assert decryption is not None
    mounts = {mount["mountPath"]: mount["name"] for mount in fetch["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    keys = volumes[mounts[str(decryption.keys_directory)]]
    assert keys["secret"]["secretName"] == "spam-key"
    assert "medium" not in volumes[mounts[str(decryption.scratch)]]["emptyDir"]
    assert volumes["model"]["emptyDir"]["medium"] == "Memory"
    assert {mount["name"] for mount in server["volumeMounts"]} == {"model", "tmp"}


def test_accelerator_options_and_the_cache_arrive_in_the_server_and_the_fetcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    pod = make_pod(SPECS["accelerated"])

    session = parse_server(pod).session
    request = build_request(build_parser().parse_args(pod["initContainers"][0]["args"][1:]))

    assert session.cuda == CudaOptions(
        8 << 30, ArenaExtendStrategy.SAME_AS_REQUESTED, ConvolutionSearch.DEFAULT, tf32=False, graphs=True
    )
    profile = ShapeProfile("x:0", (1, 4), (8, 4), (32, 4))
    assert session.tensorrt == TensorRtOptions(True, Path("/mnt/engines"), None, (profile,))
    assert request.cache == ModelCache(Path("/mnt/cache"), 20 << 30)


def test_limit_of_a_shared_gpu_and_the_device_of_openvino_arrive_in_the_server() -> None:
    assert parse_server(make_pod(SPECS["shared"])).session.cuda == CudaOptions(4 << 30)
    session = parse_server(make_pod(SPECS["intel"])).session
    assert build_provider_options(OPENVINO, session) == {"device_type": "GPU"}


def test_every_provider_of_the_api_has_its_name_in_onnx_runtime() -> None:
    names = get_args(get_args(ExecutionProviders)[0])[0]
    known = [CPU, CUDA, TENSORRT, MIGRAPHX, ROCM, OPENVINO]

    assert [resolve_providers([name], known)[0] for name in get_args(names)] == known


def test_server_options_and_proxies_arrive_in_the_server_and_the_fetcher() -> None:
    pod = make_pod(SPECS["settings"])

    settings = parse_server(pod)
    (fetch,) = pod["initContainers"]
    proxies = read_proxies({variable["name"]: variable["value"] for variable in fetch["env"]})

    assert (settings.max_request_bytes, settings.workers, settings.access_log.rate) == (1572864, 2, 0.25)
    assert settings.access_log.masks == ("$.inputs[?@.name == 'a'].data", "$.id")
    assert settings.access_log.payload_bytes == 2048
    assert settings.security.audit_log is AuditMode.DENIED
    connections = settings.connections
    assert (connections.idle_timeout_seconds, connections.max_connection_age_seconds) == (900, 60)
    assert str(proxies.find(URL("https://store.example/m"))) == "http://proxy.example:3128"


def test_access_arrives_in_the_server_as_files_of_its_volume() -> None:
    pod = make_pod(SPECS["access"])
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "access"]
    [volume] = [one["projected"] for one in pod["volumes"] if one["name"] == "access"]

    security = parse_server(pod).security

    assert security.api_key_file is not None
    assert security.jwt is not None
    assert security.tls is not None
    assert security.tls.client_ca is not None
    assert (security.jwt.issuer, security.jwt.audience) == ("https://login.example/realms/mail", "spam")
    assert security.jwt.scopes == ("read", "infer")
    files = [security.api_key_file, security.jwt.jwks_file]
    files += [security.tls.certificate, security.tls.key, security.tls.client_ca]
    items = [item for source in volume["sources"] for object_ in source.values() for item in object_["items"]]
    assert [str(file) for file in files] == [f"{mount['mountPath']}/{item['path']}" for item in items]
    # A file that is mounted by itself is never exchanged under a container that runs.
    assert "subPath" not in mount
    assert mount["readOnly"] is True
    assert all(one["name"] != "access" for one in pod["initContainers"][0]["volumeMounts"])


def test_probes_of_a_server_with_tls_speak_tls() -> None:
    (server,) = make_pod(SPECS["access"])["containers"]
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[kind]["httpGet"]["scheme"] == "HTTPS"


def test_samples_and_the_word_on_rows_arrive_in_the_server() -> None:
    by_shape, by_file = (parse_server(make_pod(SPECS[name])) for name in ("settings", "samples"))

    assert [sample.text for sample in by_shape.samples] == ["x:0:1x4", "y:2"]
    assert [sample.text for sample in by_file.samples] == ["samples.json"]
    assert (by_shape.rows_are_independent, by_file.rows_are_independent) == (False, True)
    items = make_pod(SPECS["samples"])["volumes"][0]["configMap"]["items"]
    assert [item["path"] for item in items] == ["spam.onnx", "samples.json"]


def test_pods_ask_clients_to_connect_anew_unless_told_otherwise() -> None:
    spec = SPECS["plain"]
    never = {**spec, "server": {"maxConnectionAgeSeconds": 0}}

    assert parse_server(make_pod(spec)).connections.max_connection_age_seconds == 1800
    assert parse_server(make_pod(never)).connections.max_connection_age_seconds is None


@pytest.mark.parametrize("name", SPECS)
def test_drain_of_every_spec_ends_before_the_grace_period(name: str) -> None:
    pod = make_pod(SPECS[name])

    settings = parse_server(pod)

    drain_seconds = settings.drain_delay_seconds + settings.drain_timeout_seconds
    assert drain_seconds < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", SPECS)
def test_fetch_arguments_of_every_spec_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    pod = make_pod(SPECS[name])
    (container,) = pod["initContainers"]
    subcommand, *arguments = container["args"]

    request = build_request(build_parser().parse_args(arguments))

    assert subcommand == "fetch"
    assert request.destination == Path("/mnt/models")
    assert request.sha256 == SPECS[name]["model"].get("sha256")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(request.destination) in mounts
    if request.credentials_directory is not None:
        assert str(request.credentials_directory) in mounts


def test_ports_of_a_pod_are_the_ones_the_server_listens_on() -> None:
    pod = make_pod(SPECS["plain"])
    declared = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}

    settings = parse_server(pod)
    defaults = parse_serve_arguments(["--model", "spam=/mnt/models"])

    assert declared == {
        ports.HTTP_NAME: settings.http_port,
        ports.GRPC_NAME: settings.grpc_port,
        ports.METRICS_NAME: settings.metrics_port,
    }
    for name in ("http_port", "grpc_port", "metrics_port"):
        assert getattr(settings, name) == getattr(defaults, name)
    assert settings.host == EVERY_ADDRESS


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ({"requests": {"cpu": "1500m"}}, {"MODELSERVICE_CPUS": "2"}),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}, {}),
        ({"requests": {"memory": "1Gi"}}, {}),
    ],
)
def test_server_counts_on_the_cpus_that_its_pod_asks_for(
    cpu: dict[str, Any], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (server,) = make_pod(SPECS["plain"] | {"resources": cpu})["containers"]
    environment = {variable["name"]: variable["value"] for variable in server.get("env", [])}
    assert environment == expected
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert available_cpus(find_control_groups(tmp_path), environment) == (2 if expected else 64)


def test_probes_of_a_pod_are_health_routes_of_the_server() -> None:
    (server,) = make_pod(SPECS["plain"])["containers"]

    probes = {kind: server[kind]["httpGet"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    segments = {kind: split_target(probe["path"].encode()) or () for kind, probe in probes.items()}

    assert {probe["port"] for probe in probes.values()} == {ports.HTTP_NAME}
    assert match_route(segments["startupProbe"]) == Route(Endpoint.READY)
    assert match_route(segments["readinessProbe"]) == Route(Endpoint.READY)
    assert match_route(segments["livenessProbe"]) == Route(Endpoint.LIVE)


def report_of_fetch(outcome: dict[str, Any]) -> dict[str, Any]:
    """A pod whose fetcher left this termination message."""
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": json.dumps(outcome)}}
    return {
        "metadata": {"uid": "1", "name": "spam-1", "labels": {labels.REVISION: "bx5c9d7fgz"}},
        "spec": make_pod(SPECS["plain"]),
        "status": {"phase": "Pending", "initContainerStatuses": [{"name": "fetch", "state": state}]},
    }


@pytest.mark.parametrize("reason", sorted(set(FetchReason) - {FetchReason.FETCHED}))
def test_every_failure_of_the_fetcher_reaches_the_user_as_it_is(reason: FetchReason) -> None:
    pod = report_of_fetch(
        {"reason": reason, "message": "What happened: do this.", "sha256": "", "sizeBytes": 0}
    )

    cause = diagnose("bx5c9d7fgz", [pod], [], None)

    assert cause is not None
    assert cause.reason == reason
    assert "What happened: do this." in cause.message


def arguments_of(pod: dict[str, Any]) -> list[str]:
    containers = [*pod.get("initContainers", ()), *pod["containers"]]
    return [argument for container in containers for argument in container["args"]]


def test_every_flag_that_the_operator_gives_has_its_field() -> None:
    given = {
        text for spec in SPECS.values() for text in arguments_of(make_pod(spec)) if text.startswith("--")
    }

    fields = {flag.partition(" ")[0] for flag in FIELDS}

    assert given - FIXED == fields
    assert not fields & FIXED


def test_every_field_of_a_flag_is_one_of_the_api() -> None:
    crd = yaml.safe_load((ROOT / "crds" / "modelservices.yaml").read_text(encoding="utf-8"))
    top = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for field in FIELDS.values():
        schema = top
        for name in field.split("."):
            schema = schema["properties"][name]


def samples(file: str) -> dict[str, Any]:
    return {"model": {"storageUri": "configmap://models/spam.onnx", "samples": {"file": file}}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (samples("absent.json"), r"^spec\.model\.samples\.file: cannot read .*absent\.json.*name a file"),
        (samples("broken.json"), r"^spec\.model\.samples\.file: 'broken\.json' is no request.*correct it"),
        (SPECS["settings"], r"^spec\.model\.samples\.shapes: the model has no input 'x:0'; it has 'x'"),
    ],
)
def test_samples_that_do_not_fit_are_told_by_their_field(
    spec: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_text("{")
    pod = make_pod(spec)
    given = [sample.text for sample in parse_server(pod).samples]
    model = ModelSpec("spam", "1", (TensorSpec("x", FP32, (-1, 2)),), (TensorSpec("y", FP32, (-1,)),))

    with pytest.raises(InvalidSettingsError) as refusal:
        read_samples(model, tmp_path / "spam.onnx", given, decode_sample)

    assert re.search(said, in_fields(refusal.value.sentence, pod["containers"][0]["args"]))


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("api-keys", b"", "spec.auth.apiKeys.secretName holds no key; make one with"),
        ("api-keys", b"ms_plain", "spec.auth.apiKeys.secretName: line 1 must have the form NAME:sha256:HEX"),
        ("jwks.json", b"<html>", "spec.auth.jwt is not valid JSON; save the issuer's key set"),
        ("jwks.json", b'{"keys": []}', "spec.auth.jwt holds no public key for signatures"),
        ("tls.crt", b"", "spec.tls.secretName: expected PEM with a certificate chain"),
        ("tls.key", Authority().issue("other").key, "spec.tls.secretName: the private key is not that of"),
        ("ca.crt", b"", "spec.tls.clientCASecretName must be a PEM file with certificates"),
    ],
)
def test_files_that_cannot_be_used_are_told_by_the_field_of_their_secret(
    key: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (args,) = [container["args"] for container in make_pod(SPECS["access"])["containers"]]
    pair = Authority().issue("server")
    good = {"api-keys": api_key_line("a", new_api_key()).encode(), "jwks.json": ALL_KEYS}
    good |= {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": pair.certificate}
    for name, written in (good | {key: content}).items():
        (tmp_path / name).write_bytes(written)
    moved = [arg.replace("/mnt/access", str(tmp_path)) for arg in args[1:]]
    security = parse_serve_arguments(moved).security

    with pytest.raises(InvalidSettingsError) as refusal:
        load_guard(security), load_tls(security.tls)

    assert in_fields(refusal.value.sentence, args).startswith(said)


def test_values_that_the_server_refuses_are_told_by_their_field() -> None:
    with pytest.raises(InvalidSettingsError) as refusal:
        parse_serve_arguments(["--model", "spam=/mnt/models", "--max-batch-size", "many"])

    assert in_fields(refusal.value.sentence, ()) == (
        "spec.batching.maxBatchSize: 'many' is not a whole number of at least 1"
    )


def test_what_a_server_reports_is_understood() -> None:
    inputs = (TensorSpec("x", FP32, (-1, 4)), TensorSpec("text", BYTES, ()))
    snapshot = ModelSnapshot(
        "spam",
        "1",
        0,
        ModelStatistics(),
        Batching(4, source="graph"),
        ("probabilities",),
        (ModelContent(SHA256, None, 7),),
        inputs,
        (TensorSpec("y", FP32, None),),
    )

    report = msgspec.json.decode(orjson.dumps(build_report([snapshot], Life())), type=PodReport)

    (model,) = report.models
    assert (model.name, model.version, model.sha256, model.size_bytes) == ("spam", "1", SHA256, 7)
    assert (model.batching.max_batch_size, model.batching.source) == (4, "graph")
    assert model.left_out_outputs == ("probabilities",)
    assert report.signature == Signature(
        (Tensor("x", "FP32", (-1, 4)), Tensor("text", "BYTES", ())), (Tensor("y", "FP32"),)
    )


def test_the_longest_report_of_tensors_is_read() -> None:
    """The largest shapes that a model may have, and as many tensors as are told."""
    shape = (1 << 40, *(1,) * (MAX_RANK - 1))
    many = tuple(TensorSpec(f"past_key_values.{number:03}", FP32, shape) for number in range(256))
    snapshot = ModelSnapshot(
        "spam", "1", 0, ModelStatistics(), contents=(None,), inputs=many, outputs=many[:1]
    )

    raw = orjson.dumps(build_report([snapshot], Life()))

    signature = msgspec.json.decode(raw, type=PodReport).signature
    assert signature is not None
    assert len(signature.inputs) == MOST_TENSORS
    assert LARGEST_SIGNATURE_BYTES < LARGEST_REPORT_BYTES


def test_fields_that_a_server_does_not_know_are_named() -> None:
    (server,) = make_pod(SPECS["samples"])["containers"]
    # As from an image of which neither was known.
    older = [
        text.replace("--samples", "--trials").replace("--rows-are", "--lines-are") for text in server["args"]
    ]
    with pytest.raises(InvalidSettingsError) as refusal:
        parse_serve_arguments(older[1:])
    said = refusal.value.sentence.replace("--trials", "--samples").replace("--lines-are", "--rows-are")

    assert unknown_fields(said, server["args"]) == [
        "spec.batching.rowsAreIndependent",
        "spec.model.samples.file",
    ]


def test_what_a_server_says_of_its_load_is_understood() -> None:
    counts = list(range(len(QUEUE_BUCKETS_SECONDS) + 1))
    counted = ServerLoad(2, 3, 5_500_000_000, 7, 8_000_000_000, counts, 1.5)
    counted.text_tokens, counted.max_sequences = 900, 16
    counted.kv_used_tokens, counted.kv_tokens = 400.0, 1600
    gpus = [GpuDevice("GPU-0", "H100", 80, 8, 0.25), GpuDevice("GPU-1", "H100", 80, 9, None)]
    page = build_load(counted, Life(1_000_000_000, 2_000_000_000), 11_000_000_000, 77, gpus)
    idle = build_load(ServerLoad(), Life(1_000_000_000, 2_000_000_000), 11_000_000_000, 0, [])

    answer = parse_answer(orjson.dumps(page))

    assert answer.load == Load(
        uptime_seconds=10.0,
        running=2,
        waiting=3,
        in_flight_seconds=5.5,
        requests=7,
        cpu_seconds=1.5,
        memory_bytes=77,
        queue_bounds_seconds=QUEUE_BUCKETS_SECONDS,
        queue_counts=tuple(counts),
        gpus=(GpuLoad(0.25, 8, 80), GpuLoad(None, 9, 80)),
        texts=TextLoad(900, 0.25, 16),
    )
    assert answer.idle_seconds == 0
    assert parse_answer(orjson.dumps(idle)).idle_seconds == 9
