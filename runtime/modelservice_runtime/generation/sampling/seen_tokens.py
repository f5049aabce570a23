"""The tokens that a generation has seen, and the penalties that they earn."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.generation.values import Sampling


class SeenTokens:
    """Distinct tokens of a prompt and of what was generated, with how often each was generated.

    Costs by the number of distinct tokens, whatever the vocabulary.
    """

    __slots__ = ("_counts", "_places", "_sampling", "_tokens")

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        distinct = dict.fromkeys(prompt)
        self._places = {token: place for place, token in enumerate(distinct)}
        self._tokens = np.fromiter(distinct, np.int64)
        self._counts = np.zeros(len(distinct), np.float32)

    def add(self, token: int) -> None:
        """Count a token that was generated."""
        place = self._place_of(token)
        self._counts[place] += 1

    def penalize(self, logits: NDArray[np.float32]) -> None:
        """Lower the logits of seen tokens in place.

        First Hugging Face's repetition penalty, prompt included, then OpenAI's two for what was generated:
        `frequency` as often as a token came, `presence` once.
        """
        seen = len(self._places)
        tokens, counts = self._tokens[:seen], self._counts[:seen]
        repetition = np.float32(self._sampling.repetition_penalty)
        values = logits[tokens]
        values = np.where(values > 0, values / repetition, values * repetition)
        values -= np.float32(self._sampling.frequency_penalty) * counts
        values -= np.float32(self._sampling.presence_penalty) * (counts > 0)
        logits[tokens] = values

    def _place_of(self, token: int) -> int:
        place = self._places.setdefault(token, len(self._places))
        if place == len(self._tokens):
            room = place + 16
            self._tokens = np.concatenate([self._tokens, np.zeros(room, np.int64)])
            self._counts = np.concatenate([self._counts, np.zeros(room, np.float32)])
        self._tokens[place] = token
        return place
