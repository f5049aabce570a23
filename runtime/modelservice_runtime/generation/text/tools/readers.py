"""Finds calls of tools in texts, in the ways of the families of models. See `ToolReader`."""

from modelservice_runtime.generation.text.tools.json_value import CallObject, JsonValue
from modelservice_runtime.generation.text.tools.marks import Marks
from modelservice_runtime.generation.values import ToolPiece

Pieces = list[str | ToolPiece]

CALL, END_OF_CALL = "<tool_call>", "</tool_call>"
CALLS, ARGUMENTS, CALL_ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"
PYTHON = "<|python_tag|>"


class TaggedReader:
    """Qwen and Hermes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, one for each call."""

    def __init__(self) -> None:
        self._marks = Marks((CALL, END_OF_CALL))
        self._call: CallObject | None = None
        self._raw = ""
        self.calls = 0

    def feed(self, text: str) -> Pieces:
        """See `ToolReader.feed`."""
        pieces: Pieces = []
        while text:
            text = self._feed_call(text, pieces) if self._call else self._feed_text(text, pieces)
        return pieces

    def end(self) -> Pieces:
        """See `ToolReader.end`."""
        if self._call is not None:
            return [] if self._call.is_call else [CALL + self._raw]
        held = self._marks.end()
        return [held] if held and not (self.calls and held.isspace()) else []

    def _feed_text(self, text: str, pieces: Pieces) -> str:
        before, mark, rest = self._marks.feed(text)
        if before:
            pieces.append(before)
        if mark == CALL:
            self._call, self._raw = CallObject(self.calls), ""
        return rest

    def _feed_call(self, text: str, pieces: Pieces) -> str:
        assert self._call is not None
        parts, place = self._call.feed(text)
        self._raw += text[:place]
        pieces.extend(parts)
        if self._call.broken and not self._call.is_call:
            pieces.append(CALL + self._raw)
        if self._call.broken or self._call.ended:
            self.calls += self._call.is_call
            self._call = None
        return text[place:]


class PlainReader:
    """Llama 3: the text is `{"name": ..., "parameters": {...}}`, perhaps behind a mark; several by `;`."""

    def __init__(self) -> None:
        self._call: CallObject | None = None
        self._raw = ""
        self.calls = 0
        self._is_text = False

    def feed(self, text: str) -> Pieces:
        """See `ToolReader.feed`."""
        pieces: Pieces = []
        while text:
            if self._is_text:
                return [*pieces, text]
            text = self._feed_call(text, pieces) if self._call else self._begin(text)
        return pieces

    def end(self) -> Pieces:
        """See `ToolReader.end`."""
        held, self._raw = self._raw, ""
        return [held] if held.strip(" \n;") and not (self._call and self._call.is_call) else []

    def _begin(self, text: str) -> str:
        """Skip what stands before a call; what else stands there makes it a text."""
        self._raw, text = "", self._raw + text
        rest = text.lstrip(" \n;" if self.calls else " \n")
        rest = rest.removeprefix(PYTHON).lstrip()
        if not rest or PYTHON.startswith(rest):
            self._raw = text
            return ""
        if rest.startswith("{"):
            self._call, self._raw = CallObject(self.calls, strict=True), text[: len(text) - len(rest)]
            return rest
        self._is_text = True
        return text

    def _feed_call(self, text: str, pieces: Pieces) -> str:
        assert self._call is not None
        parts, place = self._call.feed(text)
        pieces.extend(parts)
        self._raw += text[:place]
        call, text = self._call, text[place:]
        if call.broken and not call.is_call:
            self._is_text, self._call = True, None
            text, self._raw = self._raw + text, ""
        elif call.broken or call.ended:
            self.calls, self._call, self._raw = self.calls + 1, None, ""
        return text


class ListedReader:
    """Mistral: `[TOOL_CALLS][{"name": ..., "arguments": {...}}]`, or newer `[TOOL_CALLS]name[ARGS]{...}`.

    What follows the mark and is no call is text, with the mark.
    """

    def __init__(self) -> None:
        self._text = Marks((CALLS,))
        self._name = Marks((ARGUMENTS, CALL_ID))
        self.calls = 0
        self._begin()

    def _begin(self) -> None:
        self._call: CallObject | None = None
        self._value: JsonValue | None = None
        self._named = self._raw = ""
        self._state = "text"

    def feed(self, text: str) -> Pieces:
        """See `ToolReader.feed`."""
        pieces: Pieces = []
        while text:
            match self._state:
                case "text":
                    text = self._feed_text(text, pieces)
                case "mark":
                    text = self._feed_mark(text)
                case "list":
                    text = self._feed_list(text, pieces)
                case "arguments":
                    text = self._feed_arguments(text, pieces)
                case _:
                    text = self._feed_name(text, pieces)
        return pieces

    def end(self) -> Pieces:
        """See `ToolReader.end`."""
        held = self._text.end() if self._state == "text" else self._raw
        return [held] if held and not (self.calls and held.isspace()) else []

    def _keep(self, text: str) -> None:
        """Remember what was read behind a mark, until it is a call."""
        if self._raw:
            self._raw += text

    def _give_up(self, pieces: Pieces) -> None:
        """No more calls come behind this mark."""
        if self._raw:
            pieces.append(self._raw)
        self._begin()

    def _feed_text(self, text: str, pieces: Pieces) -> str:
        before, mark, rest = self._text.feed(text)
        if before and not (self.calls and before.isspace()):
            pieces.append(before)
        if mark:
            self._state, self._raw = "mark", mark
        return rest

    def _feed_mark(self, text: str) -> str:
        rest = text.lstrip()
        if rest:
            self._state = "list" if rest.startswith("[") else "name"
        rest = rest.removeprefix("[") if self._state == "list" else rest
        self._keep(text[: len(text) - len(rest)])
        return rest

    def _feed_list(self, text: str, pieces: Pieces) -> str:
        if self._call is None:
            return self._feed_between(text, pieces)
        parts, place = self._call.feed(text)
        pieces.extend(parts)
        self._keep(text[:place])
        call = self._call
        if call.is_call:
            self._raw = ""
        if call.ended or call.broken:
            self.calls += call.is_call
            self._call = None
            if call.broken:
                self._give_up(pieces)
        return text[place:]

    def _feed_between(self, text: str, pieces: Pieces) -> str:
        rest = text.lstrip(" \n\r\t,")
        self._keep(text[: len(text) - len(rest)])
        if rest.startswith("{"):
            self._call = CallObject(self.calls)
        elif rest:
            rest = rest if self._raw else rest.removeprefix("]")
            self._give_up(pieces)
        return rest

    def _feed_name(self, text: str, pieces: Pieces) -> str:
        before, mark, rest = self._name.feed(text)
        self._keep(text[: len(text) - len(rest)])
        if self._state == "name":
            self._named += before
        if mark == CALL_ID:
            self._state = "id"
        elif mark == ARGUMENTS and not self._named.strip():
            self._give_up(pieces)
        elif mark == ARGUMENTS:
            pieces.append(ToolPiece(self.calls, self._named.strip()))
            self._raw, self._value, self._state = "", JsonValue(), "arguments"
        return rest

    def _feed_arguments(self, text: str, pieces: Pieces) -> str:
        assert self._value is not None
        place = self._value.take(text, 0)
        if place:
            pieces.append(ToolPiece(self.calls, arguments=text[:place]))
        if self._value.ended:
            self.calls += 1
            self._begin()
        return text[place:]
