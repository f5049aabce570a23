from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.operator.builders import make_model_service, model

from modelservice_operator.api import parse_model_service
from modelservice_operator.decide.revision import (
    RecordedRuntime,
    RecordedSecret,
    Snapshot,
    parse_snapshot,
    revision_inputs,
    revision_name,
    snapshot_data,
)

RUNTIME = RecordedRuntime(name="onnx", image="registry.example/onnx:1")


def name_of(runtime: RecordedRuntime = RUNTIME, /, **spec: Any) -> str:
    return revision_name(revision_inputs(parse_model_service(make_model_service(**spec)).spec), runtime)


def test_revision_name_smallest_spec_never_changes() -> None:
    assert name_of() == "ngh6zkzrdw"


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 5},
        {"autoscaling": {"maxReplicas": 4}},
        {"rollout": {"maxSurge": 2, "progressDeadlineSeconds": 60}},
        {"scheduling": {}},
        {"terminationGracePeriodSeconds": 60},
        {"podMetadata": {"labels": {}}},
        {"serviceAccountName": ""},
        {"runtime": {}},
        {"childMetadata": {"labels": {"a": "b"}}},
        {"networkPolicy": {"mode": "Disabled"}},
        {"server": {}},
        {"env": []},
        {"batching": None},
        {"generation": None},
    ],
)
def test_revision_name_inputs_that_change_no_pod_keep_it(spec: dict[str, Any]) -> None:
    assert name_of(**spec) == name_of()


@pytest.mark.parametrize(
    "spec",
    [
        {"model": model(2)},
        {"model": model(1, version="3")},
        {"runtime": {"intraOpThreads": 2}},
        {"runtime": {"ref": "onnx"}},
        {"generation": {}},
        {"generation": {"maxSequences": 2}},
        {"generation": {"adapters": [{"name": "law", "storageUri": "s3://bucket/law"}]}},
        {"resources": {"requests": {"cpu": "1"}}},
        {"gpu": {"count": 1}},
        {"scheduling": {"nodeSelector": {"a": "b"}}},
        {"podMetadata": {"labels": {"a": "b"}}},
        {"imagePullSecrets": [{"name": "regcred"}]},
        {"serviceAccountName": "workload"},
        {"terminationGracePeriodSeconds": 30},
        {"batching": {"maxBatchSize": 8}},
        {"server": {"workers": 2}},
        {"env": [{"name": "TZ", "value": "UTC"}]},
        {"model": model(1, name="junk")},
        {"model": {"storageUri": "pvc://claim/m.onnx", "fsGroup": 1}},
        {"model": model(1, samples={"shapes": [{"input": "x", "shape": [1, 4]}]})},
        {"model": model(1, verify=True)},
    ],
)
def test_revision_name_inputs_that_change_pods_change_it(spec: dict[str, Any]) -> None:
    assert name_of(**spec) != name_of()


def test_revision_name_no_adapters_keep_it_and_others_change_it() -> None:
    adapters = [{"name": "law", "storageUri": "s3://bucket/law"}]
    adapted = name_of(generation={"adapters": adapters})

    assert name_of(generation={"adapters": []}) == name_of(generation={})
    assert name_of(generation={"adapters": [{**adapters[0], "sha256": "ab" * 32}]}) != adapted


def test_revision_name_word_on_rows_changes_it_only_when_given() -> None:
    batched = name_of(batching={"maxBatchSize": 8})

    assert name_of(batching={"maxBatchSize": 8, "rowsAreIndependent": False}) == batched
    assert name_of(batching={"maxBatchSize": 8, "rowsAreIndependent": True}) != batched


def test_revision_name_images_for_other_gpus_count_only_where_the_runtime_has_them() -> None:
    assert name_of(msgspec.structs.replace(RUNTIME, gpu_images={})) == name_of()
    assert name_of(msgspec.structs.replace(RUNTIME, gpu_images={"amd.com": "amd:1"})) != name_of()


@pytest.mark.parametrize(
    "gpu",
    [
        {"memory": "20Gi"},
        {"products": ["NVIDIA-L4"]},
        {"migProfile": "1g.10gb"},
        {"sharing": {"memoryLimit": "4Gi"}},
        {"claim": {"deviceClassName": "gpu.nvidia.com"}},
    ],
)
def test_revision_name_gpu_changes_it_only_by_what_is_set(gpu: dict[str, Any]) -> None:
    assert name_of(gpu={"count": 1}) == "nm5xxkv5gl"
    assert name_of(gpu={"count": 1, "product": "NVIDIA-L4"}) == "bmb9994drz"
    assert name_of(gpu={"count": 1, **gpu}) not in ("nm5xxkv5gl", "bmb9994drz")


def test_revision_name_same_quantity_in_another_spelling_keeps_it() -> None:
    assert name_of(resources={"requests": {"cpu": "1000m"}}) == name_of(resources={"requests": {"cpu": "1"}})


def test_revision_name_follows_the_runtime_but_not_how_it_was_asked_for() -> None:
    assert name_of(msgspec.structs.replace(RUNTIME, image="registry.example/onnx:2")) != name_of()
    assert name_of(msgspec.structs.replace(RUNTIME, requested="onnx")) == name_of()
    secrets = (RecordedSecret(name="regcred"),)
    assert name_of(msgspec.structs.replace(RUNTIME, image_pull_secrets=secrets)) != name_of()


def test_parse_snapshot_own_data_round_trips() -> None:
    snapshot = Snapshot(
        inputs={"model": {"storageUri": "oci://r/m:1"}}, runtime=RUNTIME, template={"spec": {}}
    )

    assert parse_snapshot(msgspec.json.encode(snapshot_data(snapshot))) == snapshot


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b'{"inputs":1,"runtime":{},"template":{}}'])
def test_parse_snapshot_other_data_none(data: bytes) -> None:
    assert parse_snapshot(data) is None


def test_parse_snapshot_of_a_newer_operator_ignores_what_it_does_not_know() -> None:
    data = b'{"inputs":{},"runtime":{"name":"onnx","image":"i","future":1},"template":{},"more":2}'

    assert parse_snapshot(data) == Snapshot(
        inputs={}, runtime=RecordedRuntime(name="onnx", image="i"), template={}
    )
