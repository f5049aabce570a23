"""Finds the end of a JSON value in a text that comes in pieces, and the parts of a call within an object."""

import json

from modelservice_runtime.generation.values import ToolPiece

_SPACE = " \n\r\t"
_NAME = "name"
_ARGUMENTS = ("arguments", "parameters")
_KNOWN = (_NAME, "type", "id", *_ARGUMENTS)


class JsonValue:
    """One value, character by character; `ended` once it is complete.

    It trusts that the text is JSON: what is none is told by whoever reads the arguments.
    """

    __slots__ = ("_depth", "_escaped", "_in_text", "_is_plain", "ended")

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = self._escaped = self._is_plain = self.ended = False

    def take(self, text: str, start: int) -> int:
        """The place behind the last character of `text` from `start` on that is the value's."""
        place = start
        while place < len(text) and not self.ended:
            if self._is_plain and text[place] in ",]}" + _SPACE:
                self.ended = True
                return place
            self._take_one(text[place])
            place += 1
        return place

    def _take_one(self, character: str) -> None:
        if character in _SPACE and not self._in_text:
            return
        if self._in_text:
            self._take_in_text(character)
        elif character == '"':
            self._in_text = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.ended = self._depth <= 0
        elif self._depth == 0:
            self._is_plain = True

    def _take_in_text(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_text = False
            self.ended = self._depth == 0


class CallObject:
    """One object `{"name": ..., "arguments": {...}}` as it comes; arguments are told as they are written.

    `broken` once the text is no such object; `ended` once it is complete. A `strict` one has arguments, and
    nothing else that calls do not have: so a JSON object that is an answer is told apart.
    """

    def __init__(self, index: int, *, strict: bool = False) -> None:
        self._index, self._strict = index, strict
        self._key: str | None = None
        self._raw = ""
        self._value: JsonValue | None = None
        self._name, self._has_arguments, self._waiting = "", False, ""
        self._begun = False
        self.is_call = self.broken = self.ended = False

    def feed(self, text: str) -> tuple[list[ToolPiece], int]:
        """The parts that are certain, and how many characters of the text were the object's."""
        pieces: list[ToolPiece] = []
        place = 0
        while place < len(text) and not (self.broken or self.ended):
            if self._value is not None:
                place = self._take_value(text, place, pieces)
            else:
                self._take_between(text[place], pieces)
                place += 1
        return pieces, place

    def _take_between(self, character: str, pieces: list[ToolPiece]) -> None:
        """What stands between values: braces, commas, colons, and keys."""
        if character in _SPACE:
            return
        if not self._begun:
            self._begun, self.broken = True, character != "{"
        elif character == '"' and self._key is None:
            self._begin(character)
        elif character == ":" and self._key is not None:
            self._begin("")
        elif character == "}":
            self.ended = True
            self._has_arguments = self._has_arguments or not self._strict
            self._tell("", pieces)
            self.broken = not self.is_call
        elif character != ",":
            self.broken = True

    def _begin(self, raw: str) -> None:
        self._value, self._raw = JsonValue(), raw
        self._value.take(raw, 0)

    def _take_value(self, text: str, place: int, pieces: list[ToolPiece]) -> int:
        assert self._value is not None
        if not self._raw:  # spaces before it
            while place < len(text) and text[place] in _SPACE:
                place += 1
        end = self._value.take(text, place)
        part = text[place:end]
        self._raw += part
        if self._key in _ARGUMENTS and not self._raw.startswith('"'):
            self._tell(part, pieces)
        if self._value.ended:
            self._value = None
            self._end_value(pieces)
        return end

    def _end_value(self, pieces: list[ToolPiece]) -> None:
        key, raw, self._raw = self._key, self._raw, ""
        if key is None:
            self._begin_key(_text(raw), pieces)
            return
        self._key = None
        if key == _NAME and not self.is_call:
            self._name = _text(raw) or ""
            self.broken = not self._name
            self._tell("", pieces)
        elif key in _ARGUMENTS and raw.startswith('"'):  # JSON in a text
            self._tell(_text(raw) or "", pieces)

    def _begin_key(self, key: str | None, pieces: list[ToolPiece]) -> None:
        self._key = key
        self.broken = key is None or (self._strict and key not in _KNOWN)
        if key in _ARGUMENTS:
            self._has_arguments = True
            self._tell("", pieces)

    def _tell(self, arguments: str, pieces: list[ToolPiece]) -> None:
        self._waiting += arguments
        if self._name and self._has_arguments and not self.is_call:
            self.is_call = True
            pieces.append(ToolPiece(self._index, self._name))
        if self.is_call and self._waiting:
            pieces.append(ToolPiece(self._index, arguments=self._waiting))
            self._waiting = ""


def _text(raw: str) -> str | None:
    """What a JSON string says; half a character (a lone surrogate) is no text that could be told."""
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None
