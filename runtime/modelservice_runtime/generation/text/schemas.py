"""JSON schemas as the library llguidance takes them, and those that are too large for it; pure."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, lcm
from typing import Any

from modelservice_runtime.errors import InvalidRequestError

_MAX_FIELDS = 500
MAX_PARTS = 10_000
# Where objects may become one, as they do by `allOf`: 4,400 fields of nine took 2.2 s, 1,800 took 0.4.
_MAX_COMBINED_FIELDS = 1500
_COMBINING = frozenset({"allOf", "anyOf", "oneOf", "$ref"})
_COMBINED = frozenset(
    {"additionalProperties", "items", "pattern", "patternProperties", "prefixItems", "properties"}
)
# Where all have to fit one text: the library's time doubles with each, 12 took a second.
_MAX_COMBINED_PATTERNS = 10
# Its time grows by the square of a pattern's length: so many took 0.9 s, 60,000 took 11.
_MAX_PATTERN_CHARACTERS = 16 * 1024
# Each is compared with each of the others.
_MAX_NAME_PATTERNS = 32
# The library makes a state of each remainder, in no limit of its own; those of powers of 2 and 5 are few.
_MAX_REMAINDERS = 1000
_OPTIONS: Mapping[str, object] = {
    # A weak model writes spaces for ever where it may; indented JSON needs some.
    "whitespace_pattern": r"[ \n\r\t]{1,20}",
    # Takes `oneOf` as `anyOf` where the library cannot prove that no text fits two of them.
    "coerce_one_of": True,
}
# Which formats the library follows; any other says what a text means (JSON Schema 2020-12, Validation, 7.2).
FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
)
# The library counts in 64 bits: what numbers may be is made narrower to that, so what it allows still fits.
_MAX_BOUND = 9 * 10**18
_LOWEST, _HIGHEST = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
# Which dialects the library knows; any other it would want to fetch.
_DIALECT = re.compile(
    r"(http://json-schema\.org/draft-0[467]|https://json-schema\.org/draft/20(19-09|20-12))/schema#?"
)
# Whose values are names with schemas, and whose are values as they stand in texts.
_NAMED = frozenset({"$defs", "definitions", "patternProperties", "properties"})
_VALUES = frozenset({"const", "default", "enum", "example", "examples"})


def prepare_schema(schema: object) -> dict[str, Any]:
    """A schema with what is no constraint left out. Raises InvalidRequestError for what cannot be kept."""
    if not isinstance(schema, dict):
        raise InvalidRequestError("the schema is no JSON schema, expected an object")
    try:
        return {**_without_notes(schema), "x-guidance": _OPTIONS}
    except RecursionError as error:
        raise InvalidRequestError("the schema is nested too deeply; make it flatter") from error


def _without_notes(part: Any) -> Any:
    """Without what says nothing of the form, and with bounds that the library counts."""
    if isinstance(part, list):
        return [_without_notes(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {key: _kept(key, value) for key, value in part.items() if not _is_note(key, value)}


def _kept(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: _without_notes(one) for name, one in value.items()}
    if key in (*_LOWEST, *_HIGHEST) and isinstance(value, int | float) and not isinstance(value, bool):
        return _bound(key, value)
    return _without_notes(value)


def _bound(key: str, value: float) -> float:
    """A bound that the library can count. Raises InvalidRequestError where none of its numbers is within."""
    if (value > _MAX_BOUND and key in _LOWEST) or (value < -_MAX_BOUND and key in _HIGHEST):
        raise InvalidRequestError(
            f"{key} is {str(value)[:30]}, expected a number between -{_MAX_BOUND} and {_MAX_BOUND}"
        )
    return min(max(value, -_MAX_BOUND), _MAX_BOUND)


def _is_note(key: str, value: object) -> bool:
    if key == "format":
        return isinstance(value, str) and value not in FORMATS
    if key == "$schema":
        return not isinstance(value, str) or not _DIALECT.fullmatch(value)
    return key == "uniqueItems" and value is False


def check_size(schema: object) -> None:
    """Refuse schemas whose compilation, by the square of their fields or worse, takes seconds."""
    waiting, parts, sizes = [schema], 0, _Sizes()
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            sizes.add(part)
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting.extend(inner)
        parts += len(inner) if isinstance(part, dict) else 1
        if parts > MAX_PARTS or (isinstance(part, dict) and len(part) > _MAX_FIELDS):
            raise InvalidRequestError(
                f"the schema is too large, expected at most {_MAX_FIELDS} fields in an object and "
                f"{MAX_PARTS} parts in all; make it simpler"
            )
    sizes.check()


@dataclass(slots=True)
class _Sizes:
    """What of a schema takes the library long."""

    fields: int = 0
    combines: bool = False
    patterns: set[str] = field(default_factory=set)
    name_characters: int = 0
    steps: set[Fraction] = field(default_factory=set)

    def add(self, part: Mapping[str, Any]) -> None:
        """Count an object of the schema. Raises InvalidRequestError."""
        names = part.get("patternProperties")
        if isinstance(names, dict):
            _check_names(names)
            self.name_characters += sum(map(len, names))
        if isinstance(pattern := part.get("pattern"), str):
            self.patterns.add(pattern)
        self.steps.update(_step_of(part.get("multipleOf")))
        self.fields += _count(part.get("properties"))
        self.combines = self.combines or _combines(part)

    def check(self) -> None:
        """Raises InvalidRequestError for what is too much."""
        if self.combines:
            _check_combined(self.fields, _MAX_COMBINED_FIELDS, "fields")
            _check_combined(len(self.patterns), _MAX_COMBINED_PATTERNS, "values of pattern")
        characters = self.name_characters + sum(map(len, self.patterns))
        if characters > _MAX_PATTERN_CHARACTERS:
            raise InvalidRequestError(
                f"the schema's patterns have {characters} characters, expected at most "
                f"{_MAX_PATTERN_CHARACTERS} in all; make them shorter"
            )
        _check_steps(self.steps)


def _check_combined(number: int, most: int, what: str) -> None:
    if number > most:
        raise InvalidRequestError(
            f"the schema has {number} {what}, expected at most {most} where schemas are put together (allOf, "
            "or anyOf, oneOf or $ref beside others); make it simpler"
        )


def _combines(part: Mapping[str, Any]) -> bool:
    """Whether several schemas have to fit one value here."""
    ways = part.keys() & _COMBINING
    return _count(part.get("allOf")) > 1 or len(ways) > 1 or bool(ways and part.keys() & _COMBINED)


def _count(value: object) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _check_names(patterns: Collection[str]) -> None:
    if len(patterns) > _MAX_NAME_PATTERNS:
        raise InvalidRequestError(
            f"patternProperties has {len(patterns)} patterns, expected at most {_MAX_NAME_PATTERNS}; make it "
            "simpler"
        )


def _step_of(value: object) -> Iterator[Fraction]:
    """What numbers have to be a multiple of, where that is a number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < inf:
        yield Fraction(str(value))


def _check_steps(steps: Collection[Fraction]) -> None:
    """Count remainders as if all had to hold for one number, as they may by `allOf` and references."""
    remainders = 1
    for step in steps:
        remainders = lcm(remainders, _without(2, _without(5, step.numerator)))
        if remainders > _MAX_REMAINDERS:
            raise InvalidRequestError(
                f"multipleOf: the multiples together have more than {_MAX_REMAINDERS} remainders; send "
                "smaller ones, or powers of ten"
            )


def _without(factor: int, number: int) -> int:
    while number % factor == 0:
        number //= factor
    return number
