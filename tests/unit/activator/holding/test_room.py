"""What is counted of held requests adds up, whatever comes and goes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_activator.holding.pods import Pods
from modelservice_activator.holding.refusals import Refusal
from modelservice_activator.holding.room import Room
from modelservice_activator.settings import HoldLimits

KEYS = [("a", "one"), ("a", "two"), ("b", "one")]
LIMITS = HoldLimits(requests=6, requests_per_service=3, total_bytes=100, bytes_per_service=60)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(-1, 80))))
def test_room_counts_what_is_in_and_never_more_than_the_limits(
    steps: list[tuple[tuple[str, str], int]],
) -> None:
    room, inside = Room(LIMITS), []
    for key, size in steps:
        if size < 0 and inside:
            room.leave(*inside.pop())
            continue
        with contextlib.suppress(Refusal):
            room.enter(key)
            inside.append((key, 0))
            room.grow(key, max(size, 0))
            inside[-1] = key, max(size, 0)
        assert room.requests == len(inside) <= LIMITS.requests
        assert room.total_bytes == sum(size for _, size in inside) <= LIMITS.total_bytes
        for one in KEYS:
            sizes = [size for key, size in inside if key == one]
            assert len(sizes) <= LIMITS.requests_per_service
            assert sum(sizes) <= LIMITS.bytes_per_service
    for one in inside:
        room.leave(*one)
    assert not room._requests
    assert not room._bytes


def test_full_service_leaves_room_for_others() -> None:
    room = Room(LIMITS)
    for _ in range(3):
        room.enter(KEYS[0])
    with pytest.raises(Refusal, match="too many requests"):
        room.enter(KEYS[0])
    room.enter(KEYS[1])


def test_pod_with_the_fewest_requests_is_chosen() -> None:
    pods, ready = Pods(per_pod=3), [("10.0.0.1", 80), ("10.0.0.2", 80)]
    chosen = [pods.choose(ready, 0.0) for _ in range(6)]
    assert sorted(chosen[:2]) == sorted(chosen[2:4]) == sorted(chosen[4:]) == ready  # type: ignore[type-var]
    assert pods.choose(ready, 0.0) is None
    # A pod that has just become ready has none.
    assert pods.choose([*ready, ("10.0.0.3", 80)], 0.0) == ("10.0.0.3", 80)
    pods.release(("10.0.0.2", 80))
    assert pods.choose(ready, 0.0) == ("10.0.0.2", 80)


def test_both_ports_of_a_pod_are_one_pod() -> None:
    pods = Pods(per_pod=2)
    assert pods.choose([("10.0.0.1", 80)], 0.0) is not None
    assert pods.choose([("10.0.0.1", 9000)], 0.0) is not None
    assert pods.choose([("10.0.0.1", 80)], 0.0) is None


def test_pod_that_could_not_be_reached_is_left_alone_for_a_moment() -> None:
    pods, only = Pods(per_pod=3), ("10.0.0.1", 80)
    assert pods.choose([only], 0.0) == only
    pods.release(only)
    pods.shun(only, 0.0)
    assert not pods.are_unused(0.1)
    assert pods.choose([only], 0.1) is None
    assert pods.choose([only, ("10.0.0.2", 80)], 0.1) == ("10.0.0.2", 80)
    assert pods.choose([only], 1.0) == only
