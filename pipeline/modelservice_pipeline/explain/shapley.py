"""Shapley values: exact over all coalitions, and KernelSHAP where there are too many.

Source: Lundberg, Lee, "A Unified Approach to Interpreting Model Predictions" (2017). Coalitions are taken
size by size from the outside, as long as all of a size fit, then drawn in pairs with their complements: as
the authors' package `shap` does, so that both need the same number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from modelservice_pipeline.explain.subject import Numbers
from modelservice_pipeline.explain.words import Masks

MOST_EXACT_FEATURES = 16
"""65,536 coalitions, each asked over the whole background."""

Game = Callable[[Masks], Numbers]
"""What the model answers with these features alone, for each mask."""


@dataclass(frozen=True)
class Attribution:
    """What each feature adds, without and with all of them, and how many coalitions were looked at."""

    weights: Numbers
    base: float
    prediction: float
    samples: int


def all_coalitions(features: int) -> Masks:
    """Return every subset once; row c has feature f where bit f of c is set."""
    numbers = np.arange(2**features)[:, np.newaxis]
    return (numbers >> np.arange(features) & 1).astype(bool)


def attribute_exactly(game: Game, features: int) -> Attribution:
    """Compute Shapley values by their definition: 2 to the power of `features` coalitions."""
    masks = all_coalitions(features)
    scores = game(masks)
    sizes = masks.sum(axis=1)
    shares = np.array([1 / (features * comb(features - 1, size)) for size in range(features)])
    weights = np.empty(features)
    everything = np.arange(len(masks))
    for feature in range(features):
        without = everything[~masks[:, feature]]
        gains = scores[without | 1 << feature] - scores[without]
        weights[feature] = shares[sizes[without]] @ gains
    return Attribution(weights, float(scores[0]), float(scores[-1]), len(masks))


def attribute_by_kernel(
    game: Game, features: int, samples: int, generator: np.random.Generator
) -> Attribution:
    """Estimate Shapley values by a weighted regression over at most `samples` coalitions.

    Where all coalitions are among them the result is exact but for rounding.
    """
    ends = game(np.array([[False] * features, [True] * features]))
    base, prediction = float(ends[0]), float(ends[1])
    if features == 1:
        return Attribution(np.array([prediction - base]), base, prediction, 2)
    masks, weights = sample_coalitions(features, samples, generator)
    scores = game(masks)
    return Attribution(
        _solve(masks, weights, scores - base, prediction - base), base, prediction, len(masks) + 2
    )


def sample_coalitions(features: int, samples: int, generator: np.random.Generator) -> tuple[Masks, Numbers]:
    """Return coalitions, none twice and neither the empty nor the full one, and how much each counts."""
    half = features // 2
    sizes = np.arange(1, half + 1)
    shares = (features - 1) / (sizes * (features - sizes))
    paired = sizes != features - sizes
    shares = shares * np.where(paired, 2, 1)
    shares /= shares.sum()
    chosen: list[tuple[Masks, Numbers]] = []
    left = samples
    for place, size in enumerate(sizes):
        count = comb(features, int(size)) * (2 if paired[place] else 1)
        # In proportion to what the sizes that are left count, this one could be drawn completely.
        if left * shares[place] / shares[place:].sum() < count - 1e-8:
            chosen.append(_draw(features, sizes[place:], shares[place:], left, generator))
            break
        masks = _complete(features, int(size), both=bool(paired[place]))
        chosen.append((masks, np.full(len(masks), shares[place] / len(masks))))
        left -= count
    return np.concatenate([masks for masks, _ in chosen]), np.concatenate([each for _, each in chosen])


def _complete(features: int, size: int, *, both: bool) -> Masks:
    masks = np.zeros((comb(features, size), features), dtype=bool)
    for row, members in enumerate(combinations(range(features), size)):
        masks[row, list(members)] = True
    return np.concatenate([masks, ~masks]) if both else masks


def _draw(
    features: int,
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]],
    shares: Numbers,
    samples: int,
    generator: np.random.Generator,
) -> tuple[Masks, Numbers]:
    """Draw coalitions of these sizes and their complements; one drawn again counts more."""
    counts: dict[bytes, float] = {}
    # A few more tries than places: those drawn before need none.
    for size in generator.choice(sizes, p=shares / shares.sum(), size=4 * max(1, samples)):
        if len(counts) + 2 > max(2, samples):
            break
        mask = np.zeros(features, dtype=bool)
        mask[generator.permutation(features)[:size]] = True
        for member in (mask, ~mask):
            counts[member.tobytes()] = counts.get(member.tobytes(), 0) + 1
    masks = np.array([np.frombuffer(key, dtype=bool) for key in counts])
    weights = np.array(list(counts.values()))
    return masks, weights * (shares.sum() / weights.sum())


def _solve(masks: Masks, weights: Numbers, gains: Numbers, total: float) -> Numbers:
    """Regress with the last feature taken from the others, so that all add up to `total`."""
    table = masks.astype(np.float64)
    last = table[:, -1]
    differences = table[:, :-1] - last[:, np.newaxis]
    roots = np.sqrt(weights)
    found, *_ = np.linalg.lstsq(
        differences * roots[:, np.newaxis], (gains - last * total) * roots, rcond=None
    )
    return np.append(found, total - found.sum())


def chunks(masks: Masks, rows: int) -> Iterator[Masks]:
    """Cut masks into parts of at most so many rows."""
    for start in range(0, len(masks), rows):
        yield masks[start : start + rows]
