"""The ModelService of a pushed model: valid, by digest, and what stood in the file stays."""

import hashlib
from pathlib import Path

import pytest
import yaml
from tests.unit.pipeline.package.folders import PLAIN as PLAIN_MODEL
from tests.unit.pipeline.package.folders import write

from modelservice_operator.api import parse_model_service
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import Content
from modelservice_pipeline.oci.reference import parse_reference
from modelservice_pipeline.package.files import PackedModel, find_model
from modelservice_pipeline.package.image import build_image
from modelservice_pipeline.package.modelpack import build_modelpack
from modelservice_pipeline.package.opening import read_and_describe
from modelservice_pipeline.package.service import (
    API_VERSION,
    KIND,
    ServiceOptions,
    build_service,
    default_name,
    render_service,
    update_service,
    write_service,
)

REFERENCE = parse_reference(f"registry.example.com/team/spam@sha256:{'a' * 64}")
PLAIN = PackedModel("model.onnx", "b" * 64, is_image=False)
IMAGE = PackedModel("models/1/model.onnx", "b" * 64, is_image=True)


def pack(folder: Path, names: tuple[str, ...], *, is_image: bool) -> tuple[str, Content]:
    """Package a folder; returns the name of its model's file too."""
    write(folder, {name: PLAIN_MODEL if name.endswith(".onnx") else b"{}" for name in names})
    found, description = read_and_describe(folder)
    build = build_image if is_image else build_modelpack
    return found.model.rpartition("/")[2], build(found, description)


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
    ("names", "is_image"),
    [
        (("model.onnx", "genai_config.json"), False),
        (("a/decoder.onnx", "a/genai_config.json", "a/tokenizer.json"), False),
        (("decoder.onnx", "genai_config.json"), True),
    ],
)
def test_a_folder_that_generates_text_is_served_so(
    tmp_path: Path, names: tuple[str, ...], is_image: bool
) -> None:
    model, content = pack(tmp_path, names, is_image=is_image)
    found = find_model(content)
    assert found.path.endswith(model)  # genai_config.json names it
    spec = build_service(REFERENCE, found, ServiceOptions())["spec"]
    assert spec["generation"] == {}
    settings = {"generation": {"maxSequences": 2}, "model": {"storageUri": "oci://r.example/a:1"}}
    before = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "chat"}, "spec": settings}
    assert update_service(before, REFERENCE, found, ServiceOptions())["spec"]["generation"] == {
        "maxSequences": 2
    }
    del settings["generation"]
    assert update_service(before, REFERENCE, found, ServiceOptions())["spec"]["generation"] == {}


ADAPTED = ("model.onnx", "genai_config.json", "adapters/law.onnx_adapter", "adapters/poet.onnx_adapter")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_adapters_beside_the_model_are_named_with_their_digests(tmp_path: Path) -> None:
    pack(tmp_path, ADAPTED, is_image=False)
    (tmp_path / "adapters/poet.onnx_adapter").write_bytes(b"poet")
    found, description = read_and_describe(tmp_path)
    model = find_model(build_modelpack(found, description))
    spec = build_service(REFERENCE, model, ServiceOptions(secret="regcred"))["spec"]

    where = {"storageUri": f"oci://{REFERENCE}", "credentials": {"secretName": "regcred"}}
    assert spec["generation"] == {
        "adapters": [
            {"name": "law", **where, "file": "law.onnx_adapter", "sha256": _sha256(b"{}")},
            {"name": "poet", **where, "file": "poet.onnx_adapter", "sha256": _sha256(b"poet")},
        ]
    }
    # An image is mounted, and nothing is fetched from it.
    image = find_model(build_image(found, description))
    assert build_service(REFERENCE, image, ServiceOptions())["spec"]["generation"] == {}


