"""Groups by the values of a column: each row in one of them."""

import numpy as np

from modelservice_pipeline.evaluate.groups import group_values


def test_values_are_groups_the_largest_first():
    groups = group_values(np.array(["b", "a", "b", ""], object))
    assert list(groups) == ["b", "(empty)", "a"]
    assert groups["b"].tolist() == [True, False, True, False]


def test_many_numbers_are_four_ranges_and_the_missing():
    values = np.array([str(number) for number in range(100)] + [""], object)
    groups = group_values(values)
    assert list(groups) == ["0 to 24.75", "24.75 to 49.5", "49.5 to 74.25", "74.25 to 99", "(empty)"]
    assert np.stack(list(groups.values())).sum(axis=0).tolist() == [1] * 101


def test_many_texts_keep_the_largest_groups():
    values = np.array([f"town {number}" for number in range(50)] * 2 + ["city"] * 5, object)
    groups = group_values(values)
    assert len(groups) == 30
    assert next(iter(groups)) == "city"
    assert np.stack(list(groups.values())).sum(axis=0).tolist() == [1] * 105
