"""Parts that the answers of chat and completions have in common; pure."""

import codecs
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelservice_runtime.errors import ServingError
from modelservice_runtime.generation.values import TextModel, TokenLogprob, Usage
from modelservice_runtime.protocols.openai.errors import error_document

DONE = b"data: [DONE]\n\n"
# JSON has no infinity; vLLM tells this of what cannot be.
_LEAST_LOGPROB = -9999.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What all parts of one answer say: its name, when it began, and which model answers."""

    id: str
    created: int
    model: str
    text: TextModel

    def head(self, kind: str) -> dict[str, Any]:
        """The members that come first."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def begin_answer(prefix: str, model: str, text: TextModel) -> Answered:
    """An answer of a name of its own, which begins now."""
    return Answered(f"{prefix}{uuid.uuid4().hex}", int(time.time()), model, text)


def frame(document: dict[str, Any]) -> bytes:
    """An event of a stream."""
    return b"data: %b\n\n" % orjson.dumps(document)


def error_frames(error: ServingError) -> bytes:
    """The end of a stream that failed."""
    return frame(error_document(error)) + DONE


def usage_document(usage: Usage) -> dict[str, Any]:
    """Tokens, by whose number some are paid."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def chat_logprob(text: TextModel, one: TokenLogprob) -> orjson.Fragment:
    """A token's logprob as chat has it, written at once: a long answer's would take seconds at its end."""
    told = {
        **_token(text, one.token, one.logprob),
        "top_logprobs": [_token(text, *pair) for pair in one.alternatives],
    }
    return _written(told)


@dataclass(frozen=True, slots=True)
class CompletionLogprob:
    """A token's logprob as completions have it; `alternatives` are written."""

    token: bytes
    logprob: float | None
    alternatives: orjson.Fragment


def completion_logprob(text: TextModel, one: TokenLogprob) -> CompletionLogprob:
    """See `chat_logprob`. Alternatives have the token itself among them, as OpenAI and vLLM tell it."""
    token = text.token_bytes(one.token)
    if one.logprob is None:
        return CompletionLogprob(token, None, orjson.Fragment(b"null"))
    alternatives = {_shown(token): max(one.logprob, _LEAST_LOGPROB)}
    for other, logprob in one.alternatives:
        # Parts of characters look alike: the most probable of them is told.
        shown = _shown(text.token_bytes(other))
        alternatives[shown] = max(alternatives.get(shown, _LEAST_LOGPROB), logprob)
    return CompletionLogprob(token, _finite(one.logprob), _written(alternatives))


class Offsets:
    """Where the tokens of one text begin; a character that lies across tokens counts for its last one."""

    def __init__(self) -> None:
        self._offset = 0
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, token: bytes) -> int:
        """The place of the next token."""
        offset = self._offset
        self._offset += len(self._characters.decode(token))
        return offset


def completion_logprobs(logprobs: Sequence[CompletionLogprob], offsets: Offsets) -> dict[str, Any]:
    """Logprobs as completions have them; `offsets` are those of the text, as far as it has been told."""
    return {
        "tokens": [_shown(one.token) for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        "top_logprobs": [one.alternatives for one in logprobs],
        "text_offset": [offsets.take(one.token) for one in logprobs],
    }


def _written(document: dict[str, Any]) -> orjson.Fragment:
    """A part of an answer that waits for the rest; copied, for the library's own bytes keep 8 KiB each."""
    return orjson.Fragment(bytes(memoryview(orjson.dumps(document))))


def _token(text: TextModel, token: int, logprob: float | None) -> dict[str, Any]:
    told = text.token_bytes(token)
    return {"token": _shown(told), "logprob": _finite(logprob), "bytes": list(told)}


def _shown(token: bytes) -> str:
    return token.decode("utf-8", "replace")


def _finite(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, _LEAST_LOGPROB)
