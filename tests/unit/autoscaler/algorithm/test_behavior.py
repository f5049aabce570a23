"""Windows, policies and bounds against the text of the HPA's algorithm: full histories, up and down apart."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.autoscaler.algorithm.playing import make_spec

from modelservice_autoscaler.algorithm.behavior import (
    limit_rate,
    remember_highest,
    remember_lowest,
    stabilize,
)
from modelservice_autoscaler.algorithm.spec import DEFAULT_DOWN, DEFAULT_UP, Policy, Rules
from modelservice_autoscaler.algorithm.state import Change, Recommended

NOW = 10_000.0
SECONDS = st.integers(0, 120)
POLICIES = st.lists(
    st.builds(Policy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 200), st.integers(1, 60)),
    min_size=1,
    max_size=3,
)
RULES = st.builds(Rules, POLICIES.map(tuple), st.sampled_from(["Max", "Min", "Disabled"]))


@given(
    course=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=40),
    up_seconds=SECONDS,
    down_seconds=SECONDS,
    replicas=st.integers(1, 9),
)
def test_stabilization_keeps_within_all_that_was_recommended(
    course: list[tuple[int, int]], up_seconds: int, down_seconds: int, replicas: int
) -> None:
    lowest, highest, history, now = (), (), [], 0.0
    for gap, recommended in course:
        now += gap
        history.append((now, recommended))
        lowest = remember_lowest(lowest, recommended, now, up_seconds)
        highest = remember_highest(highest, recommended, now, down_seconds)
        up = min([one for at, one in history if at > now - up_seconds] + [recommended])
        down = max([one for at, one in history if at > now - down_seconds] + [recommended])
        expected = replicas
        expected = max(expected, up)
        expected = min(expected, down)
        assert stabilize(recommended, replicas, lowest, highest) == expected
    assert len(highest) <= 9
    assert len(lowest) <= 9


def limit_as_written(
    wanted: int, replicas: int, up: Rules, down: Rules, bounds: tuple[int, int], events: list[Change]
) -> tuple[int, str | None]:
    """`convertDesiredReplicasWithBehaviorRate`, with exact percentages."""

    def start(policy: Policy) -> int:
        recent = [one.replicas for one in events if one.at_seconds > NOW - policy.period_seconds]
        added = sum(one for one in recent if one > 0)
        deleted = -sum(one for one in recent if one < 0)
        return replicas - added + deleted

    if wanted > replicas:
        proposals = [
            start(one) + one.value
            if one.type == "Pods"
            else ceil(start(one) * (1 + Fraction(one.value, 100)))
            for one in up.policies
        ]
        limit = {"Disabled": replicas, "Min": min(proposals), "Max": max(proposals)}[up.select]
        limit = max(limit, replicas)
        if bounds[1] > limit:
            return (limit, "ScaleUpRate") if wanted > limit else (wanted, None)
        return (bounds[1], "MaxReplicas") if wanted > bounds[1] else (wanted, None)
    if wanted < replicas:
        proposals = [
            start(one) - one.value
            if one.type == "Pods"
            else floor(start(one) * (1 - Fraction(one.value, 100)))
            for one in down.policies
        ]
        limit = {"Disabled": replicas, "Min": max(proposals), "Max": min(proposals)}[down.select]
        limit = min(limit, replicas)
        if bounds[0] < limit:
            return (limit, "ScaleDownRate") if wanted < limit else (wanted, None)
        return (bounds[0], "MinReplicas") if wanted < bounds[0] else (wanted, None)
    return wanted, None


@settings(max_examples=300)
@given(
    wanted=st.integers(0, 60),
    replicas=st.integers(2, 40),
    up=RULES,
    down=RULES,
    ages=st.lists(st.tuples(st.integers(1, 70), st.integers(-6, 6).filter(bool)), max_size=5),
)
def test_rate_is_that_of_the_text(
    wanted: int, replicas: int, up: Rules, down: Rules, ages: list[tuple[int, int]]
) -> None:
    changes = tuple(Change(NOW - age, change) for age, change in sorted(ages, reverse=True))
    spec = make_spec(least=2, most=40, up=up, down=down)
    expected = limit_as_written(wanted, replicas, up, down, (2, 40), list(changes))
    assert limit_rate(wanted, replicas, spec, changes, NOW) == expected


@pytest.mark.parametrize(
    ("replicas", "wanted", "after"),
    [(1, 100, 5), (4, 100, 8), (5, 100, 10), (50, 200, 100), (50, 0, 1), (8, 3, 3)],
)
def test_default_policies_double_or_add_four_and_remove_all(replicas: int, wanted: int, after: int) -> None:
    spec = make_spec(up=DEFAULT_UP, down=DEFAULT_DOWN)
    assert limit_rate(wanted, replicas, spec, (), NOW)[0] == after


def test_more_changes_than_a_policy_allows_turn_no_direction() -> None:
    one = Rules((Policy("Pods", 1, 15),))
    spec = make_spec(up=one, down=one)
    assert limit_rate(100, 8, spec, (Change(NOW - 5, 4),), NOW) == (8, "ScaleUpRate")
    assert limit_rate(0, 8, spec, (Change(NOW - 5, -4),), NOW) == (8, "ScaleDownRate")


def test_percentages_round_away_from_where_it_is() -> None:
    half = Rules((Policy("Percent", 50, 15),))
    spec = make_spec(up=half, down=half)
    assert limit_rate(100, 5, spec, (), NOW) == (8, "ScaleUpRate")
    assert limit_rate(0, 5, spec, (), NOW) == (2, "ScaleDownRate")


def test_policy_counts_from_the_start_of_its_period() -> None:
    spec = make_spec(up=Rules((Policy("Percent", 100, 15),)))
    changes = (Change(NOW - 5, 4),)
    assert limit_rate(100, 8, spec, changes, NOW) == (8, "ScaleUpRate")
    assert limit_rate(100, 8, spec, changes, NOW + 10) == (16, "ScaleUpRate")
    assert limit_rate(100, 8, spec, changes, NOW + 9.9) == (8, "ScaleUpRate")


def test_window_of_no_seconds_knows_the_present_only() -> None:
    assert len(remember_highest((Recommended(NOW - 1, 9),), 3, NOW, 0)) == 1
    assert len(remember_highest((), 3, NOW, inf)) == 1
