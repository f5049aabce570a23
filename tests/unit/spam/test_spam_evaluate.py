"""Metrics, the threshold and the report."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spam.evaluate import (
    Confusion,
    choose_threshold,
    compute_confusion,
    compute_f1_interval,
    compute_metrics,
    render_report,
)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_compute_confusion_known_case_gives_known_metrics():
    truth = np.array([True, True, False, False, True])
    confusion = compute_confusion(floats(0.9, 0.2, 0.6, 0.1, 0.5), truth, 0.5)
    assert confusion == Confusion(true_positive=2, false_positive=1, false_negative=1, true_negative=1)
    assert confusion.accuracy == pytest.approx(3 / 5)
    assert confusion.precision == confusion.recall == confusion.f1 == pytest.approx(2 / 3)


def test_confusion_without_any_spam_gives_zero_not_an_error():
    confusion = Confusion(true_positive=0, false_positive=0, false_negative=0, true_negative=4)
    assert (confusion.precision, confusion.recall, confusion.f1, confusion.accuracy) == (0, 0, 0, 1)


def test_choose_threshold_separable_lies_halfway_between_the_classes():
    truth = np.array([False, False, True, True])
    assert choose_threshold(floats(0.1, 0.2, 0.6, 0.9), truth) == pytest.approx(0.4)


@given(
    st.lists(st.tuples(st.floats(2**-10, 1 - 2**-10, width=32), st.booleans()), min_size=1, max_size=30),
)
def test_choose_threshold_no_observed_probability_scores_better(pairs):
    probability = floats(*(value for value, _ in pairs))
    truth = np.array([label for _, label in pairs])
    best = compute_confusion(probability, truth, choose_threshold(probability, truth)).f1
    assert best >= max(compute_confusion(probability, truth, float(value)).f1 for value in probability)


def test_compute_f1_interval_contains_the_score_and_is_repeatable():
    generator = np.random.default_rng(1)
    truth = generator.random(200) < 0.3
    probability = (truth * 0.5 + generator.random(200) * 0.7).astype(np.float32)
    low, high = compute_f1_interval(probability, truth, 0.5)
    assert low < compute_confusion(probability, truth, 0.5).f1 < high
    assert (low, high) == compute_f1_interval(probability, truth, 0.5)


def test_render_report_names_every_figure():
    truth = np.array([True, True, False, False])
    metrics = compute_metrics(floats(0.9, 0.2, 0.1, 0.3), truth, 0.25)
    text = render_report(
        {
            "threshold": 0.25,
            "test": metrics,
            "validation": metrics,
            "data": {
                "counts": {"train": {"ham": 11, "spam": 12}, "test": {"ham": 13, "spam": 14}},
                "messages": 99,
                "distinct": 98,
                "sha256": "ab12",
            },
            "parity": {"messages": 4, "maxDifference": 2e-7, "tolerance": 1e-5},
            "model": {"sha256": "cd34", "sizeBytes": 1234},
            "training": {"seed": 7},
            "bestEpoch": 3,
            "trainingSeconds": 4.5,
            "versions": {"torch": "9.9"},
        }
    )
    assert "| is spam | 1 | 1 |" in text
    assert "| train | 11 | 12 |" in text
    for figure in ("0.2500", "0.5000", "ab12", "cd34", "1234", "2.0e-07", "torch 9.9", "seed 7"):
        assert figure in text
