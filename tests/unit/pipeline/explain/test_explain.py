import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.pipeline.explain.played_models import Played, computing, counting

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.explain import METHODS, Method, Options
from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.request import Question, explain_given
from modelservice_pipeline.explain.show import to_sentences
from modelservice_pipeline.model.port import Port

TEXT = "call now to claim your prize, mum"


def explain(predictor: Played, given: Any, background: Any = None, **settings: Any) -> Explanation:
    names = ("output", "index", "each_word", "names")
    asked = {name: settings.pop(name) for name in names if name in settings}
    rows = None if background is None else {"x": np.asarray(background)}
    return explain_given(predictor, given, rows, Question(Options(**{"method": "lime", **settings}), **asked))


def weights(explanation: Explanation) -> dict[str, float]:
    return dict(zip(explanation.features, explanation.weights.tolist(), strict=True))


@pytest.mark.parametrize("method", ["shap", "exact"])
def test_words_of_an_additive_model_get_their_weights(method: Method) -> None:
    found = explain(counting(prize=3.0, mum=-2.0), TEXT, method=method)
    expected = {"call": 0, "now": 0, "to": 0, "claim": 0, "your": 0, "prize": 0, "mum": -2}
    # "prize," with its comma is another word to this model; the comma stays when a word is taken out.
    assert weights(found) == pytest.approx(expected, abs=1e-9)
    assert found.additivity_error == pytest.approx(0, abs=1e-9)


def test_lime_finds_the_words_that_count_and_their_order() -> None:
    found = explain(counting(claim=3.0, now=-2.0), TEXT, features=3)
    names = [found.features[index] for index in found.order()]
    assert names[:2] == ["claim", "now"]
    assert (found.weights != 0).sum() <= 3
    assert weights(found)["claim"] == pytest.approx(3, rel=0.1)
    assert weights(found)["now"] == pytest.approx(-2, rel=0.1)
    assert found.prediction == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_the_same_numbers_and_another_one_others_where_something_is_drawn(
    method: Method,
) -> None:
    text = " ".join("abcdefghijklmn")
    model = Played(
        Port("text", "object", (None,)),
        lambda texts: np.array([len(set(text.split())) ** 1.5 + text.count("c") for text in texts]),
    )
    first, second = (explain(model, text, method=method, samples=100, seed=7) for _ in range(2))
    other = explain(model, text, method=method, samples=100, seed=8)
    assert first.to_document() == {**second.to_document(), "rows": first.rows}
    assert (first.weights.tolist() == other.weights.tolist()) == (method == "exact")


def test_columns_of_a_linear_model_get_their_distance_from_the_background() -> None:
    slopes = np.array([2.0, -1.0, 0.0])
    background = np.random.default_rng(0).normal(size=(50, 3))
    for method in ("shap", "exact"):
        found = explain(computing(lambda x: x @ slopes, 3), [1, 2, 3], background, method=method)
        np.testing.assert_allclose(
            found.weights, slopes * (np.array([1, 2, 3]) - background.mean(axis=0)), atol=1e-9
        )
        assert found.base == pytest.approx((background @ slopes).mean())


def test_a_column_that_is_always_the_same_gets_nothing_and_costs_nothing() -> None:
    background = np.random.default_rng(0).normal(size=(4, 30))
    background[:, 5:] = 1.0
    row = [0.0, 1.0, 2.0, 3.0, 4.0, *[1.0] * 25]
    found = explain(computing(lambda x: x.sum(axis=1) ** 2, 30), row, background, method="exact")
    assert found.samples == 32
    assert (found.weights[5:] == 0).all()


def test_lime_of_a_row_finds_the_column_that_counts() -> None:
    background = np.random.default_rng(0).normal(size=(200, 4))
    model = computing(lambda x: (x[:, 2] > 0.5).astype(float) + 0.01 * x[:, 0], 4)
    found = explain(model, [0, 0, 2, 0], background)
    assert found.order()[0] == 2
    assert found.weights[2] > 0.3
    assert found.fit is not None
    assert 0 < found.fit <= 1


