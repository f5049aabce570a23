"""Validation rules in both of their forms: CEL for the API server, Python for everything else.

A rule is written once and carries one sentence, so that `kubectl apply`, `modelservice serve -f` and
the Ready condition say the same. Regular expressions stay in the common part of RE2 and `re`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo

VALIDATIONS = "x-kubernetes-validations"
IS_STORED = "is_stored"
"""Key of the validation context: the object was accepted before, so it may break newer rules."""
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: put it into `Annotated[...]` for a value, or into `rules` of an `ApiModel`.

    `cel` and `check` decide the same; `check` gets the parsed value, with code defaults filled in.
    `echo` shows the refused value (never for values that may carry a secret). `field_path` (`.sha256`)
    moves the complaint of a model's rule to one of its fields.

    `spares_stored` is for rules that came later than the API: what was stored before goes on running. The API
    server itself asks no rule again whose value is written as it was; a rule of an object that is written
    often says in `stored_cel`, of `oldSelf.value()`, what may be written again.
    """

    cel: str
    message: str
    check: Callable[[Any], bool]
    field_path: str = ""
    echo: bool = True
    spares_stored: bool = False
    stored_cel: str = ""

    def as_validation(self) -> dict[str, str | bool]:
        """Return the rule as an item of `x-kubernetes-validations`."""
        validation: dict[str, str | bool] = {"rule": self.cel, "message": self.message}
        if self.stored_cel:
            validation["rule"] = f"({self.cel}) || (oldSelf.hasValue() && {self.stored_cel})"
            validation["optionalOldSelf"] = True
        return {**validation, "fieldPath": self.field_path} if self.field_path else validation

    def applies(self, info: ValidationInfo) -> bool:
        """Return whether the rule is asked about the object that is being parsed."""
        return not (self.spares_stored and (info.context or {}).get(IS_STORED, False))

    def sentence(self, value: object) -> str:
        """Return the message for a refused value."""
        return f"{self.message}, got {shorten(value)}" if self.echo else self.message

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def validate(value: Any, info: ValidationInfo) -> Any:
            if self.applies(info) and not self.check(value):
                raise PydanticCustomError("rule", "{sentence}", {"sentence": self.sentence(value)})
            return value

        return core_schema.with_info_after_validator_function(validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        json_schema = handler(schema)
        return {**json_schema, VALIDATIONS: [*json_schema.get(VALIDATIONS, ()), self.as_validation()]}


def shorten(value: object) -> str:
    """Return `repr(value)`, cut to a length that fits into a sentence."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def quote(text: str) -> str:
    """Return `text` as a CEL string literal."""
    return json.dumps(text, ensure_ascii=False)


def must_match(pattern: str, message: str, *, prefix: str = "", echo: bool = True) -> Rule:
    """A string that, where it starts with `prefix`, matches `pattern` as a whole."""
    compiled = re.compile(pattern)
    cel = f"self.matches({quote(f'^(?:{pattern})$')})"
    return Rule(
        cel=f"!self.startsWith({quote(prefix)}) || {cel}" if prefix else cel,
        message=message,
        check=lambda value: not value.startswith(prefix) or compiled.fullmatch(value) is not None,
        echo=echo,
    )


def must_not_contain(pattern: str, message: str, *, echo: bool = True) -> Rule:
    """A string in which `pattern` is found nowhere."""
    compiled = re.compile(pattern)
    return Rule(
        cel=f"!self.matches({quote(pattern)})",
        message=message,
        check=lambda value: compiled.search(value) is None,
        echo=echo,
    )


def keys_must_match(pattern: str, message: str) -> Rule:
    """A map whose keys all match `pattern` as a whole."""
    compiled = re.compile(pattern)
    return Rule(
        cel=f"self.all(key, key.matches({quote(f'^(?:{pattern})$')}))",
        message=message,
        check=lambda value: all(compiled.fullmatch(key) for key in value),
    )


def values_must_match(pattern: str, message: str) -> Rule:
    """A map of strings whose values all match `pattern` as a whole."""
    compiled = re.compile(pattern)
    return Rule(
        cel=f"self.all(key, self[key].matches({quote(f'^(?:{pattern})$')}))",
        message=message,
        check=lambda value: all(compiled.fullmatch(item) for item in value.values()),
    )


def keys_must_not_contain(pattern: str, message: str) -> Rule:
    """A map in none of whose keys `pattern` is found."""
    compiled = re.compile(pattern)
    return Rule(
        cel=f"self.all(key, !key.matches({quote(pattern)}))",
        message=message,
        check=lambda value: not any(compiled.search(key) for key in value),
    )
