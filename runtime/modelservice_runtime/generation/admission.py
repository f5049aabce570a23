"""Whose prompts may wait: all of a request's or none, so that no half of one runs. Pure."""

from collections import Counter
from collections.abc import Callable, Sequence

from modelservice_runtime.errors import OverloadedError
from modelservice_runtime.generation.values import GenerationRequest

# Even prompts of a word must not be without number.
_MIN_TOKENS = 32


def queued_tokens(requests: Sequence[GenerationRequest], *, keeps_prefixes: bool) -> list[int]:
    """How much of the queue each of these takes. Texts of one prompt (the same object) read it once."""
    read: set[int] = set()
    found: list[int] = []
    for one in requests:
        is_known = id(one.prompt) in read and keeps_prefixes and not one.scores_prompt
        found.append(_MIN_TOKENS if is_known else max(len(one.prompt), _MIN_TOKENS))
        read.add(id(one.prompt))
    return found


class PromptQueue:
    """Tokens of prompts that wait, by owner. `retry_seconds` says when so many will have been read."""

    def __init__(self, limit: int, retry_seconds: Callable[[int], int]) -> None:
        self.waiting = 0
        self._limit = limit
        self._retry_seconds = retry_seconds
        self._tokens: Counter[str] = Counter()

    def enter(self, owner: str, tokens: Sequence[int]) -> None:
        """Let prompts of one request wait; whatever there is of them where nothing else waits.

        Where one owner has filled the queue, others share one as large equally: what an owner has beyond
        the limit is not held against them. Raises OverloadedError.
        """
        queued, limit, wanted = self._tokens.total(), self._limit, sum(tokens)
        own = self._tokens[owner] + wanted
        owners = len({*self._tokens, owner})
        counted = sum(min(one, limit) for one in self._tokens.values())
        has_share = own <= limit // owners and counted + wanted <= 2 * limit
        if queued and queued + wanted > limit and not has_share:
            seconds = self._retry_seconds(queued)
            raise OverloadedError(
                f"{queued} prompt tokens are waiting, this request has {wanted} more and the limit is "
                f"{limit}; try again in {seconds} s",
                retry_after_seconds=seconds,
            )
        self._tokens[owner] = own
        self.waiting += len(tokens)

    def leave(self, owner: str, tokens: int) -> None:
        """One of them waits no more."""
        self.waiting -= 1
        self._tokens[owner] -= tokens
        if not self._tokens[owner]:
            del self._tokens[owner]
