from typing import Any

import pytest
from pydantic import ValidationError

from modelservice_operator.api import (
    Affinity,
    InvalidSpec,
    ModelService,
    ModelSpec,
    ObjectMeta,
    Problem,
    parse_model_runtime,
    parse_model_service,
)
from modelservice_operator.api.modelservice import ModelServiceSpec


def make_manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "spam"},
        "spec": {"model": {"storageUri": "oci://registry.example/spam:1"}, **spec},
    }


def refusal(manifest: dict[str, Any], *, strict: bool = False) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as raised:
        parse_model_service(manifest, strict=strict)
    return raised.value


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
def test_parse_either_version_is_the_same(version: str) -> None:
    manifest = make_manifest()
    other = {**manifest, "apiVersion": f"modelservice.dev/{version}"}
    assert parse_model_service(other, strict=True) == parse_model_service(manifest)


def test_parse_another_version_names_those_that_there_are() -> None:
    assert str(refusal({**make_manifest(), "apiVersion": "modelservice.dev/v1"})) == (
        "apiVersion: expected modelservice.dev/v1beta1 or modelservice.dev/v1alpha1, "
        "got 'modelservice.dev/v1'"
    )


def test_parse_keeps_no_part_of_the_manifest() -> None:
    manifest = make_manifest(
        scheduling={"nodeSelector": {"a": "b"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        env=[{"name": "TZ", "value": "1"}],
    )
    manifest["metadata"]["labels"] = {"team": "mail"}
    parsed = parse_model_service(manifest)
    before = parsed.model_dump()
    manifest["metadata"]["labels"]["team"] = "other"
    manifest["spec"]["env"][0]["value"] = "2"
    manifest["spec"]["scheduling"]["nodeSelector"]["a"] = "c"
    manifest["spec"]["scheduling"]["tolerations"][0]["key"] = "other"
    assert parsed.model_dump() == before


def test_parse_one_bad_field_is_one_sentence() -> None:
    manifest = make_manifest(model={"storageUri": "oci://r/x:1", "sha256": "abc"})
    assert str(refusal(manifest)) == (
        "spec.model.sha256: expected 64 hexadecimal characters, lower case, "
        "as sha256sum prints them, got 'abc'"
    )


def test_parse_many_bad_fields_lists_every_one() -> None:
    manifest = make_manifest(
        model={"storageUri": "x"}, replicas=-1, gpu={}, imagePullSecrets=[{"name": "/"}], batching=3
    )
    manifest["metadata"] = {"name": "Spam"}
    assert [problem.path for problem in refusal(manifest).problems] == [
        "metadata.name",
        "spec.model.storageUri",
        "spec.replicas",
        "spec.gpu.count",
        "spec.imagePullSecrets[0].name",
        "spec.batching",
    ]


def test_parse_unknown_field_is_refused_only_when_strict() -> None:
    manifest = make_manifest(fieldOfTomorrow={"a": 1})
    assert parse_model_service(manifest).spec.replicas == 1
    assert refusal(manifest, strict=True).problems == (
        Problem("spec.fieldOfTomorrow", "unknown field: remove it, or correct its spelling"),
    )


def test_parse_unknown_top_level_field_is_refused_when_strict() -> None:
    manifest = {**make_manifest(), "spce": {}}
    assert [problem.path for problem in refusal(manifest, strict=True).problems] == ["spce"]


def test_parse_metadata_from_the_api_server_is_accepted_when_strict() -> None:
    manifest = make_manifest()
    manifest["metadata"] |= {
        "uid": "u",
        "generation": 3,
        "managedFields": [{"manager": "kubectl"}],
        "labels": {"a": "b"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    manifest["status"] = {"anything": 1}
    metadata = parse_model_service(manifest, strict=True).metadata
    assert (metadata.uid, metadata.generation, metadata.labels) == ("u", 3, {"a": "b"})


def test_parse_python_spelling_is_no_field() -> None:
    manifest = make_manifest(termination_grace_period_seconds=5)
    assert parse_model_service(manifest).spec.termination_grace_period_seconds == 60
    assert "spec.termination_grace_period_seconds: unknown field" in str(refusal(manifest, strict=True))


def test_parse_null_is_a_field_left_out() -> None:
    manifest = make_manifest(replicas=None, gpu=None, resources={"requests": {"cpu": None}})
    spec = parse_model_service(manifest, strict=True).spec
    assert (spec.replicas, spec.gpu, spec.resources) == (1, None, None)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kind": "ModelRuntime"}, "kind"),
        ({"apiVersion": "v1"}, "apiVersion"),
        ({"spec": None}, "spec.model"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_parse_another_object_is_refused(changes: dict[str, Any], path: str) -> None:
    manifest = {**make_manifest(), **changes}
    if manifest["spec"] is None:
        manifest["spec"] = {}
    assert path in [problem.path for problem in refusal(manifest).problems]


def test_parse_without_spec_says_so() -> None:
    manifest = make_manifest()
    del manifest["spec"]
    assert str(refusal(manifest)) == "spec: required: add it"


def test_parse_refused_uri_is_not_repeated() -> None:
    manifest = make_manifest(model={"storageUri": "https://user:hunter2@h.example/m"})
    assert "hunter2" not in str(refusal(manifest))


def test_parse_long_value_is_cut() -> None:
    assert len(str(refusal(make_manifest(runtime={"ref": "/" * 250})))) < 250


def test_parse_model_runtime_every_field_is_read() -> None:
    runtime = parse_model_runtime(
        {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelRuntime",
            "metadata": {
                "name": "onnx",
                "annotations": {"modelservice.dev/is-default-runtime": "true"},
            },
            "spec": {"image": "a:1", "gpuImage": "a:1-gpu", "resources": {"requests": {"cpu": "1500m"}}},
        }
    )
    assert (runtime.spec.image, runtime.spec.gpu_image) == ("a:1", "a:1-gpu")
    assert runtime.spec.resources is not None
    assert runtime.spec.resources.requests == {"cpu": "1500m"}


def test_models_are_built_by_python_names_and_frozen() -> None:
    service = ModelService(
        metadata=ObjectMeta(name="spam"), spec=ModelServiceSpec(model=ModelSpec(storage_uri="oci://r/x:1"))
    )
    with pytest.raises(ValidationError, match="frozen"):
        service.spec.replicas = 2  # type: ignore[misc]


def test_models_refuse_bad_values_from_python_too() -> None:
    with pytest.raises(ValidationError, match="expected oci://"):
        ModelSpec(storage_uri="ftp://x")


def test_to_dict_speaks_kubernetes() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}}
    manifest = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert Affinity.model_validate(manifest).to_dict() == manifest
