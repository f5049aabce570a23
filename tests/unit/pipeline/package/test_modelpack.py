"""The artifact is what CNCF's model specification asks for."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit.pipeline.package.folders import FILES, write

from modelservice_pipeline.oci.content import Content
from modelservice_pipeline.package.modelpack import format_parameters
from modelservice_pipeline.package.opening import pack, read_and_describe

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def _only(required: tuple[str, ...] = (), **properties: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": list(required),
    }


# What schema/config-schema.json of github.com/modelpack/model-spec v0.0.7 allows of what we could write.
CONFIG = _only(
    ("descriptor", "config", "modelfs"),
    descriptor=_only(
        name={"type": "string", "minLength": 1},
        version=_TEXT,
        title=_TEXT,
        description=_TEXT,
        licenses=_TEXTS,
    ),
    config=_only(architecture=_TEXT, format=_TEXT, paramSize=_TEXT, precision=_TEXT, quantization=_TEXT),
    modelfs=_only(
        ("type", "diffIds"),
        type={"enum": ["layers"]},
        diffIds={"type": "array", "items": _TEXT, "minItems": 1},
    ),
)


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return pack(*read_and_describe(write(tmp_path / "model", FILES)))


def config_of(content: Content) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(content.config.read()))
    return found


def test_config_fits_the_schema(content: Content) -> None:
    jsonschema.Draft202012Validator(CONFIG).validate(config_of(content))


def test_config_of_a_model_without_anything_fits_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", {"model.onnx.age": b"age-encryption.org/v1\n"})
    content = pack(*read_and_describe(folder))
    jsonschema.Draft202012Validator(CONFIG).validate(config_of(content))


def test_config_says_what_the_model_is(content: Content) -> None:
    found = config_of(content)
    assert found["descriptor"] == {"name": "Grüße", "licenses": ["MIT"]}
    assert found["config"] == {"format": "onnx", "paramSize": "4.1K", "precision": "float32"}
    assert found["modelfs"]["diffIds"] == [layer.digest for layer in content.layers]


def test_manifest_has_the_types_of_the_specification(content: Content) -> None:
    manifest = content.manifest
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    kinds = {
        layer.annotations["org.cncf.model.filepath"]: layer.media_type.removeprefix(
            "application/vnd.cncf.model."
        )
        for layer in content.layers
    }
    assert kinds == {
        "LICENSE": "doc.v1.raw",
        "README.md": "doc.v1.raw",
        "config.json": "weight.config.v1.raw",
        "model.onnx": "weight.v1.raw",
        "model.onnx.data": "weight.v1.raw",
        "parity.json": "weight.config.v1.raw",
        "rows.csv": "dataset.v1.raw",
        "tokenizer/tokenizer.json": "weight.config.v1.raw",
        "train.py": "code.v1.raw",
    }


def test_layers_have_the_titles_of_oras_too_in_order(content: Content) -> None:
    titles = [layer.annotations["org.opencontainers.image.title"] for layer in content.layers]
    assert titles == sorted(FILES)


def test_files_with_equal_bytes_keep_their_names(tmp_path: Path) -> None:
    content = pack(*read_and_describe(write(tmp_path / "model", FILES | {"a.txt": b"", "b.txt": b""})))
    titles = [layer.annotations["org.opencontainers.image.title"] for layer in content.layers]
    assert titles == sorted([*FILES, "a.txt", "b.txt"])


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (999, ""), (1000, "1K"), (1_550_000, "1.6M"), (6_700_000_000, "6.7B"), (10**12, "1T")],
)
def test_format_parameters_as_the_specification_writes_them(count: int, text: str) -> None:
    assert format_parameters(count) == text