def test_adapters_of_the_artifact_before_move_with_the_model_and_others_stay(tmp_path: Path) -> None:
    model = find_model(pack(tmp_path, ADAPTED, is_image=False)[1])
    before, elsewhere = "oci://r.example/chat@sha256:" + "c" * 64, "s3://adapters/x.onnx_adapter"
    adapters = [
        {
            "name": "lawyer",
            "storageUri": before,
            "file": "law.onnx_adapter",
            "sha256": "d" * 64,
            "maxSize": 9,
        },
        {"name": "x", "storageUri": elsewhere},
        {"name": "gone", "storageUri": before, "file": "gone.onnx_adapter"},
    ]
    spec = {"model": {"storageUri": before}, "generation": {"maxSequences": 2, "adapters": adapters}}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "chat"}, "spec": spec}
    moved = {"storageUri": f"oci://{REFERENCE}", "sha256": _sha256(b"{}")}

    updated = update_service(manifest, REFERENCE, model, ServiceOptions())
    assert updated["spec"]["generation"] == {
        "maxSequences": 2,
        "adapters": [
            {"name": "lawyer", "file": "law.onnx_adapter", "maxSize": 9, **moved},
            *adapters[1:],
            {"name": "poet", "file": "poet.onnx_adapter", **moved},
        ],
    }
    assert update_service(updated, REFERENCE, model, ServiceOptions()) == updated
    adapters[0] = {"name": "law", "storageUri": elsewhere}  # that name is taken
    names = [
        (one["name"], one["storageUri"] == elsewhere)
        for one in update_service(manifest, REFERENCE, model, ServiceOptions())["spec"]["generation"][
            "adapters"
        ]
    ]
    assert names == [("law", True), ("x", True), ("gone", False), ("poet", False)]


def test_settings_that_are_none_are_named_by_the_api(tmp_path: Path) -> None:
    model = find_model(pack(tmp_path, ADAPTED, is_image=False)[1])
    for odd in (3, {"adapters": 3}, {"adapters": [3]}):
        spec = {"model": {"storageUri": "oci://r.example/a:1"}, "generation": odd}
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "chat"}, "spec": spec}
        with pytest.raises(PipelineError, match=r"spec\.generation"):
            update_service(manifest, REFERENCE, model, ServiceOptions())


@pytest.mark.parametrize("is_image", [False, True])
def test_a_model_of_tensors_beside_another_folder_is_none_of_them(tmp_path: Path, is_image: bool) -> None:
    _, content = pack(tmp_path, ("model.onnx", "other/genai_config.json"), is_image=is_image)
    assert "generation" not in build_service(REFERENCE, find_model(content), ServiceOptions())["spec"]


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


ADAPTER = {"law.onnx_adapter": "e" * 64}
GENERATED = PackedModel("model.onnx", "b" * 64, is_image=False, generates=True, adapters=ADAPTER)
CHAT = """\
# Ours.
apiVersion: modelservice.dev/v1alpha1
kind: ModelService
metadata: {name: chat}  # short
spec:
  model: {storageUri: "oci://r.example/chat:1", name: chat}  # braces
SETTINGS
  # How much it gets.
  resources: {requests: {cpu: 1}}
"""
ITEM = (
    f"name: law\n      storageUri: oci://{REFERENCE}\n      file: law.onnx_adapter\n"
    f"      sha256: {'e' * 64}\n"
)
MODEL = f'{{storageUri: "oci://{REFERENCE}", sha256: {"b" * 64}, name: chat}}'


@pytest.mark.parametrize(
    ("settings", "edited"),
    [
        ("  generation: {}  # the defaults", f"  generation:  # the defaults\n    adapters:\n    - {ITEM}"),
        (
            "  generation:\n    maxSequences: 2  # few",
            f"  generation:\n    maxSequences: 2  # few\n    adapters:\n    - {ITEM}",
        ),
        (
            "  generation:\n    adapters:  # all\n    - {name: x, storageUri: s3://adapters/x}  # his",
            (
                "  generation:\n    adapters:  # all\n    - {name: x, storageUri: s3://adapters/x}  # his\n"
                f"    - {ITEM}"
            ),
        ),
        (
            (
                "  generation:\n    adapters:\n    # Ours.\n    - name: law  # the first\n"
                "      storageUri: oci://r.example/chat:1\n      file: law.onnx_adapter"
            ),
            f"  generation:\n    adapters:\n    # Ours.\n    - {ITEM.replace('law', 'law  # the first', 1)}",
        ),
    ],
)
def test_write_service_names_adapters_and_keeps_comments(tmp_path: Path, settings: str, edited: str) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text(CHAT.replace("SETTINGS", settings))
    write_service(path, REFERENCE, GENERATED, ServiceOptions())
    expected = CHAT.replace("SETTINGS\n", edited)
    assert path.read_text() == expected.replace('{storageUri: "oci://r.example/chat:1", name: chat}', MODEL)


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
