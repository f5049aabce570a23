"""Every figure is the one that scikit-learn or sacrebleu computes, for whole data and for weighted rows."""

import numpy as np
import pytest
import sacrebleu
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import Answers, choose_positive
from modelservice_pipeline.evaluate.calibration import compute_reliability
from modelservice_pipeline.evaluate.classification import count_confusion
from modelservice_pipeline.evaluate.metrics import METRICS, get_metric
from modelservice_pipeline.evaluate.ranking import compute_curve
from modelservice_pipeline.evaluate.resampling import compute_figure


def texts(values):
    return np.fromiter(values, object, len(values))


def figure(name, labels, answers, weights=None, **options):
    if weights is None:
        return compute_figure(METRICS[name], labels, answers, **options)
    positive = options.get("positive", choose_positive(labels, answers))
    return METRICS[name].build(labels, answers, positive)(np.array([weights], float))[0]


classes = st.lists(st.sampled_from(["a", "b", "ç", "dd"]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(classes, st.data())
def test_class_metrics_are_those_of_scikit_learn(labels, data):
    predicted = data.draw(
        st.lists(st.sampled_from(["a", "b", "ç", "x"]), min_size=len(labels), max_size=len(labels))
    )
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels)))
    kept = [row for row, weight in enumerate(weights) for _ in range(weight)]
    assume(kept)
    true, answers = texts(labels), Answers(texts(predicted))
    said = [predicted[row] for row in kept]
    for average in ("macro", "micro", "weighted"):
        expected = sk.precision_recall_fscore_support(
            [labels[row] for row in kept], said, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            if f"{name}_{average}" in METRICS:
                assert figure(f"{name}_{average}", true, answers, weights) == pytest.approx(value)
    accuracy = sk.accuracy_score([labels[row] for row in kept], said)
    assert figure("accuracy", true, answers, weights) == pytest.approx(accuracy)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_binary_metrics_are_of_the_greater_class(pairs):
    labels, predicted = np.array(pairs).T
    expected = sk.precision_recall_fscore_support(labels, predicted, average="binary", zero_division=0)
    assume(len({*labels, *predicted}) == 2 or 1 in labels)
    answers = Answers(predicted)
    found = [figure(name, labels, answers) for name in ("precision", "recall", "f1")]
    assert found == pytest.approx(expected[:3])


def test_balanced_accuracy_and_confusion_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 5, 300), generator.integers(0, 5, 300)
    assert figure("balanced_accuracy", labels, Answers(predicted)) == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted)
    )
    assert np.array_equal(
        count_confusion(labels, predicted, [0, 1, 2, 3, 4]), sk.confusion_matrix(labels, predicted)
    )


scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=40)


@settings(max_examples=80, deadline=None)
@given(scored)
def test_ranking_metrics_are_those_of_scikit_learn_with_ties_and_weights(rows):
    labels, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    probabilities = np.stack([1 - scores / 6, scores / 6], axis=1)
    answers = Answers(probabilities.argmax(axis=1), probabilities, np.array([0, 1]))
    assume({0, 1} <= set(labels[weights > 0].tolist()))
    for name, expected in (
        ("roc_auc", sk.roc_auc_score(labels, scores, sample_weight=weights)),
        ("average_precision", sk.average_precision_score(labels, scores, sample_weight=weights)),
    ):
        assert figure(name, labels, answers, weights, positive=1) == pytest.approx(expected)


def test_probability_metrics_of_many_classes_are_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    labels = texts(generator.choice(["a", "b", "c"], 200).tolist())
    probabilities = generator.dirichlet([1, 1, 1], 200)
    answers = Answers(texts(["a"] * 200), probabilities, texts(["a", "b", "c"]))
    expected = {
        "roc_auc": sk.roc_auc_score(labels.astype(str), probabilities, multi_class="ovr"),
        "log_loss": sk.log_loss(labels.astype(str), probabilities),
        "brier": sk.brier_score_loss(labels.astype(str), probabilities),
    }
    for name, value in expected.items():
        assert figure(name, labels, answers) == pytest.approx(value)
    two = Answers(
        np.zeros(200),
        probabilities[:, :2] / probabilities[:, :2].sum(axis=1, keepdims=True),
        np.array([0, 1]),
    )
    truth = generator.integers(0, 2, 200)
    assert figure("brier", truth, two) == pytest.approx(sk.brier_score_loss(truth, two.probabilities[:, 1]))


