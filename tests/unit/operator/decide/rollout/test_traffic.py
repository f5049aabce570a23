"""Weights as pods and a selector."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelservice_operator.decide.rollout.model import RevisionState, RolloutState
from modelservice_operator.decide.rollout.traffic import by_pods, choose_selector, percentages, split


@given(st.integers(0, 200), st.integers(0, 100), st.integers(0, 3))
def test_split_is_the_closest_ratio_ties_to_the_canary_and_at_least_one_each(
    replicas: int, weight: int, surge: int
) -> None:
    stable, target = split(replicas, weight, surge)
    if replicas == 1 and surge and 0 < weight < 100:
        assert (stable, target) == (1, 1)
        return
    fewest = 1 if replicas > 1 and 0 < weight < 100 else 0
    choices = range(fewest, replicas - fewest + 1)
    expected = min(choices, key=lambda pods: (abs(100 * pods - weight * replicas), -pods))
    assert (stable, target) == (replicas - expected, expected)


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 10_000), max_size=6))
def test_percentages_sum_up_to_100_and_round_by_less_than_one(counts: dict[str, int]) -> None:
    shares, total = percentages(counts), sum(counts.values())

    assert sum(shares.values()) == (100 if total else 0)
    assert all(abs(share - counts[name] * 100 / total) < 1 for name, share in shares.items())


def observe(selected: str | None = None, /, **serving: int) -> RolloutState:
    states = tuple(
        RevisionState(name=name, wanted=count, pods=count, available=count) for name, count in serving.items()
    )
    return RolloutState(target="b", stable="a", revisions=states, selected=selected)


@pytest.mark.parametrize(
    ("observed", "wish", "expected"),
    [
        (observed := observe("a", a=3, b=3), None, None),
        (observed, "b", "b"),
        (observe("a", a=3, b=2), "b", "a"),
        (observe(None, a=1, b=2), "a", None),
        (observe(None, a=3, b=2), "a", "a"),
        (observe("b", a=1, b=0), "a", "a"),
        (observe(None, a=0, b=0), "a", "a"),
        # Another revision hides the target while stable cannot, but only one that clients are led to.
        (observe(None, a=1, b=1, c=3), "a", "c"),
        (observe("b", a=1, b=3, c=3), "a", "b"),
    ],
)
def test_choose_selector_never_takes_pods_from_clients(
    observed: RolloutState, wish: str | None, expected: str | None
) -> None:
    assert choose_selector(observed, wish, needed=3) == expected


def test_choose_selector_without_a_service_takes_nothing_from_anybody() -> None:
    assert choose_selector(replace(observe(None, a=0, b=3), has_service=False), "a", needed=3) == "a"


def test_choose_selector_waits_for_a_status_that_may_count_more_pods() -> None:
    stale = RevisionState(name="b", wanted=3, pods=0, available=0, settled=False)
    observed = replace(observe(None, a=1), revisions=(*observe(None, a=1).revisions, stale))

    assert choose_selector(observed, "a", needed=3) is None


def test_by_pods_knows_those_alone_that_clients_are_led_to() -> None:
    assert by_pods(observe("a", a=1, b=3), None, "a") == {"a": 25, "b": 75}
    assert by_pods(observe("a", a=1, b=3), "a", "a") == {"a": 100}
    assert by_pods(observe("a", a=0, b=3), "a", "a") == {"a": 100}
