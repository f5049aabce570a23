"""Reads the fields of a JSON body: each has a kind and bounds, and a sentence where it has neither; pure.

`null` stands for an absent field, as in OpenAI's API. Fields that nobody asks for are ignored: clients and
proxies send what other servers know.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.openai.errors import FieldError

_KINDS = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_MAX_SHOWN = 60
# Lists, objects and fields: with a million of them the parser would keep everybody's streams waiting.
_MAX_PARTS = 65_536


def parse_object(body: bytes | bytearray, name: str = "the body") -> dict[str, Any]:
    """The body, or what a field of it has as text, as an object. Raises InvalidRequestError."""
    _check_parts(body, name)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"{name} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequestError(f"{name} must be a JSON object")
    return document


def _check_parts(body: bytes | bytearray, name: str) -> None:
    """Count before anything is made of it; what stands in texts is not meant."""
    if _count_parts(body) <= _MAX_PARTS:
        return
    parts = _count_parts(_outside_of_texts(body))
    if parts > _MAX_PARTS:
        raise InvalidRequestError(
            f"{name} has {parts} lists, objects and fields; it may have {_MAX_PARTS}, so send less at once"
        )


def _count_parts(body: bytes | bytearray) -> int:
    return sum(body.count(mark) for mark in b"[{:")


def _outside_of_texts(body: bytes | bytearray) -> bytes:
    """What stands between quotes is left out; without an object for each of a million texts."""
    plain = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    is_inside = np.logical_xor.accumulate(plain == ord('"'))
    return plain[~is_inside].tobytes()


class Fields:
    """The fields of one object; `path` names it in sentences, empty for the body itself.

    `sent_as` says what the client calls a field that is read by another name.
    """

    def __init__(
        self, document: dict[str, Any], path: str = "", sent_as: Mapping[str, str] | None = None
    ) -> None:
        self._document = document
        self._path = path
        self._sent_as = sent_as or {}

    @property
    def document(self) -> dict[str, Any]:
        """The object itself."""
        return self._document

    def name(self, field: str) -> str:
        """The field as sentences call it."""
        field = self._sent_as.get(field, field)
        return f"{self._path}.{field}" if self._path else field

    def has(self, field: str) -> bool:
        """Whether it is there, and not null."""
        return self._document.get(field) is not None

    def any(self, field: str) -> Any:
        """Whatever it is; None where it is absent."""
        return self._document.get(field)

    def fail(self, field: str, expected: str, code: str | None = None) -> FieldError:
        """What to raise where a field is wrong."""
        name = self.name(field)
        return FieldError(
            f"'{name}' is {shown(self._document.get(field))}; it must be {expected}", name, code
        )

    def text(self, field: str, *, max_length: int | None = None) -> str | None:
        """A string."""
        value = self._of_kind(field, str)
        if value is not None and max_length is not None and len(value) > max_length:
            raise FieldError(
                f"'{self.name(field)}' has {len(value)} characters; it may have {max_length}",
                self.name(field),
            )
        return None if value is None else str(value)

    def flag(self, field: str, *, default: bool = False) -> bool:
        """A boolean."""
        value = self._of_kind(field, bool)
        return default if value is None else bool(value)

    def whole(self, field: str, low: int, high: int) -> int | None:
        """An integer of this range; 3.0 counts as 3, because some clients know numbers of one kind only."""
        value = self._document.get(field)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise self.fail(field, f"an integer from {low} to {high}")
        if not low <= value <= high:
            raise self.fail(field, f"from {low} to {high}")
        return value

    def number(self, field: str, low: float, high: float, *, above_low: bool = False) -> float | None:
        """A number of this range."""
        value = self._document.get(field)
        if value is None:
            return None
        start = "above" if above_low else "from"
        expected = f"a number {start} {low:g} to {high:g}"
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.fail(field, expected)
        if not low <= value <= high or (above_low and value == low):
            raise self.fail(field, expected)
        return float(value)

    def items(self, field: str, *, max_items: int) -> list[Any] | None:
        """A list of bounded length."""
        value = self._of_kind(field, list)
        if value is not None and len(value) > max_items:
            raise FieldError(
                f"'{self.name(field)}' has {len(value)} entries; it may have {max_items}", self.name(field)
            )
        return value if value is None else list(value)

    def object(self, field: str) -> "Fields | None":
        """An object."""
        value = self._of_kind(field, dict)
        return None if value is None else Fields(value, self.name(field))

    def raw_object(self, field: str) -> dict[str, Any] | None:
        """An object whose members somebody else reads."""
        value = self._of_kind(field, dict)
        return value if value is None else dict(value)

    def choice(self, field: str, choices: Sequence[str]) -> str | None:
        """One of these words."""
        value = self._document.get(field)
        if value is not None and value not in choices:
            raise self.fail(field, f"one of {', '.join(choices)}")
        return None if value is None else str(value)

    def required(self, field: str) -> None:
        """Raise FieldError where it is absent."""
        if not self.has(field):
            raise FieldError(f"'{self.name(field)}' is missing", self.name(field))

    def _of_kind(self, field: str, kind: type) -> Any:
        value = self._document.get(field)
        if value is not None and type(value) is not kind:
            raise self.fail(field, _KINDS[kind])
        return value


def as_object(value: object, path: str) -> Fields:
    """The fields of an entry of a list. Raises FieldError where it is no object."""
    if not isinstance(value, dict):
        raise FieldError(f"'{path}' is {shown(value)}; it must be an object", path)
    return Fields(value, path)


def shown(value: object) -> str:
    """A value of a client's in the words of JSON, short enough for a sentence."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return _KINDS[type(value)] if value else f"an empty {_KINDS[type(value)].split()[-1]}"
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
