"""The items of a response as they come about, and the events that tell of it; pure.

Source: OpenAI's API reference, "Streaming events" of responses. A text is a message with one part, a call of
a tool is an item of its own; each begins where the one before it has ended.
"""

import uuid
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import orjson

from modelservice_runtime.generation.values import ToolPiece

Document: TypeAlias = dict[str, Any]


class _Message:
    """A text."""

    def __init__(self) -> None:
        self._id = f"msg_{uuid.uuid4().hex}"
        self._texts: list[str] = []
        self._logprobs: list[orjson.Fragment] = []

    def begin(self) -> Iterator[Document]:
        """Its part is there before its text."""
        yield {"type": "response.output_item.added", "item": {**self._head("in_progress"), "content": []}}
        yield self._event("content_part.added", part=self._part())

    def add(self, text: str, logprobs: list[orjson.Fragment]) -> Document:
        """The event of a piece."""
        self._texts.append(text)
        self._logprobs += logprobs
        return self._event("output_text.delta", delta=text, logprobs=logprobs)

    def end(self, status: str) -> Iterator[Document]:
        """Text, part and item, in this order."""
        part = self._part()
        yield self._event("output_text.done", text=part["text"], logprobs=self._logprobs)
        yield self._event("content_part.done", part=part)
        yield {"type": "response.output_item.done", "item": self.document(status)}

    def document(self, status: str) -> Document:
        """The item."""
        return {**self._head(status), "content": [self._part()]}

    def _head(self, status: str) -> Document:
        return {"id": self._id, "type": "message", "status": status, "role": "assistant"}

    def _event(self, kind: str, **members: Any) -> Document:
        return {"type": f"response.{kind}", "item_id": self._id, "content_index": 0, **members}

    def _part(self) -> Document:
        text = "".join(self._texts)
        return {"type": "output_text", "annotations": [], "logprobs": self._logprobs, "text": text}


class _Call:
    """A call of a tool."""

    def __init__(self, name: str) -> None:
        self._id = f"fc_{uuid.uuid4().hex}"
        self._call_id = f"call_{uuid.uuid4().hex[:24]}"
        self._name = name
        self._arguments: list[str] = []

    def begin(self) -> Iterator[Document]:
        """Its name is told before its arguments."""
        yield {"type": "response.output_item.added", "item": self.document("in_progress")}

    def add(self, arguments: str) -> Document:
        """The event of a piece."""
        self._arguments.append(arguments)
        return {"type": "response.function_call_arguments.delta", "item_id": self._id, "delta": arguments}

    def end(self, status: str) -> Iterator[Document]:
        """Arguments and item, in this order."""
        document = self.document(status)
        yield {
            "type": "response.function_call_arguments.done",
            "item_id": self._id,
            "name": self._name,
            "arguments": document["arguments"],
        }
        yield {"type": "response.output_item.done", "item": document}

    def document(self, status: str) -> Document:
        """The item."""
        return {
            "id": self._id,
            "type": "function_call",
            "status": status,
            "name": self._name,
            "call_id": self._call_id,
            "arguments": "".join(self._arguments),
        }


class OutputItems:
    """All items of one response.

    Each of the methods tells what happened as events without numbers; a whole answer needs the items alone.
    """

    def __init__(self) -> None:
        self._ended: list[Document] = []
        self._open: _Message | _Call | None = None
        # What does not begin a message: white space between calls, and logprobs without text.
        self._space = ""
        self._logprobs: list[orjson.Fragment] = []

    def feed(
        self, pieces: Sequence[str | ToolPiece], logprobs: Sequence[orjson.Fragment]
    ) -> Iterator[Document]:
        """What comes of the text; `logprobs` are those of its tokens."""
        self._logprobs += logprobs
        for is_call, some in groupby(pieces, lambda piece: isinstance(piece, ToolPiece)):
            if is_call:
                for piece in some:
                    yield from self._feed_call(piece)
            else:
                yield from self._feed_text("".join(map(str, some)))
        if self._logprobs and isinstance(self._open, _Message):
            yield from self._feed_text("", is_rest=True)

    def end(self, status: str) -> Iterator[Document]:
        """No more comes; the last item has this status. An answer of nothing is an empty message."""
        if not self._ended and self._open is None:
            yield from self._feed_text("", is_rest=True)
        yield from self._end_open(status)

    def documents(self, status: str) -> list[Document]:
        """The items as far as they have come; one that has not ended has this status."""
        return self._ended if self._open is None else [*self._ended, self._open.document(status)]

    def _feed_text(self, text: str, *, is_rest: bool = False) -> Iterator[Document]:
        text = self._space + text
        self._space = ""
        if not isinstance(self._open, _Message):
            if not is_rest and not text.strip():
                self._space = text
                return
            yield from self._begin(_Message())
        assert isinstance(self._open, _Message)
        logprobs, self._logprobs = self._logprobs, []
        if text or logprobs:
            yield self._numbered(self._open.add(text, logprobs))

    def _feed_call(self, piece: Any) -> Iterator[Document]:
        self._space, self._logprobs = "", []
        if piece.name is not None:
            yield from self._begin(_Call(piece.name))
        if piece.arguments and isinstance(self._open, _Call):
            yield self._numbered(self._open.add(piece.arguments))

    def _begin(self, item: _Message | _Call) -> Iterator[Document]:
        yield from self._end_open("completed")
        self._open = item
        yield from map(self._numbered, item.begin())

    def _end_open(self, status: str) -> Iterator[Document]:
        if self._open is not None:
            yield from map(self._numbered, self._open.end(status))
            self._ended.append(self._open.document(status))
            self._open = None

    def _numbered(self, event: Document) -> Document:
        """With the place of the item that is under way."""
        return {**event, "output_index": len(self._ended)}