def test_columns_of_probabilities_are_read_by_their_classes():
    labels = texts(["b", "a", "b"])
    answers = Answers(labels, np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), texts(["b", "a"]))
    assert figure("roc_auc", labels, answers) == 1.0
    assert figure("brier", labels, answers) == pytest.approx(np.mean([0.01, 0.04, 0.09]))


def test_ece_is_the_mean_gap_over_bins():
    probabilities = np.array([[0.1, 0.9]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([1] * 7 + [0] * 3 + [1] * 6 + [0] * 4)
    answers = Answers(np.ones(20, int), probabilities, np.array([0, 1]))
    assert figure("ece", labels, answers) == pytest.approx(0.5 * 0.2 + 0.5 * 0.0)
    points = compute_reliability(labels, answers)
    filled = points.counts > 0
    assert points.accuracies[filled].tolist() == pytest.approx([0.6, 0.7])
    assert points.confidences[filled].tolist() == pytest.approx([0.6, 0.9])


def test_curve_has_the_points_of_scikit_learn():
    generator = np.random.default_rng(2)
    truth, scores = generator.integers(0, 2, 60), generator.integers(0, 9, 60) / 8
    curve = compute_curve(truth.astype(bool), scores)
    false, true, thresholds = sk.roc_curve(truth, scores, drop_intermediate=False)
    assert np.allclose(curve.false_positive_rates, false[1:])
    assert np.allclose(curve.true_positive_rates, true[1:])
    assert np.allclose(curve.thresholds, thresholds[1:])
    precision, _, _ = sk.precision_recall_curve(truth, scores)
    assert np.allclose(curve.precisions, precision[:-1][::-1])


def test_regression_metrics_are_those_of_scikit_learn():
    generator = np.random.default_rng(3)
    for shape in ((100,), (100, 3)):
        labels = generator.normal(1e4, 2, shape)
        answers = Answers(labels + generator.normal(0, 1, shape))
        weights = generator.integers(0, 3, 100)
        for name, function in (
            ("mae", sk.mean_absolute_error),
            ("rmse", sk.root_mean_squared_error),
            ("r2", sk.r2_score),
        ):
            expected = function(labels, answers.predicted, sample_weight=weights)
            assert figure(name, labels, answers, weights, positive=None) == pytest.approx(expected)


SENTENCES = [
    ("Increases the number by one.", "Increases the numbering by one level."),
    ("a", "b"),
    ("", "nothing here"),
    ("El menú  contiene órdenes, y más.", "El menú contiene órdenes y más."),
    ("ok", "ok"),
    ("日本語の文", "日本語の文章"),
]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [0], [1], [2], [4], [3, 3, 5], [1, 2]])
def test_text_metrics_are_those_of_sacrebleu(rows):
    said, wanted = (texts([SENTENCES[row][side] for row in rows]) for side in (0, 1))
    answers = Answers(said)
    assert figure("bleu", wanted, answers) == pytest.approx(
        sacrebleu.corpus_bleu(list(said), [list(wanted)]).score
    )
    assert figure("chrf", wanted, answers) == pytest.approx(
        sacrebleu.corpus_chrf(list(said), [list(wanted)]).score
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text("ab. é\n"), st.text("ab. é\n", min_size=1)), min_size=1, max_size=8))
def test_text_metrics_of_any_characters_are_those_of_sacrebleu(pairs):
    said, wanted = (texts(list(column)) for column in zip(*pairs, strict=True))
    answers = Answers(said)
    assert figure("bleu", wanted, answers) == pytest.approx(
        sacrebleu.corpus_bleu(list(said), [list(wanted)]).score
    )
    assert figure("chrf", wanted, answers) == pytest.approx(
        sacrebleu.corpus_chrf(list(said), [list(wanted)]).score
    )


def test_figures_without_meaning_are_nan():
    one = Answers(np.zeros(3, int), np.array([[1.0, 0.0]] * 3), np.array([0, 1]))
    assert np.isnan(figure("roc_auc", np.zeros(3, int), one))
    assert np.isnan(figure("r2", np.ones(3), Answers(np.ones(3))))
    assert np.isnan(figure("f1_macro", np.zeros(3, int), one, [0, 0, 0]))


def test_metric_is_found_as_people_write_it():
    assert get_metric(" F1-Macro ").name == "f1_macro"
    with pytest.raises(PipelineError, match="no metric 'f2'; there are: accuracy"):
        get_metric("f2")
