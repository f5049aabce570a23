"""Which tokens are left to draw from: top-k, min-p and top-p, by selection and never by a sort of all.

A vocabulary has 50,000 to 250,000 tokens: a sort of one row costs more than the model's step, while a
partition of a few hundred candidates is nothing. What decides is the value alone, so a row is narrowed alike
in any company.
"""

from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.generation.values import Sampling

# As long as the highest of each block are more than what is looked for, the rest of the blocks cannot matter.
_BLOCK = 64


def narrow(
    scores: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.int64] | None, NDArray[np.float32]]:
    """The tokens that may be drawn (None: all), and their weights: probabilities times some factor.

    `scores` [vocabulary]: logits over temperature, 0 the highest. As in vLLM, tokens less probable than
    `min_p` times the best go first, then all but the `top_k` best (equals of the last stay), then all beyond
    the smallest set that has the probability `top_p` of what is left. The best stays always.
    """
    tokens = _best(scores, sampling)
    weights = np.exp(scores if tokens is None else scores[tokens])
    if sampling.top_p < 1:
        kept = _nucleus(weights, sampling.top_p)
        tokens = kept if tokens is None else tokens[kept]
        weights = weights[kept]
    return tokens, weights


def highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The places of the `count` highest values in ascending order of place, with all equals of the last."""
    if count >= len(values):
        return np.arange(len(values))
    places = np.flatnonzero(values >= _at_most_the_nth_highest(values, count))
    candidates = values[places]
    nth = np.partition(candidates, len(candidates) - count)[len(candidates) - count]
    best: NDArray[np.int64] = places[candidates >= nth]
    return best


def _best(scores: NDArray[np.float32], sampling: Sampling) -> NDArray[np.int64] | None:
    """What top-k and min-p leave; None is everything."""
    tokens = highest(scores, sampling.top_k) if 0 < sampling.top_k < len(scores) else None
    if sampling.min_p <= 0:
        return tokens
    lowest = np.float32(log(min(sampling.min_p, 1)))
    if tokens is None:
        return np.flatnonzero(scores >= lowest)
    return tokens[scores[tokens] >= lowest]


def _nucleus(weights: NDArray[np.float32], share: float) -> NDArray[np.int64]:
    """The places of the fewest weights that sum up to `share` of all; of equals, the first."""
    # The upper half of a float's bits orders numbers that are not negative, to a hundredth of their size.
    buckets = weights.view(np.uint32) >> 16
    sums = np.bincount(buckets, weights).cumsum()
    mass = share * float(sums[-1])
    # The bucket in which the sum, from the heaviest on, reaches the mass; what the lighter ones have is left.
    last = int(sums.searchsorted(float(sums[-1]) - mass, side="right"))
    last = min(last, len(sums) - 1)
    above = float(sums[-1] - sums[last])
    lowest, equals_mass = _lowest_kept(weights[buckets == last], mass - above)
    kept = np.flatnonzero(weights > lowest)
    equals = np.flatnonzero(weights == lowest)
    needed = max(ceil(equals_mass / lowest), 1) if lowest > 0 else 0
    return np.concatenate([kept, equals[:needed]])


def _lowest_kept(weights: NDArray[np.float32], mass: float) -> tuple[float, float]:
    """The value at which weights, from the heaviest on, reach the mass; and what those equal to it must give.

    A quickselect by weight: each turn looks at the half in which the end lies.
    """
    rest = weights
    while len(rest):
        middle = len(rest) // 2
        pivot = np.partition(rest, middle)[middle]
        upper = rest[rest > pivot]
        upper_mass = float(upper.sum(dtype=np.float64))
        if len(upper) and upper_mass >= mass:
            rest = upper
            continue
        mass -= upper_mass
        equals_mass = float(pivot) * np.count_nonzero(rest == pivot)
        if equals_mass >= mass or len(upper) + np.count_nonzero(rest == pivot) == len(rest):
            return float(pivot), mass
        mass -= equals_mass
        rest = rest[rest < pivot]
    return 0.0, 0.0


def _at_most_the_nth_highest(values: NDArray[np.float32], count: int) -> np.float32:
    """A bound that at least `count` of the values reach, from the highest value of each block."""
    blocks = len(values) // _BLOCK
    if blocks < count:
        return np.float32(-np.inf)
    peaks = values[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
    bound: np.float32 = np.partition(peaks, blocks - count)[blocks - count]
    return bound
