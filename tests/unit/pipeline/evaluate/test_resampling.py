"""Intervals and bounds: right on average, equal for equal seeds, the same however rows are merged."""

import numpy as np
import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.metrics import METRICS
from modelservice_pipeline.evaluate.resampling import (
    Bootstrap,
    bootstrap_interval,
    compute_figures_of_parts,
    leave_one_out,
    make_folds,
    paired_bootstrap,
)

ACCURACY, F1, MAE = METRICS["accuracy"], METRICS["f1"], METRICS["mae"]


def make_rows(count, right, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    return labels, Answers(np.where(generator.random(count) < right, labels, 1 - labels))


def test_interval_of_a_share_is_that_of_the_normal_approximation():
    labels, answers = make_rows(2000, 0.9)
    interval = bootstrap_interval(ACCURACY, labels, answers)
    width = 1.96 * np.sqrt(interval.value * (1 - interval.value) / 2000)
    assert interval.value == np.mean(labels == answers.predicted)
    assert interval.high - interval.value == pytest.approx(width, rel=0.15)
    assert interval.value - interval.low == pytest.approx(width, rel=0.15)


def make_rare_classes(seed):
    """Many classes with few rows each, so that every resample lacks some of them."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(40, 80, p=generator.dirichlet(np.full(40, 0.3)))
    scores = generator.dirichlet(np.ones(40), 80)
    return labels, Answers(scores.argmax(axis=1), scores, np.arange(40))


@pytest.mark.parametrize("name", [one.name for one in METRICS.values() if one.task == "classification"])
def test_interval_holds_its_figure_where_resamples_lack_classes(name):
    for seed in range(8):
        labels, answers = make_rare_classes(seed)
        interval = bootstrap_interval(METRICS[name], labels, answers, Bootstrap(resamples=100))
        assert interval.low <= interval.value <= interval.high
        assert interval.low >= 0
        assert interval.high <= 1 or name in ("log_loss", "brier")
        other = make_rare_classes(seed + 100)[1]
        paired = paired_bootstrap(name, labels, other, answers, Bootstrap(resamples=100))
        assert paired.low <= paired.drop <= min(paired.high, paired.bound)


def test_interval_covers_the_truth_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        labels, answers = make_rows(300, 0.85, seed)
        interval = bootstrap_interval(ACCURACY, labels, answers, Bootstrap(0.9, 400, seed))
        hits += interval.low <= 0.85 <= interval.high
    assert 0.83 <= hits / 200 <= 0.96


def test_mean_of_numbers_and_merged_classes_have_the_same_interval():
    labels, answers = make_rows(500, 0.8)
    by_kind = bootstrap_interval(ACCURACY, labels, answers)
    errors = (labels != answers.predicted).astype(float)
    by_row = bootstrap_interval(MAE, np.zeros(500), Answers(errors))
    assert 1 - by_row.value == pytest.approx(by_kind.value)
    assert 1 - by_row.high == pytest.approx(by_kind.low, abs=0.006)
    assert 1 - by_row.low == pytest.approx(by_kind.high, abs=0.006)


def test_paired_bound_profits_from_rows_that_are_hard_for_both():
    labels, stable = make_rows(1000, 0.8)
    worse = stable.predicted.copy()
    flipped = np.flatnonzero(worse == labels)[:10]
    worse[flipped] = 1 - labels[flipped]
    result = paired_bootstrap(ACCURACY, labels, stable, Answers(worse))
    assert result.drop == pytest.approx(0.01)
    assert 0.012 < result.bound < 0.018  # about 0.01 + 1.645 * 0.1 / sqrt(1000); unpaired it would be 0.04
    assert result.low < result.drop < result.high
    assert result.share_worse > 0.99
    swapped = paired_bootstrap(ACCURACY, labels, Answers(worse), stable)
    assert swapped.drop == pytest.approx(-0.01)
    assert swapped.bound < 0


def test_drop_is_worse_also_where_less_is_better():
    labels = np.arange(50.0)
    result = paired_bootstrap("mae", labels, Answers(labels + 1), Answers(labels + 3))
    assert (result.stable, result.candidate, result.drop, result.bound) == (1.0, 3.0, 2.0, 2.0)


def test_equal_answers_drop_nothing_and_seeds_repeat():
    labels, answers = make_rows(100, 0.7)
    same = paired_bootstrap("f1", labels, answers, answers)
    assert (same.drop, same.bound, same.share_worse) == (0.0, 0.0, 0.5)
    other = make_rows(100, 0.7, seed=5)[1]
    assert paired_bootstrap("f1", labels, answers, other, Bootstrap(seed=3)) == paired_bootstrap(
        "f1", labels, answers, other, Bootstrap(seed=3)
    )
    assert paired_bootstrap("f1", labels, answers, other, Bootstrap(seed=3)) != paired_bootstrap(
        "f1", labels, answers, other, Bootstrap(seed=4)
    )


def test_bound_of_f1_is_that_of_a_plain_loop():
    labels, stable = make_rows(200, 0.9, seed=1)
    candidate = make_rows(200, 0.85, seed=2)[1]
    candidate = Answers(np.where(np.arange(200) % 2 == 0, stable.predicted, candidate.predicted))
    generator = np.random.default_rng(9)

    def f1(rows, said):
        hits = np.sum(labels[rows] & said[rows])
        return 2 * hits / (labels[rows].sum() + said[rows].sum())

    drops = [
        f1(rows, stable.predicted) - f1(rows, candidate.predicted)
        for rows in generator.integers(0, 200, (4000, 200))
    ]
    result = paired_bootstrap("f1", labels, stable, candidate, Bootstrap(resamples=4000))
    assert result.bound == pytest.approx(np.quantile(drops, 0.95), abs=0.01)
    assert result.low == pytest.approx(np.quantile(drops, 0.025), abs=0.01)


def test_models_of_other_rows_are_refused():
    labels, answers = make_rows(10, 0.9)
    with pytest.raises(PipelineError, match="10 labels, and 10 and 9 answers"):
        paired_bootstrap("f1", labels, answers, answers.take(np.arange(9)))


def test_figure_without_meaning_is_told():
    answers = Answers(np.zeros(5, int), np.array([[1.0, 0.0]] * 5), np.array([0, 1]))
    with pytest.raises(PipelineError, match="ROC AUC has no meaning here"):
        paired_bootstrap("roc_auc", np.zeros(5, int), answers, answers)


def test_folds_are_even_and_spread_every_class():
    labels = np.array(["a"] * 50 + ["b"] * 10 + ["c"] * 3, object)
    folds = make_folds(labels, 5)
    assert sorted(np.bincount(folds).tolist()) == [12, 12, 13, 13, 13]
    for name, least in (("a", 10), ("b", 2)):
        assert np.bincount(folds[labels == name], minlength=5).min() == least
    with pytest.raises(PipelineError, match="no more than rows"):
        make_folds(labels[:3], 4)


def test_parts_have_the_figures_that_they_have_alone():
    labels, answers = make_rows(60, 0.8)
    masks = np.stack([make_folds(labels, 3) == fold for fold in range(3)])
    found = compute_figures_of_parts(F1, labels, answers, masks)
    alone = [
        compute_figures_of_parts(F1, labels[mask], answers.take(mask), np.ones((1, mask.sum())))[0]
        for mask in masks
    ]
    assert found.tolist() == pytest.approx(alone)


@pytest.mark.parametrize("metric", [ACCURACY, MAE])
def test_leave_one_out_is_the_plain_loop(metric):
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 3, 40).astype(float if metric is MAE else int)
    answers = Answers(
        labels + (generator.random(40) < 0.3) * generator.integers(1, 4, 40).astype(labels.dtype)
    )
    each = [
        compute_figures_of_parts(metric, labels, answers, (np.arange(40) != row)[np.newaxis])[0]
        for row in range(40)
    ]
    found = leave_one_out(metric, labels, answers)
    assert (found.lowest, found.highest) == pytest.approx((min(each), max(each)))
    assert found.standard_error == pytest.approx(
        np.sqrt(39 / 40 * np.sum((np.array(each) - np.mean(each)) ** 2))
    )
    assert abs(each[found.row] - np.mean(each)) == pytest.approx(np.abs(np.array(each) - np.mean(each)).max())


def test_million_rows_of_classes_cost_little_memory_and_no_loop():
    labels, answers = make_rows(1_000_000, 0.9)
    interval = bootstrap_interval(F1, labels, answers)
    assert interval.high - interval.low < 0.002
