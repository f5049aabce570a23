"""Logarithms of probabilities, as the model told them before anything narrowed the choice."""

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.generation.sampling.narrowing import highest
from modelservice_runtime.generation.values import TokenLogprob

# What JSON can tell of a probability of nothing.
_LOWEST = -9999.0


class LogProbabilities:
    """Of one step of one row: of any token, beside the `count` most probable ones."""

    __slots__ = ("_alternatives", "_logits", "_normalizer")

    def __init__(self, logits: NDArray[np.float32], count: int) -> None:
        self._logits = logits.copy()
        peak = logits.max()
        self._normalizer = float(peak) + float(np.log(np.exp(logits - peak).sum(dtype=np.float64)))
        self._alternatives = tuple((token, self._logprob(token)) for token in self._best(count))

    def of(self, token: int) -> TokenLogprob:
        """The token's, with the alternatives."""
        return TokenLogprob(token, self._logprob(token), self._alternatives)

    def _logprob(self, token: int) -> float:
        return max(float(self._logits[token]) - self._normalizer, _LOWEST)

    def _best(self, count: int) -> list[int]:
        """The most probable tokens, best first; of equals, the lower ones."""
        if count == 0:
            return []
        tokens = highest(self._logits, count)
        order = np.argsort(-self._logits[tokens], kind="stable")
        return [int(token) for token in tokens[order[:count]]]
