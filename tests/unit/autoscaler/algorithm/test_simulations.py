"""Whole days of a service in a moment: pods with queues that start slowly, under loads that change."""

from __future__ import annotations

from dataclasses import replace
from math import pi, sin

import pytest
from tests.unit.autoscaler.algorithm.fleet import TOKENS_EACH, Fleet
from tests.unit.autoscaler.algorithm.playing import make_spec

from modelservice_autoscaler.algorithm.spec import DEFAULT_DOWN, Signal

TARGET = 5.6
"""A pod has 8 places, a request takes 0.1 s: 56 requests a second a pod."""
SIGNAL = Signal("Concurrency", TARGET)
STEP = 60.0


def after(fleet: Fleet, seconds: float) -> int:
    """Return how many were wanted so long after the step."""
    return [one.desired for now, one in fleet.decisions if now <= STEP + seconds][-1]


@pytest.mark.parametrize("pods", [1, 2, 4])
@pytest.mark.parametrize("start_seconds", [2.0, 30.0])
def test_eightfold_load_gets_what_it_needs_in_three_seconds_and_not_much_more(
    pods: int, start_seconds: float
) -> None:
    rest, peak = 40.0 * pods, 320.0 * pods
    fleet = Fleet(make_spec(SIGNAL), lambda now: rest if now < STEP else peak, pods)
    fleet.start_seconds = start_seconds
    fleet.run(180)
    needed = peak * 0.1 / TARGET
    assert after(fleet, 3) >= needed
    # A queue that waits while pods start is worked off, but asks for no thousand pods.
    assert fleet.replicas <= 2 * needed
    assert start_seconds < 30 or fleet.replicas >= 1.5 * needed
    assert fleet.turns == 0


@pytest.mark.parametrize("start_seconds", [2.0, 30.0])
def test_tokens_in_flight_are_believed_in_as_requests_in_flight_are(start_seconds: float) -> None:
    """A queue of prompts that grows for as long as pods start asks for no thousand pods."""
    fleet = Fleet(
        make_spec(Signal("TokensInFlight", TARGET * TOKENS_EACH)), lambda now: 40.0 if now < STEP else 320.0
    )
    fleet.start_seconds = start_seconds
    fleet.run(180)
    needed = 320.0 * 0.1 / TARGET
    assert after(fleet, 3) >= needed
    assert fleet.replicas <= 2 * needed
    assert fleet.turns == 0


def test_requests_that_wait_bring_pods_until_none_do() -> None:
    fleet = Fleet(make_spec(Signal("WaitingRequests", 4.0)), lambda now: 40.0 if now < STEP else 200.0)
    fleet.run(900)
    # 80 requests a second are the most of a pod.
    assert fleet.replicas >= 3
    assert sum(pod.waiting for pod in fleet.pods.values()) < 1
    assert fleet.turns <= 1


def test_pods_stay_that_run_what_others_have_no_place_for() -> None:
    fleet = Fleet(make_spec(Signal("WaitingRequests", 4.0)), lambda now: 300.0 if now < 600 else 2.0, 6)
    fleet.run(600)
    assert fleet.replicas == 4  # 30 at once, 8 places each: that none waits is no reason to take these
    fleet.run(900)
    assert fleet.replicas == 1


def test_rate_of_requests_sees_what_arrives_though_the_pods_cannot_keep_up() -> None:
    fleet = Fleet(make_spec(Signal("RequestRate", 56.0)), lambda now: 40.0 if now < STEP else 320.0)
    fleet.run(180)
    assert fleet.course == [(61.0, 4), (62.0, 6)]


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 2.2, 2.5, 3.0, 4.0])
@pytest.mark.parametrize("start_seconds", [2.0, 30.0])
def test_any_step_is_met_by_about_as_many_as_it_needs(factor: float, start_seconds: float) -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 40.0 if now < STEP else 40.0 * factor)
    fleet.start_seconds = start_seconds
    fleet.run(300)
    needed = 4.0 * factor / TARGET
    assert needed / 1.1 <= fleet.replicas <= 2 * needed + 1
    assert fleet.turns == 0
    assert sum(pod.waiting for pod in fleet.pods.values()) < 1


@pytest.mark.parametrize("start_seconds", [2.0, 30.0])
def test_queue_that_stands_still_because_pods_have_just_come_asks_for_no_more(start_seconds: float) -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 40.0 if now < STEP else 200.0)
    fleet.start_seconds = start_seconds
    fleet.run(180)
    assert 4 <= fleet.replicas <= 6


@pytest.mark.parametrize("period_seconds", [5, 15, 30, 60, 300])
def test_swinging_load_moves_nothing_once_its_peak_was_seen(period_seconds: float) -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 300 + 200 * sin(2 * pi * now / period_seconds), 6)
    fleet.run(1000)
    assert fleet.turns <= 1
    late = [change for change in fleet.course if change[0] > 400]
    assert late == []
    assert sum(pod.waiting for pod in fleet.pods.values()) < 30


def test_load_that_swings_slower_than_the_window_is_followed_once_each_way() -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 300 + 200 * sin(2 * pi * now / 1500), 6)
    fleet.run(2400)
    assert fleet.turns <= 4
    assert {9, 4} <= {replicas for _, replicas in fleet.course}


def test_load_that_ebbs_takes_pods_one_by_one() -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: max(400 - now, 20), 8)
    fleet.run(1200)
    assert [replicas for _, replicas in fleet.course] == [7, 6, 5, 4, 3, 2, 1]
    assert fleet.turns == 0


def test_spike_of_a_second_is_answered_and_forgotten() -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 2000.0 if 100 <= now < 101 else 100.0, 2)
    fleet.run(800)
    assert 4 <= fleet.course[0][1] <= 16
    assert fleet.turns == 1
    assert fleet.replicas <= 3


def test_spike_that_is_worked_off_at_once_moves_little() -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 300.0 if 100 <= now < 101 else 100.0, 2)
    fleet.run(200)
    assert fleet.replicas <= 4


def test_short_window_for_scaling_down_still_does_not_shake() -> None:
    spec = make_spec(SIGNAL, down=replace(DEFAULT_DOWN, stabilization_seconds=30.0))
    fleet = Fleet(spec, lambda now: 300 + 30 * sin(2 * pi * now / 40), 6)
    fleet.run(600)
    assert len(fleet.course) <= 2


@pytest.mark.parametrize(("rate", "needed"), [(20.0, 2), (35.0, 4), (55.0, 6)])
def test_queue_time_alone_takes_no_pods_that_are_busy(rate: float, needed: int) -> None:
    fleet = Fleet(make_spec(Signal("QueueTime", 0.05), most=20), lambda _: rate, 12, slots=1)
    fleet.run(1000)
    assert [replicas for _, replicas in fleet.course] == [needed]


def test_queue_time_alone_follows_a_load_that_goes() -> None:
    fleet = Fleet(make_spec(Signal("QueueTime", 0.05)), lambda now: 35.0 if now < 600 else 2.0, 6, slots=1)
    fleet.run(1500)
    assert fleet.replicas == 1


@pytest.mark.parametrize("every", [0.5, 2.0])
def test_looks_may_be_rarer_or_more_frequent(every: float) -> None:
    fleet = Fleet(make_spec(SIGNAL), lambda now: 40.0 if now < STEP else 320.0)
    fleet.look_every_seconds = every
    fleet.run(180)
    assert after(fleet, 4) >= 5
    assert fleet.replicas <= 12
