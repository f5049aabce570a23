"""From a manifest to typed objects: the only place where a raw spec is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from modelservice_operator.api.errors import InvalidSpec, Problem
from modelservice_operator.api.modelruntime import ModelRuntime
from modelservice_operator.api.modelservice import ModelService, ModelServiceSpec
from modelservice_operator.api.runtimerollout import RuntimeRollout
from modelservice_operator.api.spec.network import NetworkPolicySpec
from modelservice_operator.api.types.kubernetes import ObjectMeta
from modelservice_operator.api.types.rules import IS_STORED, shorten
from modelservice_operator.facts.labels import GROUP, SERVED_VERSIONS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from modelservice_operator.api.types.base import ApiModel

Model = TypeVar("Model", bound="ApiModel")

_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_MAPS = frozenset({"annotations", "labels", "limits", "matchLabels", "nodeSelector", "requests"})
"""Fields whose keys are the user's."""
_API_VERSIONS = tuple(f"{GROUP}/{version}" for version in SERVED_VERSIONS)
_PLAIN = frozenset({str, int, float, bool})
_UNKNOWN = "extra_forbidden"
"""What pydantic calls a field that it does not know."""
_TOP_LEVEL = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def parse_model_service(
    obj: Mapping[str, Any], *, strict: bool = False, is_stored: bool = False
) -> ModelService:
    """Return the ModelService of a manifest or of an object as the API server gave it.

    `strict` refuses unknown fields, as kubectl does; without it they are ignored, so that an object of
    a newer API can be read. `is_stored` says that it was accepted before: rules that came later spare it.

    Raises:
        InvalidSpec: with every bad field.

    """
    return _parse(obj, ModelService, strict=strict, is_stored=is_stored)


def parse_model_runtime(obj: Mapping[str, Any], *, strict: bool = False) -> ModelRuntime:
    """Return the ModelRuntime of a manifest; the arguments and errors are those of `parse_model_service`."""
    return _parse(obj, ModelRuntime, strict=strict)


def parse_runtime_rollout(obj: Mapping[str, Any], *, strict: bool = False) -> RuntimeRollout:
    """Return the RuntimeRollout of a manifest; arguments and errors are those of `parse_model_service`."""
    return _parse(obj, RuntimeRollout, strict=strict)


def parse_network_policy(obj: object) -> NetworkPolicySpec:
    """Return the NetworkPolicy that an operator's setting describes; unknown fields are refused.

    Raises:
        InvalidSpec: with every bad field.

    """
    try:
        return NetworkPolicySpec.model_validate(obj, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InvalidSpec(tuple(one for detail in details for one in _as_problems(detail))) from None


def parse_part(obj: Mapping[str, Any], field: str, kind: type[Model]) -> Model | None:
    """Return one field of the spec, whatever the others are; None where it is missing or invalid itself."""
    spec = obj.get("spec")
    part = spec.get(field) if isinstance(spec, Mapping) else None
    try:
        return (
            None if part is None else kind.model_validate(_without_nulls(part), by_alias=True, by_name=False)
        )
    except ValidationError:
        return None


def unknown_fields(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of a ModelService's spec that this API does not have, whatever else is in it."""
    try:
        ModelServiceSpec.model_validate(
            _without_nulls(spec), extra="forbid", by_alias=True, by_name=False, context={IS_STORED: True}
        )
    except ValidationError as error:
        found = [detail["loc"] for detail in error.errors(include_url=False) if detail["type"] == _UNKNOWN]
        return tuple(format_path(("spec", *location)) for location in found)
    return ()


def _parse(obj: Mapping[str, Any], kind: type[Model], *, strict: bool, is_stored: bool = False) -> Model:
    problems = list(_identity_problems(obj, kind.__name__, strict=strict))
    parts = {part: obj[part] for part in ("metadata", "spec") if part in obj}
    if isinstance(parts.get("metadata"), Mapping):
        parts["metadata"] = _known_metadata(parts["metadata"])
    parts = {part: _without_nulls(value) for part, value in parts.items()}
    try:
        parsed = kind.model_validate(
            parts,
            extra="forbid" if strict else "ignore",
            by_alias=True,
            by_name=False,
            context={IS_STORED: is_stored},
        )
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [problem for detail in details for problem in _as_problems(detail)]
        raise InvalidSpec(tuple(problems)) from None
    if problems:
        raise InvalidSpec(tuple(problems))
    return parsed


def _identity_problems(obj: Mapping[str, Any], kind: str, *, strict: bool) -> Iterator[Problem]:
    for field, expected in (("apiVersion", _API_VERSIONS), ("kind", (kind,))):
        if obj.get(field) not in expected:
            yield Problem(field, f"expected {' or '.join(expected)}, got {shorten(obj.get(field))}")
    if strict:
        for field in sorted(set(obj) - _TOP_LEVEL):
            yield Problem(str(field), "unknown field: remove it, or correct its spelling")


def _without_nulls(value: Any) -> Any:
    """Return `value` without null fields: to the API server, null is a field that was left out."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _known_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that we read; Kubernetes owns the rest and judges it."""
    aliases = {field.alias for field in ObjectMeta.model_fields.values()}
    return {key: value for key, value in metadata.items() if key in aliases}


def _as_problems(detail: ErrorDetails) -> list[Problem]:
    path = format_path(detail["loc"])
    if detail["type"] == "rules":
        return [Problem(path + field, message) for field, message in detail["ctx"]["broken"]]
    context: Mapping[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    # pydantic counts only the valid items: with a bad item the list is no longer long enough for it.
    if detail["type"] == "too_short" and len(value) >= context["min_length"]:
        return []
    sentence = _SENTENCES.get(detail["type"])
    return [Problem(path, sentence(context, value) if sentence else detail["msg"])]


def format_path(location: Sequence[int | str]) -> str:
    """Return a path as Kubernetes writes it: `spec.scheduling.tolerations[0].key`, `requests[cpu]`."""
    path = ""
    for before, part in zip(("", *location), location, strict=False):
        if isinstance(part, int) or before in _MAPS or not _IDENTIFIER.fullmatch(part):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def _expected(what: str) -> Callable[[Mapping[str, Any], object], str]:
    def sentence(context: Mapping[str, Any], value: object) -> str:
        shown = "null" if value is None else shorten(value)
        return f"expected {what.format(**context)}, got {shown}"

    return sentence


_SENTENCES: dict[str, Callable[[Mapping[str, Any], object], str]] = {
    "missing": lambda _context, _value: "required: add it",
    _UNKNOWN: lambda _context, _value: "unknown field: remove it, or correct its spelling",
    "model_type": _expected("an object"),
    "dict_type": _expected("an object"),
    "tuple_type": _expected("a list"),
    "string_type": _expected("a string (in quotes)"),
    "bool_type": _expected("true or false"),
    "int_type": _expected("a whole number"),
    "int_from_float": _expected("a whole number"),
    "literal_error": _expected("{expected}"),
    "greater_than_equal": _expected("at least {ge}"),
    "less_than_equal": _expected("at most {le}"),
    "string_too_short": _expected("at least {min_length} characters"),
    "string_too_long": _expected("at most {max_length} characters"),
    "too_short": _expected("at least {min_length} items"),
    "too_long": _expected("at most {max_length} items"),
}
