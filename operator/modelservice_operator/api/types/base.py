"""The base of every API model, and the value types that several of them share."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

from modelservice_operator.api.types.rules import (
    VALIDATIONS,
    Rule,
    keys_must_match,
    must_match,
    quote,
    values_must_match,
)
from modelservice_operator.facts.text.quantity import canonical_quantity, parse_quantity

LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
ATOMIC_MAP = {MAP_TYPE: "atomic"}
INT_OR_STRING = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
    "maxLength": 32,
}


class ApiModel(BaseModel):
    """An immutable object of the API: snake_case in Python, camelCase in manifests."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules that look at several fields."""

    @model_validator(mode="after")
    def _obey_rules(self, info: ValidationInfo) -> Self:
        if not self.rules:
            return self
        asked = [rule for rule in self.rules if rule.applies(info)]
        broken = [(rule.field_path, rule.message) for rule in asked if not rule.check(self)]
        if broken:
            raise PydanticCustomError("rules", "{broken}", {"broken": broken})
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        json_schema = handler.resolve_ref_schema(handler(schema))
        if cls.rules:
            json_schema[VALIDATIONS] = [rule.as_validation() for rule in cls.rules]
        return json_schema

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the object itself, which nothing changes: pydantic copies each default that it uses."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the object as Kubernetes takes it: camelCase keys, lists, unset fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


Model = TypeVar("Model", bound=ApiModel)


def _none_if_empty(value: Model | None) -> Model | None:
    return None if value is None or value == type(value)() else value


NoneIfEmpty = AfterValidator(_none_if_empty)
"""For optional objects in which `{}` says no more than leaving them out."""

NoneIfBlank = AfterValidator(lambda value: value or None)
"""For optional strings in which `""` says no more than leaving them out."""


def unique_by(field: str) -> AfterValidator:
    """Annotation of a map-keyed list: the API server's `x-kubernetes-list-map-keys` does the same."""

    def validate(items: tuple[Model, ...]) -> tuple[Model, ...]:
        if len({getattr(item, field) for item in items}) < len(items):
            raise PydanticCustomError(
                "unique", "{sentence}", {"sentence": f"each {field} is listed at most once"}
            )
        return items

    return AfterValidator(validate)


def list_map(field: str, maximum: int, minimum: int = 0) -> Any:
    """Annotation of a list of at most `maximum` objects that are known by `field`."""
    extra: dict[str, Any] = {LIST_TYPE: "map", LIST_MAP_KEYS: [field]}
    return Field(min_length=minimum or None, max_length=maximum, json_schema_extra=extra)


def between(minimum: int, maximum: int) -> Any:
    """Annotation of a whole number from `minimum` to `maximum`."""
    return Field(strict=True, ge=minimum, le=maximum)


def limited(maximum: int) -> Any:
    """Annotation of a string of at most `maximum` characters."""
    return Field(max_length=maximum)


LABEL_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
DNS_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DNS_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
QUALIFIED_NAME = f"({DNS_SUBDOMAIN}/)?{LABEL_NAME}"

_NAME_EXPECTED = "expected a name of lower-case letters, digits, '-' and '.'"
ObjectName = Annotated[str, Field(max_length=253), must_match(DNS_SUBDOMAIN, _NAME_EXPECTED)]
"""The name of another Kubernetes object (RFC 1123 subdomain)."""

OptionalObjectName = Annotated[str, Field(max_length=253), must_match(f"({DNS_SUBDOMAIN})?", _NAME_EXPECTED)]
"""The same, or an empty string for none."""

_LABEL_VALUE_EXPECTED = (
    "expected label values of at most 63 letters, digits, '-', '_' and '.', "
    "beginning and ending with a letter or digit"
)
LabelValue = Annotated[str, Field(max_length=63), must_match(f"({LABEL_NAME})?", _LABEL_VALUE_EXPECTED)]

LABEL_KEYS = keys_must_match(
    QUALIFIED_NAME, "expected keys such as team or example.com/team, their last part at most 63 characters"
)
LABEL_VALUES = values_must_match(f"({LABEL_NAME})?", _LABEL_VALUE_EXPECTED)
Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64), LABEL_KEYS, LABEL_VALUES
]

