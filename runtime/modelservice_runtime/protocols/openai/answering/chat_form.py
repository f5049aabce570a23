"""How chat tells of texts: `chat.completion`, and its chunks; pure.

Source: OpenAI's API reference, "The chat completion object" and "The chat completion chunk object".
"""

import uuid
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import orjson

from modelservice_runtime.errors import ServingError
from modelservice_runtime.generation.values import TokenLogprob, ToolPiece, Usage
from modelservice_runtime.protocols.openai.answering.call import Choice
from modelservice_runtime.protocols.openai.answering.documents import (
    DONE,
    Answered,
    chat_logprob,
    error_frames,
    frame,
    usage_document,
)
from modelservice_runtime.protocols.openai.errors import openai_error_response
from modelservice_runtime.transport.http import HttpResponse


class ChatForm:
    """See `Form`."""

    def __init__(self, answered: Answered, *, logprobs: bool, include_usage: bool) -> None:
        self._answered = answered
        self._logprobs = logprobs
        self._include_usage = include_usage
        self._head = answered.head("chat.completion.chunk")

    def logprob(self, logprob: TokenLogprob) -> orjson.Fragment:
        """See `Form.logprob`."""
        return chat_logprob(self._answered.text, logprob)

    def first_frames(self) -> bytes:
        """See `Form.first_frames`."""
        return b""

    def frames(self, choice: Choice) -> bytes:
        """See `Form.frames`."""
        deltas = list(self._deltas(choice))
        logprobs = None
        if choice.logprobs:
            logprobs = _logprobs(choice)
            deltas = deltas or [{"content": ""}]
        choice.pieces, choice.logprobs = [], []
        chunks: list[bytes] = []
        if not choice.begun and (deltas or choice.finish is not None):
            choice.begun = True
            chunks.append(self._chunk(choice, {"role": "assistant", "content": ""}))
        for index, delta in enumerate(deltas):
            chunks.append(self._chunk(choice, delta, None if index else logprobs))
        if choice.finish is not None:
            chunks.append(self._chunk(choice, {}, finish=choice.finish.value))
        return b"".join(chunks)

    def last_frames(self, usage: Usage) -> bytes:
        """See `Form.last_frames`."""
        if not self._include_usage:
            return DONE
        return frame({**self._head, "choices": [], "usage": usage_document(usage)}) + DONE

    def error_frames(self, error: ServingError) -> bytes:
        """See `Form.error_frames`."""
        return error_frames(error)

    def whole(self, choices: Sequence[Choice], usage: Usage) -> HttpResponse:
        """See `Form.whole`."""
        document = {
            **self._answered.head("chat.completion"),
            "choices": [self._whole_choice(choice) for choice in choices],
            "usage": usage_document(usage),
        }
        return HttpResponse(200, orjson.dumps(document))

    def error(self, error: ServingError) -> HttpResponse:
        """See `Form.error`."""
        return openai_error_response(error)

    def _chunk(
        self,
        choice: Choice,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        finish: str | None = None,
    ) -> bytes:
        told = {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        document = {**self._head, "choices": [told]}
        if self._include_usage:
            document["usage"] = None
        return frame(document)

    def _deltas(self, choice: Choice) -> Iterator[dict[str, Any]]:
        for is_call, pieces in groupby(choice.pieces, lambda piece: isinstance(piece, ToolPiece)):
            if is_call:
                yield from ({"tool_calls": [self._call_delta(piece)]} for piece in pieces)
            else:
                yield {"content": "".join(map(str, pieces))}

    def _call_delta(self, piece: Any) -> dict[str, Any]:
        if piece.name is None:
            return {"index": piece.index, "function": {"arguments": piece.arguments}}
        return {"index": piece.index, **_new_call(piece.name, piece.arguments)}

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        calls: dict[int, dict[str, Any]] = {}
        for piece in choice.pieces:
            if not isinstance(piece, ToolPiece):
                continue
            if piece.index in calls:
                calls[piece.index]["function"]["arguments"] += piece.arguments
            else:
                calls[piece.index] = _new_call(piece.name or "", piece.arguments)
        content = "".join([piece for piece in choice.pieces if isinstance(piece, str)])
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if calls and not content else content,
            "refusal": None,
        }
        if calls:
            message["tool_calls"] = list(calls.values())
        logprobs = _logprobs(choice) if self._logprobs else None
        finish = choice.finish.value if choice.finish is not None else None
        return {"index": choice.index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _logprobs(choice: Choice) -> dict[str, Any]:
    return {"content": choice.logprobs, "refusal": None}


def _new_call(name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
