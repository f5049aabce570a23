"""Steps that are remembered: by content, for as long as there is room, and never what was raised."""

from __future__ import annotations

from typing import Any

import pytest

from modelservice_operator.facts.remembered import remembered


class Steps:
    """A step that notes for which objects it was really made."""

    def __init__(self, most: int) -> None:
        self.made: list[tuple[Any, ...]] = []

        @remembered(most)
        def step(obj: dict[str, Any], times: int = 1) -> int:
            self.made.append((dict(obj), times))
            if obj["number"] < 0:
                raise ValueError("negative")
            return int(obj["number"]) * times

        self.step = step


def test_equal_objects_are_one_and_changed_ones_another():
    steps = Steps(10)
    obj = {"number": 2}
    assert steps.step(obj) == steps.step({"number": 2}) == 2
    obj["number"] = 3
    assert steps.step(obj) == 3
    assert steps.made == [({"number": 2}, 1), ({"number": 3}, 1)]


def test_further_arguments_count():
    steps = Steps(10)
    assert (steps.step({"number": 2}, 5), steps.step({"number": 2}, 6)) == (10, 12)


def test_no_more_is_kept_than_was_asked_for():
    steps = Steps(2)
    for number in (1, 2, 3, 1):
        steps.step({"number": number})
    assert len(steps.made) == 4


def test_errors_are_not_remembered():
    steps = Steps(10)
    for _ in range(2):
        with pytest.raises(ValueError, match="negative"):
            steps.step({"number": -1})
    assert len(steps.made) == 2
