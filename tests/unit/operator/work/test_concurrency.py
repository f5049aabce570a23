"""The limit of reconciliations at once, against servers that answer so many at once and queue the rest."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_operator.work.concurrency import FREE, WINDOW, ConcurrencyLimit

MOST = 8


class Server:
    """Answers `room` calls at once in about `quick_seconds`; more than these take turns. Time is played."""

    def __init__(self, room: float, quick_seconds: float, jitter: float = 0.0, seed: int = 0) -> None:
        self.room, self.quick_seconds, self.jitter = room, quick_seconds, jitter
        self.random = random.Random(seed)
        self.now = 0.0
        self.told: list[int] = []
        self.limit = ConcurrencyLimit(most=MOST, tell=self.told.append, clock=lambda: self.now)

    def call(self, *, slow_seconds: float = 0.0) -> float:
        """One of so many calls as the limit lets be on their way; returns what it took without jitter."""
        at_once = self.limit.limit
        seconds = self.quick_seconds * max(1.0, at_once / self.room)
        self.now += seconds / at_once
        self.limit.note(slow_seconds or seconds * self.random.lognormvariate(0.0, self.jitter))
        return seconds

    def windows(self, count: int, call: Callable[[], float] | None = None) -> list[float]:
        return [(call or self.call)() for _ in range(count * WINDOW)]


ROOMS = st.floats(0.5, 16.0)
QUICK = st.floats(1e-4, 1.0)


@settings(max_examples=200, deadline=None)
@given(ROOMS, QUICK)
def test_calls_take_hardly_longer_than_one_by_one(room, quick_seconds):
    server = Server(room, quick_seconds)
    alone = quick_seconds * max(1.0, 1.0 / room)
    server.windows(2 * MOST)
    for seconds in server.windows(100):
        # Where so much longer is free, one more at once is tried: at most two in place of one.
        assert seconds <= (FREE + 1) * alone * 1.02
    assert all(1 <= limit <= MOST for limit in server.told)


@settings(max_examples=200, deadline=None)
@given(ROOMS, QUICK)
def test_what_has_room_is_used(room, quick_seconds):
    server = Server(room, quick_seconds)
    server.windows(2 * MOST)
    at_once = []
    server.windows(50, lambda: at_once.append(server.limit.limit) or server.call())
    assert min(at_once) >= min(int(room), MOST)


@pytest.mark.parametrize("seed", range(5))
def test_times_that_vary_by_themselves_hold_nothing_back(seed):
    """Log-normal with sigma 0.5: the slowest tenth takes twice the median, as where disks are shared."""
    server = Server(room=100, quick_seconds=0.01, jitter=0.5, seed=seed)
    at_once = []
    server.windows(400, lambda: at_once.append(server.limit.limit) or server.call())
    assert sum(at_once[100 * WINDOW :]) / len(at_once[100 * WINDOW :]) > MOST / 2


def test_one_tenants_slow_webhook_holds_back_nobody():
    server = Server(room=100, quick_seconds=0.01)
    calls = iter(range(10**6))
    server.windows(50, lambda: server.call(slow_seconds=5.0 if next(calls) % 3 == 0 else 0.0))
    assert server.limit.limit == MOST


def test_limit_falls_where_others_crowd_the_server_and_comes_back():
    server = Server(room=100, quick_seconds=0.01)
    server.windows(MOST)
    assert server.limit.limit == MOST
    server.room = 0.2
    server.windows(MOST)
    assert server.limit.limit == 1
    server.room = 100
    server.windows(MOST)
    assert server.limit.limit == MOST


def test_server_that_became_slower_for_good_is_not_taken_for_crowded_for_ever():
    server = Server(room=100, quick_seconds=0.01)
    server.windows(MOST)
    server.quick_seconds = 0.05
    server.windows(MOST)
    assert server.limit.limit == 1
    while server.now < 2_000 and server.limit.limit < MOST:
        server.call()
    assert server.limit.limit == MOST


def test_rest_does_not_make_crowded_calls_look_quick():
    server = Server(room=1, quick_seconds=0.01)
    server.windows(MOST)
    server.now += 86_400
    assert max(server.windows(MOST)) <= 3 * 0.01
