"""What KEDA is told of a service."""

import pytest
from tests.unit.autoscaler.objects import make_service

from modelservice_autoscaler.algorithm.decision import Reading
from modelservice_autoscaler.algorithm.spec import Signal
from modelservice_autoscaler.serving.values import Activity, find_signal, is_active, value_of
from modelservice_autoscaler.watching.services import Service, read_service

CONCURRENCY = Signal("Concurrency", 8.0)
QUEUE = Signal("QueueTime", 0.05)


def service(replicas: int = 4) -> Service:
    read = read_service(make_service(replicas=replicas))
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("replicas", "activity", "active"),
    [
        (0, Activity(0, 0, None), False),
        (0, Activity(1, 0, 0.0), False),
        (1, Activity(0, 0, None), True),
        (2, Activity(2, 1, None), True),
        (2, Activity(2, 0, 3.0), True),
        (2, Activity(2, 0, 11.0), False),
    ],
    ids=["asleep", "falling asleep", "waking", "a pod is silent", "asked just now", "idle"],
)
def test_service_is_active_where_it_may_have_requests(replicas, activity, active):
    assert is_active(service(replicas), activity) is active


@pytest.mark.parametrize(
    ("signal", "per_pod", "silent", "value"),
    [
        (CONCURRENCY, 12.0, 0, 48.0),
        (CONCURRENCY, 2.0, 0, 8.0),
        (CONCURRENCY, 2.0, 2, 2 * 2.0 + 2 * 8.0),
        (CONCURRENCY, 12.0, 2, 2 * 12.0),
        (QUEUE, 0.2, 0, 0.2),
        (QUEUE, 0.01, 0, 0.01),
        (QUEUE, 0.01, 1, 0.05),
        (QUEUE, 0.2, 1, 0.2),
    ],
)
def test_value_is_a_sum_or_of_the_whole_and_missing_pods_keep_what_is_there(signal, per_pod, silent, value):
    answering = 4 - silent
    total = per_pod if signal is QUEUE else per_pod * answering
    reading = Reading(signal, per_pod, total)
    assert value_of(signal, reading, service(), Activity(4, silent, None)) == pytest.approx(value)


def test_pods_that_answer_and_do_not_tell_keep_what_is_there():
    tokens, cache = Signal("TokensInFlight", 4e3), Signal("KVCache", 80.0, percent=True, whole=1.0)
    all_answer = Activity(4, 0, None)
    assert value_of(tokens, Reading(tokens, 1e3, 3e3, untold=1), service(), all_answer) == 7e3
    assert value_of(cache, Reading(cache, 10.0, 30.0, untold=1), service(), all_answer) == 80.0
    assert value_of(cache, Reading(cache, 90.0, 270.0, untold=1), service(), all_answer) == 90.0


def test_value_is_unknown_where_no_pod_tells():
    assert value_of(CONCURRENCY, None, service(), Activity(4, 4, None)) is None
    assert value_of(CONCURRENCY, Reading(CONCURRENCY, None, None), service(), Activity(4, 4, None)) is None


@pytest.mark.parametrize(("signal", "value"), [(CONCURRENCY, 32.0), (QUEUE, 0.05)])
def test_value_changes_nothing_while_no_pod_is_ready(signal, value):
    assert value_of(signal, None, service(), Activity(0, 0, None)) == value


def test_signal_is_found_by_its_name():
    assert find_signal(service(), "Concurrency") == CONCURRENCY
    assert find_signal(service(), "QueueTime") is None