def test_nan_of_a_row_is_a_value_like_others() -> None:
    background = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 5.0]])
    model = computing(lambda x: np.isnan(x[:, 1]) * 1.0, 2)
    found = explain(model, [1.0, None], background, method="exact")
    assert found.weights.tolist() == pytest.approx([0, 1 / 3])


@pytest.mark.parametrize("row", [[2.0, 0.0], [None, 0.0]])
def test_lime_weighs_columns_with_gaps_and_the_gaps_themselves(row: list[float | None]) -> None:
    background = np.random.default_rng(0).normal(size=(200, 2))
    background[::5, 0] = np.nan
    model = computing(lambda x: (np.isnan(x[:, 0]) if row[0] is None else x[:, 0] > 1.0).astype(float), 2)
    found = explain(model, row, background)
    assert found.order()[0] == 0
    assert found.weights[0] > 0.3


def test_lime_warns_where_its_linear_model_explains_less_than_half() -> None:
    background = np.random.default_rng(0).normal(size=(200, 2))
    poor = explain(computing(lambda x: np.sign(x[:, 0] * x[:, 1]), 2), [1.0, 1.0], background)
    good = explain(computing(lambda x: (x[:, 0] > 0.7).astype(float), 2), [2.0, 0.0], background)
    assert poor.fit is not None
    assert good.fit is not None
    assert poor.fit < 0.5 < good.fit
    assert "use the method shap" in to_sentences(poor)[-1]
    assert "use the method" not in " ".join(to_sentences(good))


def test_a_model_that_answers_nan_is_told() -> None:
    model = computing(lambda x: np.where(x[:, 0] > 1, np.nan, 1.0), 1)
    with pytest.raises(PipelineError, match=r"NaN or infinity as p\[0\]"):
        explain(model, [0.0], [[2.0], [3.0]], method="exact")


@pytest.mark.parametrize(
    ("given", "settings", "sentence"),
    [
        ([1, 2], {}, "against a background"),
        ([1, 2, 3], {"background": [[1, 2]]}, "has the shape 1 x 3, and the model takes rows x 2"),
        (["a", "b"], {"background": [[1, 2]]}, "the data has texts"),
        ({"y": [1, 2]}, {"background": [[1, 2]]}, "takes 'x'"),
        ([[1], [1, 2]], {"background": [[1, 2]]}, "different lengths"),
        ([1, 2], {"background": [[1, 2]], "output": "q"}, "choose of 'p'"),
        ([1, 2], {"background": [[1, 2]], "index": 1}, "from 0 to 0"),
        ([1, 2], {"background": [[1, 2]], "names": ["a"]}, "1 names for 2 values"),
    ],
)
def test_bad_input_is_told(given: Any, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        explain(computing(lambda x: x.sum(axis=1), 2), given, **settings)


def test_a_row_of_another_width_than_the_background_is_told() -> None:
    model = Played(Port("x", "float64", (None, None)), lambda x: x.sum(axis=1))
    with pytest.raises(PipelineError, match=r"the row has the shape \[3\].*background \[2\]"):
        explain(model, [1, 2, 3], [[1, 2]])


def test_too_many_features_for_the_exact_method_are_told() -> None:
    with pytest.raises(PipelineError, match="17 features, and the exact method takes 16"):
        explain(counting(), " ".join("abcdefghijklmnopq"), method="exact")


def test_the_largest_number_is_explained_where_none_is_named() -> None:
    model = computing(lambda x: np.stack([x[:, 0], -x[:, 0]], axis=1), 1)
    found = explain(model, [-3.0], [[0.0]], method="exact")
    assert (str(found.target), found.weights.tolist()) == ("p[1]", [3.0])
    assert explain(model, [-3.0], [[0.0]], method="exact", index=0).weights.tolist() == [-3.0]


def test_a_document_is_json() -> None:
    found = explain(counting(mum=1.0), TEXT)
    assert json.loads(json.dumps(found.to_document(), allow_nan=False))["features"][0]["name"] == "call"
    assert replace(found, fit=None).to_document()["fit"] is None
