"""How long reading and decoding take here, and what follows: chunks' sizes, waits. Pure; times are given.

Small chunks keep the time between tokens short and starve those who wait for a first token, large ones do the
reverse: with chunks of 16 tokens the first token came eight times as late as with 64, for a fifth less time
between tokens. So the size follows the target, and grows while somebody waits.
"""

# What a kernel of matrices is good at; other sizes make more shapes and gain nothing.
_STEP_TOKENS = 16
_MAX_TOKENS = 512
# Where nobody decodes only newcomers wait for a chunk's end.
_ALONE_SECONDS = 0.5
# A step that takes the whole target leaves this part of it to prompts.
_MIN_PART = 0.25
# A chunk is up to so many times as long for those who wait, by one more for each of these.
_MAX_GROWTH = 4.0
_GROWTH_SECONDS = 1.0
_WEIGHT = 0.2
_MAX_RETRY_SECONDS = 60


class Pace:
    """Running means. `chunk_tokens` fixes the size of chunks; None lets it follow `target_seconds`."""

    def __init__(self, target_seconds: float, chunk_tokens: int | None = None) -> None:
        self._target_seconds = target_seconds
        self._chunk_tokens = chunk_tokens
        # Reading costs more where logits of all tokens are asked for.
        self._token_seconds: dict[bool, float | None] = {False: None, True: None}
        self._step_seconds = 0.0

    @property
    def prefill_tokens_per_second(self) -> float | None:
        """The rate at which prompts are read; None while none was."""
        known = self._token_seconds[False]
        return None if known is None else 1 / known

    def note_chunk(self, tokens: int, seconds: float, *, scored: bool = False) -> None:
        """A chunk was read; `scored`: with the logits of all its tokens."""
        one = max(seconds, 1e-9) / tokens
        # Short ends of prompts cost more for each token, and say little of long ones.
        weight = _WEIGHT * min(tokens / _STEP_TOKENS, 1.0)
        known = self._token_seconds[scored]
        self._token_seconds[scored] = one if known is None else known + weight * (one - known)

    def note_step(self, seconds: float) -> None:
        """All rows decoded one token."""
        known = self._step_seconds
        self._step_seconds = known + _WEIGHT * (seconds - known) if known else seconds

    def chunk(self, *, decoding: bool, longest_wait_seconds: float, scored: bool = False) -> int:
        """Tokens to read before the next step."""
        if self._chunk_tokens is not None:
            return self._chunk_tokens
        known = self._token_seconds[scored]
        if known is None:
            return _STEP_TOKENS if scored else _STEP_TOKENS * 4
        return _round(self._chunk_seconds(decoding, longest_wait_seconds) / known)

    def retry_seconds(self, queued_tokens: int) -> int:
        """When to come back: so many tokens wait to be read."""
        seconds = queued_tokens * (self._token_seconds[False] or 0.0)
        return min(max(int(seconds) + 1, 1), _MAX_RETRY_SECONDS)

    def _chunk_seconds(self, decoding: bool, longest_wait_seconds: float) -> float:
        if not decoding:
            return max(_ALONE_SECONDS, self._target_seconds)
        target = self._target_seconds
        left = max(target - self._step_seconds, target * _MIN_PART)
        return left * min(1 + longest_wait_seconds / _GROWTH_SECONDS, _MAX_GROWTH)


def _round(tokens: float) -> int:
    whole = int(min(tokens, _MAX_TOKENS)) // _STEP_TOKENS * _STEP_TOKENS
    return max(whole, _STEP_TOKENS)
