"""The models and the API server accept and refuse the same manifests: random ones, near the limits."""

from typing import Any

from hack.cluster.api import ApiError
from hack.cluster.cluster import Cluster
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from modelservice_operator.api import InvalidSpec, parse_model_service

DIGEST = "4f" * 32
PATHS = st.text(alphabet="ab/.%2eF?#@:\\ -_~=\n", max_size=8)
URIS = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["oci://r.example/m/x:1", "s3://bucket/k", "pvc://c/p"]), PATHS),
    st.builds("{}://{}".format, st.sampled_from(["oci", "s3", "https", "http", "pvc", "configmap"]), PATHS),
    st.builds("https://{}/{}".format, st.sampled_from(["h", "[::1]:1", "u@h", "h:", "-", "H.x:65"]), PATHS),
)
NAMES = st.one_of(st.text(alphabet="aZ0-._/ü\n", max_size=5), st.sampled_from(["a" * 253, "a" * 254, "a"]))
NUMBERS = st.one_of(st.sampled_from([-1, 0, 1, 2, 100, 10_000, 10_001, 2**31, 2**63 - 1]), st.booleans())
QUANTITIES = st.one_of(
    st.from_regex(r"\A[0-9]{1,4}(\.[0-9]{1,3})?(m|k|G|Gi|E|e[0-9]{1,3})?\Z"),
    st.text(alphabet="0123.-+eEKiMm", max_size=6),
    st.integers(-1, 10**19),
)
COUNTS = st.one_of(NUMBERS, st.integers(0, 101).map("{}%".format), st.sampled_from(["1", "%", "01%", "1.5%"]))
KEYS = st.one_of(
    st.sampled_from(["a", "a.b/c", "modelservice.dev/x", "x.modelservice.dev/y", "prometheus.io/port", "/a"]),
    st.text(alphabet="aZ0-._/\n", max_size=6),
)
MAPS = st.dictionaries(KEYS, st.one_of(NAMES, st.integers(0, 1)), max_size=3)
PROVIDERS = st.lists(st.sampled_from(["CPU", "CUDA", "cpu"]), max_size=3)
RESOURCES = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), QUANTITIES, max_size=2)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of the fields, and now and then a null or an unknown one."""
    values = {name: st.one_of(value, value, value, st.none()) for name, value in fields.items()}
    return st.fixed_dictionaries({}, optional={**values, "unknown": st.just(1)})


TOLERATIONS = st.lists(
    some(
        key=NAMES,
        operator=st.sampled_from(["Equal", "Exists", ""]),
        value=NAMES,
        effect=st.sampled_from(["NoExecute", "NoSchedule", "No"]),
        tolerationSeconds=NUMBERS,
    ),
    max_size=2,
)
METRICS = st.lists(
    some(
        type=st.sampled_from(["CPU", "Memory", "Disk"]),
        target=some(averageUtilization=NUMBERS, averageValue=QUANTITIES),
    ),
    max_size=3,
)
MODELS = st.fixed_dictionaries(
    {"storageUri": URIS},
    optional={
        "sha256": st.sampled_from([DIGEST, DIGEST.upper(), DIGEST[1:], DIGEST + "\n", ""]),
        "version": st.one_of(NAMES, NUMBERS),
        "maxSize": QUANTITIES,
        "credentials": some(secretName=NAMES),
    },
)
URLS = st.one_of(
    st.sampled_from(["http://h", "https://h.example:9090/p", "http://[::1]:1", "http://u@h", "http://h:0"]),
    st.builds("http://{}".format, st.text(alphabet="hH:9.-_/@?#%[]\\\n ", max_size=8)),
)
ANALYSES = some(
    metrics=st.lists(
        some(
            type=st.sampled_from(["ErrorRatio", "LatencyP95", "Prometheus", "latency"]),
            max=QUANTITIES,
            maxIncrease=QUANTITIES,
            maxRatio=QUANTITIES,
            query=st.sampled_from(["", "up"]),
        ),
        max_size=2,
    ),
    count=NUMBERS,
    failureLimit=NUMBERS,
)
STEPS = st.one_of(
    some(setWeight=NUMBERS), some(pause=some(durationSeconds=NUMBERS)), some(analysis=ANALYSES),
    some(setWeight=NUMBERS, pause=some(), analysis=ANALYSES),
)  # fmt: skip
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "model": MODELS,
    "runtime": some(ref=NAMES, executionProviders=PROVIDERS, intraOpThreads=NUMBERS),
    "replicas": NUMBERS,
    "resources": some(requests=RESOURCES, limits=RESOURCES),
    "gpu": some(count=NUMBERS, resource=KEYS, product=NAMES),
    "scheduling": some(nodeSelector=MAPS, tolerations=TOLERATIONS, priorityClassName=NAMES),
    "podMetadata": some(labels=MAPS, annotations=MAPS),
    "imagePullSecrets": st.lists(some(name=NAMES), max_size=3),
    "serviceAccountName": NAMES,
    "autoscaling": some(minReplicas=NUMBERS, maxReplicas=NUMBERS, metrics=METRICS),
    "batching": some(maxBatchSize=NUMBERS, maxDelayMilliseconds=NUMBERS),
    "rollout": some(
        strategy=st.sampled_from(["RollingUpdate", "Recreate", "Canary", "BlueGreen", ""]),
        canary=some(steps=st.lists(STEPS, max_size=3)),
        blueGreen=some(autoPromote=NUMBERS, previewSeconds=NUMBERS, scaleDownDelaySeconds=NUMBERS),
        prometheus=some(url=URLS),
        rollbackWindowSeconds=NUMBERS,
        maxSurge=COUNTS,
        maxUnavailable=COUNTS,
        capacityPolicy=st.sampled_from(["Auto", "Wait", "wait"]),
        surgeProbeSeconds=NUMBERS,
        revisionHistoryLimit=NUMBERS,
    ),
}


def changes() -> st.SearchStrategy[dict[str, Any]]:
    """One or two changed fields: with more, nearly every manifest is bad."""
    pairs = [st.tuples(st.just(name), value) for name, value in FIELDS.items()]
    return st.lists(st.one_of(pairs), min_size=1, max_size=2).map(dict)


def make_manifest(spec: dict[str, Any]) -> dict[str, Any]:
    smallest = {"model": {"storageUri": "oci://registry.example/spam:1"}}
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "spam"},
        "spec": smallest | spec,
    }


def server_refusal(cluster: Cluster, namespace: str, manifest: dict[str, Any]) -> str:
    path = f"/apis/modelservice.dev/v1alpha1/namespaces/{namespace}/modelservices"
    try:
        cluster.api.create(f"{path}?dryRun=All&fieldValidation=Strict", manifest)
    except ApiError as error:
        if error.code not in (400, 422):
            raise
        return error.message
    return ""


def model_refusal(manifest: dict[str, Any]) -> str:
    try:
        parse_model_service(manifest, strict=True)
    except InvalidSpec as error:
        return str(error)
    return ""


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=changes())
@example(spec={"model": {"storageUri": "https://h.example/a\n"}})
@example(spec={"rollout": {"maxSurge": "0%", "maxUnavailable": None}})
@example(spec={"rollout": {"strategy": "Recreate", "maxSurge": None}})
@example(spec={"rollout": {"strategy": "Recreate", "maxUnavailable": 0}})
@example(spec={"rollout": {"strategy": "Canary", "canary": {"steps": [{"pause": None, "analysis": {}}]}}})
@example(
    spec={"rollout": {"strategy": "Canary", "canary": {"steps": [{"pause": {"durationSeconds": None}}]}}}
)
@example(spec={"rollout": {"strategy": "BlueGreen", "blueGreen": {"previewSeconds": 1, "autoPromote": None}}})
def test_models_and_api_server_decide_the_same(
    crds: Cluster, shared_namespace: str, spec: dict[str, Any]
) -> None:
    manifest = make_manifest(spec)
    by_server, by_models = server_refusal(crds, shared_namespace, manifest), model_refusal(manifest)
    note(f"API server: {by_server or 'accepts'}")
    note(f"models: {by_models or 'accept'}")
    assert bool(by_server) == bool(by_models)
