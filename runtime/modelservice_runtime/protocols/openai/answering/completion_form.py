"""How completions tell of texts; pure.

Source: OpenAI's API reference, "The completion object"; a stream's parts have the same form.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from modelservice_runtime.errors import ServingError
from modelservice_runtime.generation.values import TokenLogprob, Usage
from modelservice_runtime.protocols.openai.answering.call import Choice
from modelservice_runtime.protocols.openai.answering.documents import (
    DONE,
    Answered,
    CompletionLogprob,
    Offsets,
    completion_logprob,
    completion_logprobs,
    error_frames,
    frame,
    usage_document,
)
from modelservice_runtime.protocols.openai.errors import openai_error_response
from modelservice_runtime.transport.http import HttpResponse


class CompletionForm:
    """See `Form`."""

    def __init__(self, answered: Answered, *, logprobs: bool, include_usage: bool) -> None:
        self._answered = answered
        self._logprobs = logprobs
        self._include_usage = include_usage
        self._head = answered.head("text_completion")
        self._offsets: defaultdict[int, Offsets] = defaultdict(Offsets)

    def logprob(self, logprob: TokenLogprob) -> CompletionLogprob:
        """See `Form.logprob`."""
        return completion_logprob(self._answered.text, logprob)

    def first_frames(self) -> bytes:
        """See `Form.first_frames`."""
        return b""

    def frames(self, choice: Choice) -> bytes:
        """See `Form.frames`."""
        text = _text(choice)
        if not text and not choice.logprobs and choice.finish is None:
            return b""
        document = {**self._head, "choices": [self._told(choice, text)]}
        if self._include_usage:
            document["usage"] = None
        choice.pieces, choice.logprobs = [], []
        return frame(document)

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
        told = [self._told(choice, _text(choice)) for choice in choices]
        return HttpResponse(
            200, orjson.dumps({**self._head, "choices": told, "usage": usage_document(usage)})
        )

    def error(self, error: ServingError) -> HttpResponse:
        """See `Form.error`."""
        return openai_error_response(error)

    def _told(self, choice: Choice, text: str) -> dict[str, Any]:
        logprobs = None
        if self._logprobs:
            logprobs = completion_logprobs(choice.logprobs, self._offsets[choice.index])
        finish = choice.finish.value if choice.finish is not None else None
        return {"index": choice.index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _text(choice: Choice) -> str:
    return "".join([piece for piece in choice.pieces if isinstance(piece, str)])
