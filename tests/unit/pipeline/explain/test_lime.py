"""The regression of LIME, where there are more features than variants."""

import numpy as np
import pytest

from modelservice_pipeline.explain import lime


@pytest.mark.parametrize("features", [3, 19, 20, 21, 90])
def test_coefficients_are_those_of_the_normal_equations(features: int) -> None:
    generator = np.random.default_rng(0)
    table = generator.integers(0, 2, (20, features)).astype(np.float64)
    scores, proximity = generator.random(20), generator.random(20)
    found, intercept = lime._ridge(table, scores, proximity, 0.01)
    root = np.sqrt(proximity)[:, np.newaxis]
    # One more column for the intercept, and rows that are the penalty on all others.
    system = np.vstack([np.hstack([table, np.ones((20, 1))]) * root, np.eye(features, features + 1) * 0.1])
    answers = np.append(scores * root[:, 0], np.zeros(features))
    expected = np.linalg.lstsq(system, answers, rcond=None)[0]
    np.testing.assert_allclose(np.append(found, intercept), expected, atol=1e-8)


def test_many_features_need_no_square_of_them() -> None:
    # A square of these would be 320 GB.
    masks = np.random.default_rng(0).random((12, 200_000)) < 0.5
    masks[:, 7] = np.arange(12) % 2
    scores = masks[:, 7].astype(np.float64)
    found = lime.fit_linear_model(masks, scores, np.ones(12), most=3)
    assert np.count_nonzero(found.weights) == 3
    assert found.fit > 0.5