# A dot in brackets is shorter than one behind backslashes, which YAML, JSON and CEL would write out.
_FRACTION = r"([.][0-9]{1,9})?"
# Less than Kubernetes takes: no sign, and nothing from 1e21 on, which its canonical form gets wrong
# (1000E is stored as 1 by v1.37.1).
_QUANTITY = (
    rf"([0-9]{{1,18}}{_FRACTION}|[.][0-9]{{1,9}})([KMGTPE]i|[numk]|[eE][+-]?[0-9]{{1,2}})?"
    rf"|([0-9]{{1,6}}{_FRACTION}|[.][0-9]{{1,9}})[MGTP]"
)
_QUANTITY_RULE = Rule(
    cel=f"string(self).matches({quote(f'^(?:{_QUANTITY})$')})",
    message="expected a quantity such as 500m, 2 or 1.5Gi, not negative",
    check=lambda value: re.fullmatch(_QUANTITY, value) is not None,
)


def _whole_number_to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    sentence = "expected a whole number or a string in quotes"
    if isinstance(value, float):
        sentence += f': put quotes around it, "{value}"'
    raise PydanticCustomError("quantity_type", "{sentence}", {"sentence": sentence})


Quantity = Annotated[
    str,
    PlainValidator(_whole_number_to_text),
    WithJsonSchema(INT_OR_STRING),
    Field(max_length=32),
    _QUANTITY_RULE,
    AfterValidator(canonical_quantity),
]
"""A Kubernetes quantity, kept in the API server's canonical form."""


_PERCENT = "(0|[1-9][0-9]?|100)%"
_INT_OR_PERCENT_RULE = Rule(
    cel=f"type(self) == int ? self >= 0 && self <= 10000 : self.matches({quote(f'^{_PERCENT}$')})",
    message="expected a number of pods from 0 to 10000, or a percentage such as '25%', at most '100%'",
    check=lambda value: (
        0 <= value <= 10000 if isinstance(value, int) else re.fullmatch(_PERCENT, value) is not None
    ),
)


def positive_quantity(field: str, attribute: str, message: str) -> Rule:
    """Demand that an optional quantity of a model is more than 0; the arguments are as below."""
    cel = f"quantity(string(self.{field}))"

    def check(model: object) -> bool:
        value = getattr(model, attribute)
        return value is None or parse_quantity(value) > 0

    return Rule(
        cel=f"!has(self.{field}) || !isQuantity(string(self.{field})) || {cel}.isGreaterThan(quantity('0'))",
        message=message,
        check=check,
        field_path=f".{field}",
        spares_stored=True,
    )


def quantity_between(field: str, attribute: str, smallest: str, largest: str, expected: str) -> Rule:
    """Bound an optional quantity of a model; `field` is its name in YAML, `attribute` that in Python.

    What is no quantity at all is refused by the field's own rule, so it passes here.
    """
    cel = f"quantity(string(self.{field}))"

    def check(model: object) -> bool:
        value = getattr(model, attribute)
        return value is None or parse_quantity(smallest) <= parse_quantity(value) <= parse_quantity(largest)

    return Rule(
        cel=(
            f"!has(self.{field}) || !isQuantity(string(self.{field})) || "
            f"({cel}.compareTo(quantity('{smallest}')) >= 0 && {cel}.compareTo(quantity('{largest}')) <= 0)"
        ),
        message=f"expected {expected}",
        check=check,
        field_path=f".{field}",
    )


def int_or_text(value: object) -> int | str:
    """Return a whole number or a text; raises PydanticCustomError for anything else."""
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    raise PydanticCustomError("int_or_percent_type", "expected a whole number or a percentage in quotes")


IntOrPercent = Annotated[
    int | str, PlainValidator(int_or_text), WithJsonSchema(INT_OR_STRING), _INT_OR_PERCENT_RULE
]
"""A count of pods or a percentage of them, as in Deployments."""
