"""From pydantic's JSON schema to a structural schema, the dialect that Kubernetes accepts in a CRD.

A structural schema has no references, no `anyOf` with null, no titles and no
`additionalProperties: false`; every value has a type and, here, a bound.
Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.api.types.base import ApiModel

Schema = dict[str, Any]

_LARGEST_INT32 = 2**31 - 1
# Everything else (title, default, $defs) is pydantic's own and has no meaning in a CRD.
_KEPT = (
    "description",
    "type",
    "enum",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
)


def structural_schema(model: type[ApiModel]) -> Schema:
    """Return the structural schema of an API model."""
    source = model.model_json_schema(by_alias=True)
    return _convert(source, source.get("$defs", {}))


def _convert(source: Schema, definitions: Mapping[str, Schema]) -> Schema:
    source = _resolve(source, definitions)
    schema = {key: source[key] for key in _KEPT if key in source}
    if "const" in source:
        schema["enum"] = [source["const"]]
    if schema.get("type") == "array":
        schema["items"] = _convert(source["items"], definitions)
        schema["x-kubernetes-list-type"] = "atomic"
    if schema.get("type") == "integer":
        schema["format"] = "int32" if schema["maximum"] <= _LARGEST_INT32 else "int64"
    if "properties" in source:
        properties = source["properties"].items()
        schema["properties"] = {name: _convert(value, definitions) for name, value in properties}
        schema |= {"required": sorted(source["required"])} if source.get("required") else {}
    elif "additionalProperties" in source:
        schema["additionalProperties"] = _convert(source["additionalProperties"], definitions)
    return schema | {key: value for key, value in source.items() if key.startswith("x-kubernetes-")}


def _resolve(source: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Follow a reference or the non-null side of an optional; the field's own description wins."""
    own = {key: value for key, value in source.items() if key == "description" or key.startswith("x-")}
    if "$ref" in source:
        return _resolve(definitions[source["$ref"].removeprefix("#/$defs/")], definitions) | own
    if "anyOf" in source and not source.get("x-kubernetes-int-or-string"):
        (present,) = [option for option in source["anyOf"] if option.get("type") != "null"]
        return _resolve(present, definitions) | own
    return source
