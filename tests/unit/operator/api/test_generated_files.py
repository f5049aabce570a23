"""What the generator makes of the models, and that the committed files are its work."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hack.generate.crds import (
    model_runtime_crd,
    model_service_crd,
    runtime_rollout_crd,
    to_yaml,
    without_descriptions,
)
from hack.generate.reference import reference_page
from pydantic.alias_generators import to_camel
from tests.support.manifests import DATA

from modelservice_operator.api import ModelServiceSpec, ModelServiceStatus
from modelservice_operator.api.types.base import ApiModel

ROOT = DATA.parents[2]
CRDS = [model_service_crd(), model_runtime_crd(), runtime_rollout_crd()]
KEYWORDS_OF_STRUCTURAL_SCHEMAS = {
    "type", "description", "properties", "required", "items", "additionalProperties", "enum", "format",
    "default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
    "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type", "x-kubernetes-int-or-string",
}  # fmt: skip


def kind(crd: dict[str, Any]) -> str:
    return str(crd["spec"]["names"]["kind"])


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[{word}]")


def fields(crd: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every value below spec and status: the rest of the object belongs to Kubernetes."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return [node for part in ("spec", "status") if part in schema for node in nodes(schema[part], part)]


@pytest.mark.parametrize("crd", CRDS, ids=kind)
def test_committed_files_are_generated(crd: dict[str, Any]) -> None:
    names = crd["spec"]["names"]
    for folder in ("crds", "charts/modelservice-operator/files/crds"):
        assert (ROOT / folder / f"{names['plural']}.yaml").read_text(encoding="utf-8") == to_yaml(crd)
    page = ROOT / "docs" / "reference" / f"{names['singular']}.md"
    assert page.read_text(encoding="utf-8") == reference_page(crd)


@pytest.mark.parametrize("crd", CRDS, ids=kind)
def test_crd_stays_small(crd: dict[str, Any]) -> None:
    # Client-side apply keeps a copy in an annotation, as Go writes JSON; annotations have 256 KiB together.
    text = json.dumps(crd, separators=(",", ":"), ensure_ascii=False)
    size_bytes = len(text.encode()) + 5 * sum(map(text.count, "<>&"))  # each is written as six letters
    assert size_bytes < 256 * 1024 - 6_000  # and others have annotations too


@pytest.mark.parametrize("crd", CRDS, ids=kind)
def test_versions_differ_in_their_names_and_explanations_alone(crd: dict[str, Any]) -> None:
    preferred, stored = crd["spec"]["versions"]
    assert (preferred["name"], stored["name"]) == ("v1beta1", "v1alpha1")
    assert (preferred["storage"], stored["storage"]) == (False, True)
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    schemas = [one["schema"]["openAPIV3Schema"] for one in (preferred, stored)]
    assert without_descriptions(schemas[0]) == without_descriptions(schemas[1]) == schemas[1]
    assert preferred.get("subresources") == stored.get("subresources")
    columns = [
        [(column["name"], column["jsonPath"], column["type"]) for column in one["additionalPrinterColumns"]]
        for one in (preferred, stored)
    ]
    assert columns[0] == columns[1]


def test_without_descriptions_keeps_fields_of_that_name() -> None:
    text = {"type": "string", "description": "a text"}
    schema = {"type": "object", "description": "a", "properties": {"description": text, "items": text}}
    listed = {"type": "array", "items": schema, "description": "b"}
    bare = {"type": "string"}
    assert without_descriptions(listed) == {
        "type": "array",
        "items": {"type": "object", "properties": {"description": bare, "items": bare}},
    }


@pytest.mark.parametrize("crd", CRDS, ids=kind)
def test_schema_is_structural(crd: dict[str, Any]) -> None:
    for path, schema in fields(crd):
        assert set(schema) <= KEYWORDS_OF_STRUCTURAL_SCHEMAS, path
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert schema.get("type") != "number", path


@pytest.mark.parametrize("crd", CRDS, ids=kind)
def test_schema_bounds_everything(crd: dict[str, Any]) -> None:
    bounds = {"string": "maxLength", "array": "maxItems", "integer": "maximum"}
    for path, schema in fields(crd):
        kind_of_value = schema.get("type", "string")
        if kind_of_value in bounds and "enum" not in schema:
            assert bounds[kind_of_value] in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


@pytest.mark.parametrize("crd", CRDS, ids=kind)
def test_every_field_is_described(crd: dict[str, Any]) -> None:
    undescribed = [
        path for path, schema in fields(crd) if not path.endswith("]") and not schema.get("description")
    ]
    assert undescribed == []


def test_only_default_in_the_schema_is_replicas() -> None:
    defaults = {
        path: schema["default"] for crd in CRDS for path, schema in fields(crd) if "default" in schema
    }
    assert defaults == {"spec.replicas": 1}


@pytest.mark.parametrize("model", [ModelServiceSpec, ModelServiceStatus])
def test_schema_has_every_field_of_the_model(model: type[ApiModel]) -> None:
    part = "spec" if model is ModelServiceSpec else "status"
    schema = CRDS[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    assert set(schema["properties"]) == {to_camel(name) for name in model.model_fields}
