"""How responses are told: `response`, and the events of its stream; pure but for the time.

Source: OpenAI's API reference, "The response object" and "Streaming events". The frames of a stream have
their event's name, and there is no `[DONE]`: the last one says that the response has ended, and how.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from modelservice_runtime.errors import ServingError
from modelservice_runtime.generation.values import Finish, Sampling, TokenLogprob, Usage
from modelservice_runtime.protocols.openai.answering.call import Choice
from modelservice_runtime.protocols.openai.answering.documents import Answered, chat_logprob
from modelservice_runtime.protocols.openai.answering.response_items import OutputItems
from modelservice_runtime.protocols.openai.errors import error_document, openai_error_response
from modelservice_runtime.transport.http import HttpResponse
from modelservice_runtime.transport.status import mapping_of

# What a response may say of its end; the error event has all of it.
_CODES_BY_STATUS = {400: "invalid_prompt", 429: "rate_limit_exceeded"}


class ResponseForm:
    """See `Form`. `repeated` are members that tell what was asked for, `sampling` is what holds for it."""

    def __init__(self, answered: Answered, repeated: Mapping[str, Any], sampling: Sampling) -> None:
        self._answered = answered
        self._told = {
            **repeated,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        self._items = OutputItems()
        self._status = "in_progress"
        self._events = 0

    def logprob(self, logprob: TokenLogprob) -> orjson.Fragment:
        """See `Form.logprob`."""
        return chat_logprob(self._answered.text, logprob)

    def first_frames(self) -> bytes:
        """See `Form.first_frames`."""
        document = orjson.Fragment(orjson.dumps(self._document()))
        return self._frames(
            {"type": f"response.{kind}", "response": document} for kind in ("created", "in_progress")
        )

    def frames(self, choice: Choice) -> bytes:
        """See `Form.frames`."""
        return self._frames(self._take(choice))

    def last_frames(self, usage: Usage) -> bytes:
        """See `Form.last_frames`."""
        return self._frames([{"type": f"response.{self._status}", "response": self._document(usage=usage)}])

    def error_frames(self, error: ServingError) -> bytes:
        """Both what is typed as the error's event and its `error`, by which clients raise it."""
        self._status = "failed"
        document = error_document(error)
        told = {name: document["error"][name] for name in ("code", "message", "param")}
        code = _CODES_BY_STATUS.get(mapping_of(error).status, "server_error")
        response = self._document(error={"code": code, "message": str(error)})
        return self._frames(
            [{"type": "error", **told, **document}, {"type": "response.failed", "response": response}]
        )

    def whole(self, choices: Sequence[Choice], usage: Usage) -> HttpResponse:
        """See `Form.whole`."""
        for choice in choices:
            self._take(choice)
        return HttpResponse(200, orjson.dumps(self._document(usage=usage)))

    def error(self, error: ServingError) -> HttpResponse:
        """See `Form.error`."""
        return openai_error_response(error)

    def _take(self, choice: Choice) -> list[dict[str, Any]]:
        """What is new of the text, as events; takes it."""
        events = list(self._items.feed(choice.pieces, choice.logprobs))
        choice.pieces, choice.logprobs = [], []
        if choice.finish is not None:
            self._status = "incomplete" if choice.finish is Finish.LENGTH else "completed"
            events += self._items.end(self._status)
        return events

    def _frames(self, events: Iterable[dict[str, Any]]) -> bytes:
        frames = []
        for event in events:
            document = orjson.dumps({**event, "sequence_number": self._events})
            frames.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), document))
            self._events += 1
        return b"".join(frames)

    def _document(self, *, usage: Usage | None = None, error: dict[str, str] | None = None) -> dict[str, Any]:
        """The response as far as it has come."""
        is_cut = self._status == "incomplete"
        return {
            "id": self._answered.id,
            "object": "response",
            "created_at": self._answered.created,
            "completed_at": int(time.time()) if self._status == "completed" else None,
            "status": self._status,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "model": self._answered.model,
            "output": self._items.documents("incomplete"),
            "usage": None if usage is None else _usage(usage),
            **self._told,
        }


def _usage(usage: Usage) -> dict[str, Any]:
    """Tokens, by whose number some are paid; writing to a cache and reasoning are not counted apart."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }
