"""A replay: numbers within the tolerance, classes unless tied, texts exactly, thresholds told apart."""

import numpy as np
import pytest

from modelservice_pipeline.proof.proof import Case, Decision, Proof, Tolerance
from modelservice_pipeline.proof.replay import replay


def texts(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def verdict(outputs, actual, inputs=None, **more):
    rows = len(next(iter(outputs.values())))
    inputs = {"x": np.arange(rows, dtype=np.float32)} if inputs is None else inputs
    return replay(Proof((Case(inputs, outputs),), **more), lambda _: actual)


def test_numbers_may_be_off_by_the_tolerance_and_no_more():
    expected = {"y": np.array([0.0, 1.0, 2.0])}
    assert verdict(expected, {"y": np.array([1e-5, 1.0009, 2.0])}).holds
    found = verdict(expected, {"y": np.array([0.0, 1.0, 2.01])})
    assert not found.holds
    assert [difference.row for difference in found.differences] == [2]


def test_small_sum_of_large_terms_is_judged_by_the_scale_of_the_output():
    expected = {"y": np.array([1e-9, 1e6, -1e6])}
    assert verdict(expected, {"y": np.array([1.0, 1e6, -1e6])}).holds
    assert not verdict(expected, {"y": np.array([100.0, 1e6, -1e6])}).holds


def test_infinite_numbers_of_the_expected_set_no_scale():
    expected = {"y": np.array([np.inf, np.nan, 1.0])}
    assert verdict(expected, {"y": np.array([np.inf, np.nan, 1.0])}).holds
    for wrong in (
        [-np.inf, np.nan, 1.0],
        [np.inf, 0.0, 1.0],
        [np.inf, np.nan, np.nan],
        [np.inf, np.nan, 9.0],
    ):
        assert not verdict(expected, {"y": np.array(wrong)}).holds


def test_class_may_differ_where_its_scores_are_tied_and_nowhere_else():
    scores = np.array([[0.5, 0.5 + 1e-9, 0.0], [0.9, 0.1, 0.0], [0.98, 0.01, 0.01]])
    outputs = {"label": np.array([1, 0, 0]), "probabilities": scores}
    decided = {"label": Decision("probabilities")}
    assert verdict(outputs, {"label": np.array([0, 0, 0]), "probabilities": scores}, labels=decided).holds
    # The last row's two lowest scores are equal, which decides nothing.
    found = verdict(outputs, {"label": np.array([1, 0, 1]), "probabilities": scores}, labels=decided)
    assert [difference.row for difference in found.differences] == [2]
    assert not verdict(outputs, {"label": np.array([0, 0, 0]), "probabilities": scores}).holds


def test_class_by_the_lowest_distance_is_tied_where_the_lowest_are():
    distances = np.array([[1.0, 1.0, 9.0], [1.0, 9.0, 9.0]])
    outputs = {"label": np.array([0, 0]), "distances": distances}
    decided = {"label": Decision("distances", lowest=True)}
    assert verdict(outputs, {"label": np.array([1, 0]), "distances": distances}, labels=decided).holds
    assert not verdict(outputs, {"label": np.array([0, 1]), "distances": distances}, labels=decided).holds


def test_texts_are_exact_and_the_worst_input_is_told():
    found = verdict(
        {"y": texts("spam", "ham")}, {"y": texts("spam", "spam")}, {"text": texts("free money", "see you")}
    )
    assert "output 'y' of case 0, row 1 is spam instead of ham" in found.worst
    assert "the input is text=see you" in found.worst


@pytest.mark.parametrize("actual", [{}, {"y": np.zeros(2)}, {"y": np.zeros((3, 1))}])
def test_output_that_is_missing_or_of_another_shape_is_a_difference(actual):
    assert not verdict({"y": np.zeros(3)}, actual).holds


def test_worst_comes_first():
    found = verdict({"y": np.array([1.0, 1.0, 1.0])}, {"y": np.array([1.1, 5.0, 1.2])})
    assert [difference.row for difference in found.differences] == [1, 2, 0]


def tree(threshold):
    """Answers 1 above the threshold in either column, as a tree would."""
    return lambda inputs: {"y": (inputs["x"] > np.float32(threshold)).any(axis=1).astype(np.float32)}


ON_THRESHOLD = np.array([[0.1, -1.0], [0.2, 0.0], [0.0, 0.1]], np.float32)


def test_row_on_a_threshold_is_told_apart():
    # In double precision 0.1 is below the float32 that stands for it.
    expected = {"y": (ON_THRESHOLD.astype(np.float64) > 0.1).any(axis=1).astype(np.float64)}
    found = replay(Proof((Case({"x": ON_THRESHOLD}, expected),), has_thresholds=True), tree(0.1))
    assert found.holds
    assert found.on_threshold == 2
    assert not replay(Proof((Case({"x": ON_THRESHOLD}, expected),)), tree(0.1)).holds


def test_wrong_tree_is_not_excused_by_its_thresholds():
    expected = {"y": np.array([1.0, 1.0, 1.0])}
    found = replay(Proof((Case({"x": ON_THRESHOLD}, expected),), has_thresholds=True), tree(0.15))
    assert [difference.row for difference in found.differences] == [0, 2]
    assert found.on_threshold == 0


def forest(scale, real):
    """Scales two columns as `real`, and adds up trees that ask whether one is above what some rows have."""
    middle, thresholds = np.array([50.0, 2.0]), (np.array([[56.0, 0.0], [41.0, 3.0]]) - [50.0, 2.0]) / scale
    thresholds = thresholds.astype(np.float32)

    def run(inputs):
        scaled = (inputs["x"].astype(real) - middle.astype(real)) / scale.astype(real)
        above = scaled.astype(np.float32)[:, None] > thresholds
        return {"y": (above * np.array([[1.0, 2.0], [4.0, 8.0]])).sum(axis=(1, 2))}

    return run


SCALE = np.array([12.345678912, 1.23456789123])


def test_row_on_several_thresholds_behind_a_scaler_is_told_apart():
    # Zero has neighbours that a scaler cannot tell from it.
    x = np.array([[56, 0], [41, 3], [56, 3], [41, 0], [50, 2]], np.float32)
    flipped = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1], [0, 0]]) * 1e-6
    expected = forest(SCALE, np.float64)({"x": x + flipped})
    proof = Proof(
        (Case({"x": x}, expected), Case({"x": x[:1]}, {"y": expected["y"][:1]})), has_thresholds=True
    )
    found = replay(proof, forest(SCALE, np.float32))
    assert found.holds, found.worst
    assert found.on_threshold > 2


def test_forest_with_a_wrong_weight_is_not_excused_by_its_thresholds():
    x = np.array([[56, 0], [57, 1], [60, 4]], np.float32)
    expected = {"y": forest(SCALE, np.float64)({"x": x})["y"] + 1}
    found = replay(Proof((Case({"x": x}, expected),), has_thresholds=True), forest(SCALE, np.float32))
    assert {difference.row for difference in found.differences} >= {1, 2}


def test_missing_and_infinite_numbers_have_no_neighbours():
    x = np.array([[0.1, np.nan], [0.1, np.inf]], np.float32)
    proof = Proof((Case({"x": x}, {"y": np.array([0.0, 0.0])}),), has_thresholds=True)

    def run(inputs):
        assert not np.isfinite(inputs["x"][:, 1]).any()
        return {"y": (inputs["x"][:, 0] >= np.float32(0.1)).astype(float)}

    assert replay(proof, run).on_threshold == 2


def test_threshold_on_a_single_column_without_a_second_dimension():
    x = np.array([0.1, 0.5], np.float32)
    proof = Proof((Case({"x": x}, {"y": np.array([1.0, 1.0])}),), has_thresholds=True)
    assert (
        replay(proof, lambda inputs: {"y": (inputs["x"] > np.float32(0.1)).astype(float)}).on_threshold == 1
    )


def test_half_precision_is_judged_by_what_it_can_hold():
    expected = {"y": np.array([1.0])}
    assert verdict(expected, {"y": np.array([1.004], np.float16)}).holds
    assert not verdict(expected, {"y": np.array([1.004], np.float32)}).holds


def test_tolerance_of_the_proof_counts():
    outputs = {"y": np.array([1.0])}
    assert verdict(outputs, {"y": np.array([1.05])}, tolerance=Tolerance(0.1, 0.0)).holds
