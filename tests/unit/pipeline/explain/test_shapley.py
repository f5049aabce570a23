from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_pipeline.explain.shapley import (
    Game,
    all_coalitions,
    attribute_by_kernel,
    attribute_exactly,
    sample_coalitions,
)
from modelservice_pipeline.explain.subject import Numbers
from modelservice_pipeline.explain.words import Masks


def game_of(values: Numbers) -> Game:
    """A game with a value for each coalition; bit f of the position says whether f is in it."""

    def game(masks: Masks) -> Numbers:
        found: Numbers = values[(masks << np.arange(masks.shape[1])).sum(axis=1)]
        return found

    return game


def random_game(features: int, seed: int) -> Game:
    return game_of(np.random.default_rng(seed).normal(size=2**features))


def by_orders(game: Game, features: int) -> Numbers:
    """Shapley's own definition: the mean gain over all orders in which features can come."""
    gains = np.zeros(features)
    orders = list(permutations(range(features)))
    for order in orders:
        mask = np.zeros((1, features), dtype=bool)
        before = game(mask)[0]
        for feature in order:
            mask[0, feature] = True
            after = game(mask)[0]
            gains[feature] += after - before
            before = after
    return gains / len(orders)


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_the_exact_method_is_the_mean_over_all_orders(features: int) -> None:
    game = random_game(features, features)
    found = attribute_exactly(game, features)
    np.testing.assert_allclose(found.weights, by_orders(game, features), atol=1e-12)
    assert found.samples == 2**features


@given(st.integers(1, 8), st.integers(0, 1000))
def test_kernel_shap_over_all_coalitions_is_exact(features: int, seed: int) -> None:
    game = random_game(features, seed)
    exact = attribute_exactly(game, features)
    found = attribute_by_kernel(game, features, 2**features, np.random.default_rng(0))
    np.testing.assert_allclose(found.weights, exact.weights, atol=1e-9)
    assert (found.base, found.prediction) == (exact.base, exact.prediction)


@given(st.integers(2, 40), st.integers(2, 400), st.integers(0, 3))
def test_drawn_coalitions_are_proper_distinct_paired_and_no_more_than_asked(
    features: int, samples: int, seed: int
) -> None:
    masks, weights = sample_coalitions(features, samples, np.random.default_rng(seed))
    assert len(masks) <= max(samples, 2)
    assert len({mask.tobytes() for mask in masks}) == len(masks) == len(weights)
    assert all(0 < size < features for size in masks.sum(axis=1))
    assert {mask.tobytes() for mask in ~masks} == {mask.tobytes() for mask in masks}
    assert weights.sum() == pytest.approx(1)


def test_kernel_shap_of_a_linear_game_is_exact_with_few_samples() -> None:
    weights = np.random.default_rng(0).normal(size=30)
    found = attribute_by_kernel(lambda masks: 3 + masks @ weights, 30, 200, np.random.default_rng(1))
    np.testing.assert_allclose(found.weights, weights, atol=1e-9)
    assert found.base == 3


def test_kernel_shap_with_samples_comes_near_the_exact_values() -> None:
    features = 14
    generator = np.random.default_rng(3)
    single, pairs = generator.normal(size=features), generator.normal(size=(features, features)) / 4
    values = np.array(
        [mask @ single + mask @ pairs @ mask for mask in all_coalitions(features).astype(float)]
    )
    exact = attribute_exactly(game_of(values), features)
    found = attribute_by_kernel(game_of(values), features, 4000, np.random.default_rng(4))
    np.testing.assert_allclose(found.weights, exact.weights, atol=0.05)
    assert found.base + found.weights.sum() == pytest.approx(found.prediction, abs=1e-12)
