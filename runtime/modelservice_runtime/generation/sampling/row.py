"""What the sampling of one generation remembers between steps: its generator, and the tokens it has seen."""

from collections.abc import Collection
from dataclasses import dataclass
from math import isfinite
from random import Random

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.sampling.seen_tokens import SeenTokens
from modelservice_runtime.generation.values import GenerationRequest, Guide, Sampling

# Below it a temperature is none: dividing by it says nothing more than which token is the most probable.
LOWEST_TEMPERATURE = 1e-5


@dataclass(frozen=True, slots=True)
class _Bias:
    """What is added to the logits of some tokens."""

    tokens: NDArray[np.int64]
    values: NDArray[np.float32]


class SamplingRow:
    """One generation's part in `choose`; it goes wherever the generation's row goes.

    `end_tokens` may not come before `request.min_tokens` tokens: the model's end of text and the request's
    own. The prompt was checked by `check_tokens`, once for all its texts; what is to be remembered of it is
    looked for when the row makes its first token, for that takes long. Raises InvalidRequestError where
    `logit_bias` names tokens that a vocabulary of `vocabulary` lacks.
    """

    __slots__ = (
        "_bias", "_ends", "_made", "_min_tokens", "_random", "_remembered", "_seen", "guide", "sampling",
    )  # fmt: skip

    def __init__(
        self, request: GenerationRequest, vocabulary: int, end_tokens: frozenset[int] = frozenset()
    ) -> None:
        check_tokens(request.sampling.logit_bias, vocabulary, "logit_bias")
        self.sampling = request.sampling
        self.guide: Guide | None = request.guide
        self._made = 0
        self._min_tokens = request.min_tokens
        ends = sorted(end for end in end_tokens | request.stop_ids if 0 <= end < vocabulary)
        self._ends = np.array(ends, np.int64)
        self._bias = _bias_of(self.sampling)
        self._remembered = _remembered_of(request)
        self._seen: SeenTokens | None = None
        # Python's generator takes the absolute value of a seed; two seeds are two texts.
        seed = self.sampling.seed
        self._random = Random() if seed is None else Random(seed % 2**64)  # noqa: S311 - no secret

    @property
    def is_greedy(self) -> bool:
        """Whether it takes the most probable token always."""
        return self.sampling.temperature < LOWEST_TEMPERATURE

    def adjust(self, logits: NDArray[np.float32]) -> None:
        """Change the row's `logits` [vocabulary] in place, in vLLM's order: bias, bans, then penalties."""
        if self._bias is not None:
            logits[self._bias.tokens] += self._bias.values
        if self._made < self._min_tokens and not (self.guide and self.guide.ended):
            logits[self._ends] = -np.inf
        if (seen := self._seen_tokens()) is not None:
            seen.penalize(logits)

    def draw(self) -> float:
        """The next number of the row's own generator, in [0, 1)."""
        return self._random.random()

    def accept(self, token: int) -> None:
        """Remember the token that was chosen."""
        self._made += 1
        if (seen := self._seen_tokens()) is not None:
            seen.add(token)
        if self.guide is not None:
            self.guide.accept(token)

    def _seen_tokens(self) -> SeenTokens | None:
        if self._seen is None and self._remembered is not None:
            self._seen = SeenTokens(self.sampling, self._remembered)
        return self._seen


def check_tokens(tokens: Collection[int], vocabulary: int, param: str) -> None:
    """Raise InvalidRequestError where a vocabulary of this size lacks one."""
    if tokens and not (min(tokens) >= 0 and max(tokens) < vocabulary):
        wrong = next(token for token in tokens if not 0 <= token < vocabulary)
        raise InvalidRequestError(f"{param} names token {wrong}, expected 0 to {vocabulary - 1}", param=param)


def _bias_of(sampling: Sampling) -> _Bias | None:
    if not sampling.logit_bias:
        return None
    if not all(map(isfinite, sampling.logit_bias.values())):
        raise InvalidRequestError("logit_bias holds a value that is no finite number", param="logit_bias")
    return _Bias(
        np.fromiter(sampling.logit_bias.keys(), np.int64),
        np.fromiter(sampling.logit_bias.values(), np.float32),
    )


def _remembered_of(request: GenerationRequest) -> tuple[int, ...] | None:
    """What is penalized from the beginning; None where nothing ever is."""
    sampling = request.sampling
    if sampling.repetition_penalty != 1:
        return request.prompt
    return () if sampling.presence_penalty or sampling.frequency_penalty else None
