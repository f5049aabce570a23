"""The ModelService of a pushed model: valid, by digest, and what stood in the file stays."""

from pathlib import Path

import pytest
import yaml

from modelservice_operator.api import parse_model_service
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.reference import parse_reference
from modelservice_pipeline.package.files import PackedModel
from modelservice_pipeline.package.service import (
    ServiceOptions,
    build_service,
    default_name,
    render_service,
    write_service,
)

REFERENCE = parse_reference(f"registry.example.com/team/spam@sha256:{'a' * 64}")
PLAIN = PackedModel("model.onnx", "b" * 64, is_image=False)
IMAGE = PackedModel("models/1/model.onnx", "b" * 64, is_image=True)


def test_build_service_names_digest_and_sha256() -> None:
    model = build_service(REFERENCE, PLAIN, ServiceOptions(secret="regcred"))["spec"]["model"]
    assert model == {
        "storageUri": f"oci://registry.example.com/team/spam@sha256:{'a' * 64}",
        "sha256": "b" * 64,
        "credentials": {"secretName": "regcred"},
    }


def test_build_service_asks_for_the_proof_where_it_is_wanted() -> None:
    assert build_service(REFERENCE, PLAIN, ServiceOptions(verify=True))["spec"]["model"]["verify"] is True


def test_build_service_of_an_image_mounts_it() -> None:
    spec = build_service(REFERENCE, IMAGE, ServiceOptions(secret="regcred", replicas=2))["spec"]
    assert spec["model"]["imageVolume"] == {"path": "models/1/model.onnx"}
    assert (spec["imagePullSecrets"], spec["replicas"]) == ([{"name": "regcred"}], 2)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (ServiceOptions(name="Spam"), r"metadata\.name"),
        (ServiceOptions(name="a" * 53), r"metadata\.name"),
        (ServiceOptions(secret="a b"), r"spec\.model\.credentials\.secretName"),
        (ServiceOptions(replicas=-1), r"spec\.replicas"),
        (ServiceOptions(cluster_registry="no host"), r"spec\.model\.storageUri"),
    ],
)
def test_build_service_that_the_api_refuses_names_the_field(options: ServiceOptions, field: str) -> None:
    with pytest.raises(PipelineError, match=field):
        build_service(REFERENCE, PLAIN, options)


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("team/spam", "spam"),
        ("7b", "model-7b"),
        ("a_b.c", "a-b-c"),
        ("x" * 80, "x" * 52),
        ("1" * 80, f"model-{'1' * 46}"),
    ],
)
def test_default_name_is_one_that_the_api_takes(repository: str, name: str) -> None:
    assert default_name(parse_reference(f"r.example/{repository}")) == name
    manifest = build_service(parse_reference(f"r.example/{repository}:1"), PLAIN, ServiceOptions())
    assert parse_model_service(manifest, strict=True).metadata.name == name


def test_write_service_updates_the_model_alone(tmp_path: Path) -> None:
    path = tmp_path / "spam.yaml"
    before = build_service(REFERENCE, IMAGE, ServiceOptions(name="mine"))
    before["spec"]["replicas"] = 3
    before["spec"]["model"]["name"] = "spam"
    path.write_text(render_service(before))
    other = REFERENCE.pinned(f"sha256:{'c' * 64}")
    write_service(path, other, PackedModel("model.onnx", "d" * 64, is_image=False), ServiceOptions())
    after = yaml.safe_load(path.read_text())
    assert after["metadata"] == {"name": "mine"}
    assert after["spec"] == {
        "model": {
            "storageUri": f"oci://registry.example.com/team/spam@sha256:{'c' * 64}",
            "sha256": "d" * 64,
            "name": "spam",
        },
        "replicas": 3,
    }


def test_write_service_keeps_comments_and_order(tmp_path: Path) -> None:
    path = tmp_path / "spam.yaml"
    before = (
        "# Ours.\nkind: ModelService\napiVersion: modelservice.dev/v1alpha1\n"
        "metadata: {name: spam}  # short\nspec:\n  replicas: 3\n  model:\n    # The newest.\n"
        "    storageUri: oci://r.example/spam:1  # pinned\n    name: spam\n"
    )
    path.write_text(before)
    write_service(path, REFERENCE, PLAIN, ServiceOptions())
    first = path.read_text()
    assert first == before.replace("r.example/spam:1", str(REFERENCE)).replace(
        "# pinned\n", f"# pinned\n    sha256: {'b' * 64}\n"
    )
    other = PackedModel("model.onnx", "d" * 64, is_image=False)
    write_service(path, REFERENCE, other, ServiceOptions())
    assert path.read_text() == first.replace("b" * 64, "d" * 64)


@pytest.mark.parametrize("model", [PLAIN, IMAGE])
def test_write_service_in_braces_is_written_anew(tmp_path: Path, model: PackedModel) -> None:
    path = tmp_path / "spam.yaml"
    head = "{apiVersion: modelservice.dev/v1alpha1, kind: ModelService, metadata: {name: spam}, spec: "
    path.write_text(head + "{model: {storageUri: 'oci://r.example/spam:1'}}}")
    write_service(path, REFERENCE, model, ServiceOptions())
    found = yaml.safe_load(path.read_text())["spec"]["model"]
    assert (found["sha256"], "imageVolume" in found) == (model.sha256, model.is_image)


@pytest.mark.parametrize(
    "text", ["[1]", "kind: Service\nspec: {model: {}}", "kind: ModelService", "a: [", ""]
)
def test_write_service_never_replaces_another_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError):
        write_service(path, REFERENCE, PLAIN, ServiceOptions())
    assert path.read_text() == text
