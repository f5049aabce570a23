"""Logarithms of probabilities, as the model told them before anything narrowed the choice."""

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.errors import InferenceFailedError
from modelservice_runtime.generation.sampling.narrowing import highest
from modelservice_runtime.generation.values import TokenLogprob

# What JSON can tell of a probability of nothing.
_LOWEST = -9999.0


def logprob_of(token: int, logits: NDArray[np.float32], count: int) -> TokenLogprob:
    """A token's by the logits [vocabulary] before it, with the alternatives. Raises InferenceFailedError."""
    if not np.isfinite(logits.max()):
        raise InferenceFailedError("the model's numbers are none (NaN or infinity)")
    return LogProbabilities(logits, count).of(token)


class LogProbabilities:
    """Of one step of one row: of any token, beside the `count` most probable ones.

    The logits [vocabulary] are those of a copy, or of a run that nobody else looks at.
    """

    __slots__ = ("_alternatives", "_logits", "_normalizer")

    def __init__(self, logits: NDArray[np.float32], count: int) -> None:
        self._logits = logits
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
