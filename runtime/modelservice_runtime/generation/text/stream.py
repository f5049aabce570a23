"""One generation's tokens as they come, and the text that is certain."""

import re
from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer

from modelservice_runtime.errors import InferenceFailedError
from modelservice_runtime.generation.text.panics import failures_told
from modelservice_runtime.generation.text.stop_strings import StopStrings
from modelservice_runtime.generation.values import GenerationRequest

# What stands for bytes that are no whole character (yet).
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
# A character has at most four bytes, and a token at least one: what is longer will never be one.
_MAX_HELD = 8
# Tokens before the first one, for what a tokenizer does between words.
_CONTEXT = 6
# How SentencePiece writes a byte within a character, and how many of them a character may have.
_INNER_BYTE = re.compile("<0x[89AB]")
_MAX_INNER_BYTES = 3


class TextStream:
    """Turns tokens into pieces of text: whole characters only, and no part of a stop string.

    The pieces together are the text of all tokens: what a piece adds is seen by decoding it with some tokens
    before it, so spaces between words stay. `kept` are special tokens whose text is not left out.
    """

    __slots__ = ("_given", "_held", "_ids", "_kept", "_made", "_min_tokens", "_stop", "_tokenizer")

    def __init__(self, tokenizer: Tokenizer, request: GenerationRequest, kept: Mapping[int, str]) -> None:
        self._tokenizer = tokenizer
        self._stop = StopStrings(request.stop, include=request.include_stop)
        self._kept = kept
        self._min_tokens = request.min_tokens
        self._made = 0
        # A window of tokens: the text of the first ones was given, the last `_held` ones wait.
        self._ids = self._context(request.prompt)
        self._given = self._whole_characters()
        self._held = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; the text before it was given."""
        return self._stop.found

    def add(self, token: int) -> str:
        """The text that is certain now; empty while a character or a stop string may still be coming."""
        self._made += 1
        text = self._text_with(token)
        if not text or self._made <= self._min_tokens:
            return text
        return self._stop.add(text)

    def end(self) -> str:
        """What was held back: no more tokens come. Bytes that are no whole character are left out."""
        text = self._give().rstrip(_INCOMPLETE)
        if self._made > self._min_tokens:
            text = self._stop.add(text)
        return text if self._stop.found else text + self._stop.end()

    def _text_with(self, token: int) -> str:
        if token in self._kept:
            return self._give().rstrip(_INCOMPLETE) + self._kept[token]
        self._ids.append(token)
        self._held += 1
        if self._held < _MAX_HELD and self._decode().endswith(_INCOMPLETE):
            return ""
        return self._give()

    def _give(self) -> str:
        """What the tokens that wait add."""
        if not self._held:
            return ""
        text = self._decode()[self._given :]
        self._held = 0
        self._ids = self._context(self._ids)
        self._given = len(self._decode())
        return text

    def _context(self, ids: Sequence[int]) -> list[int]:
        """The last tokens, from a character's beginning on.

        Of bytes side by side that begin within a character the library makes no character at all.
        """
        start = max(len(ids) - _CONTEXT, 0)
        first = max(start - _MAX_INNER_BYTES, 0)
        while start > first and _INNER_BYTE.match(self._tokenizer.id_to_token(ids[start]) or ""):
            start -= 1
        return list(ids[start:])

    def _whole_characters(self) -> int:
        """How many characters a prompt's end has; its last tokens may be within one that is still to come."""
        for inner in range(_MAX_INNER_BYTES + 1):
            text = self._decode(self._ids[: len(self._ids) - inner])
            if not text.endswith(_INCOMPLETE):
                return len(text)
        return len(self._decode().rstrip(_INCOMPLETE))

    def _decode(self, ids: Sequence[int] | None = None) -> str:
        with failures_told(_undecoded):
            text: str = self._tokenizer.decode(self._ids if ids is None else ids, skip_special_tokens=True)
        return text


def _undecoded(sentence: str) -> InferenceFailedError:
    return InferenceFailedError(f"the model's tokenizer fails on its own tokens: {sentence}")
