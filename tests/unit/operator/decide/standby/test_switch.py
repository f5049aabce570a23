"""Single steps of the switch: what is made ready, who is asked, when the last pod may go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.builders import NOW

from modelservice_operator.decide.standby.switch import (
    NO_ACTIVATOR,
    NO_PORTS,
    NONE_LISTENS,
    NONE_READY,
    SwitchState,
    next_switch,
)
from modelservice_operator.facts.endpoints import Endpoint, Slice

PORTS = {"http": 20000, "grpc": 20001}
A, B = (Endpoint(address=f"10.0.0.{n}", pod=f"activator-{n}", pod_uid=f"uid-{n}") for n in (1, 2))


def make_slice(*endpoints: Endpoint, ready: bool = True, ports: dict[str, int] = PORTS) -> Slice:
    found = (
        Endpoint(address=one.address, ready=ready, serving=ready, pod=one.pod, pod_uid=one.pod_uid)
        for one in endpoints
    )
    return Slice(address_type="IPv4", endpoints=tuple(found), ports=ports)


def make_state(**fields: Any) -> SwitchState:
    """A service that is to sleep and has a pod, with two activators that know its ports."""
    facts: dict[str, Any] = {
        "may_sleep": True,
        "wanted": 0,
        "runs": True,
        "activators": (A, B),
        "ports": PORTS,
        "slice": make_slice(A, B, ready=False),
    }
    return SwitchState(**facts | fields)


def ago(seconds: float) -> Any:
    return NOW - timedelta(seconds=seconds)


def test_first_the_slice_is_there_then_its_activators_are_asked() -> None:
    switch = next_switch(make_state(slice=None), NOW)
    assert (switch.slice, switch.floor, switch.asks) == (make_slice(A, B, ready=False), 1, ())
    switch = next_switch(make_state(), NOW)
    assert (switch.asks, switch.floor, switch.problem) == ((A, B), 1, None)


def test_slice_is_made_ready_when_all_have_said_that_they_listen() -> None:
    half = next_switch(make_state(listening=frozenset({A.address})), NOW)
    assert (half.slice, half.asks) == (make_slice(A, B, ready=False), (B,))
    whole = next_switch(make_state(listening=frozenset({A.address, B.address})), NOW)
    assert (whole.slice, whole.asks, whole.floor) == (make_slice(A, B), (), 1)


def test_silent_activator_is_left_out_but_not_the_only_one() -> None:
    state = make_state(listening=frozenset({A.address}), silent=frozenset({B.address}))
    switch = next_switch(state, NOW)
    assert (switch.slice, switch.asks) == (make_slice(A), (B,))
    switch = next_switch(make_state(silent=frozenset({A.address, B.address})), NOW)
    assert (switch.floor, switch.problem) == (1, NONE_LISTENS)


def test_last_pod_goes_a_second_after_the_ready_slice_was_seen() -> None:
    seen = next_switch(make_state(slice=make_slice(A, B)), NOW)
    assert (seen.standby_since, seen.floor, seen.requeue_after_seconds) == (NOW, 1, 1.0)
    early = next_switch(make_state(slice=make_slice(A, B), standby_since=ago(0.6)), NOW)
    assert (early.floor, early.requeue_after_seconds) == (1, pytest.approx(0.4))
    late = next_switch(make_state(slice=make_slice(A, B), standby_since=ago(1.0)), NOW)
    assert (late.floor, late.standby_since) == (0, ago(1.0))


def test_second_begins_anew_with_other_activators_after_the_old_record_is_gone() -> None:
    changed = make_state(slice=make_slice(A), listening=frozenset({B.address}), standby_since=ago(0.9))
    # A slice that is written while an old time is recorded would count as one that is ready for long.
    switch = next_switch(changed, NOW)
    assert (switch.slice, switch.standby_since, switch.floor) == (make_slice(A), None, 1)
    forgotten = make_state(slice=make_slice(A), listening=frozenset({B.address}))
    assert next_switch(forgotten, NOW).slice == make_slice(A, B)


def test_service_that_is_sent_to_sleep_while_it_wakes_waits_again() -> None:
    state = make_state(slice=make_slice(A, B), standby_since=ago(500), woken_at=ago(1))
    switch = next_switch(state, NOW)
    assert (switch.standby_since, switch.woken_at, switch.floor) == (NOW, None, 1)


def test_time_to_come_is_not_believed() -> None:
    switch = next_switch(make_state(slice=make_slice(A, B), standby_since=ago(-60)), NOW)
    assert (switch.standby_since, switch.floor) == (NOW, 1)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"activators": None, "slice": None}, NO_ACTIVATOR),
        ({"activators": ()}, NONE_READY),
        ({"ports": None, "slice": None}, NO_PORTS),
    ],
)
def test_where_nobody_can_stand_in_the_last_pod_stays(fields: dict[str, Any], problem: str) -> None:
    switch = next_switch(make_state(**fields), NOW)
    assert (switch.floor, switch.problem) == (1, problem)


def test_without_an_activator_a_sleeping_service_gets_a_pod_but_not_while_all_restart() -> None:
    asleep: dict[str, Any] = {"runs": False, "slice": make_slice(A, B), "standby_since": ago(60)}
    assert next_switch(make_state(**asleep, activators=None), NOW).floor == 1
    switch = next_switch(make_state(**asleep, activators=()), NOW)
    assert (switch.floor, switch.problem, switch.slice) == (0, NONE_READY, make_slice())


def test_asleep_a_new_activator_is_asked_before_it_is_made_ready() -> None:
    asleep: dict[str, Any] = {"runs": False, "slice": make_slice(A), "standby_since": ago(60)}
    switch = next_switch(make_state(**asleep), NOW)
    assert (switch.phase, switch.slice, switch.asks) == ("Asleep", make_slice(A), (B,))
    switch = next_switch(make_state(**asleep, listening=frozenset({B.address})), NOW)
    assert switch.slice == make_slice(A, B)
    # The same address, but another pod has it now.
    reborn = Endpoint(address=A.address, pod="activator-9", pod_uid="uid-9")
    switch = next_switch(make_state(**asleep | {"activators": (reborn,)}), NOW)
    assert (switch.slice, switch.asks) == (make_slice(), (reborn,))


def test_waking_the_activator_leads_until_clients_find_a_pod() -> None:
    waking: dict[str, Any] = {"wanted": 1, "slice": make_slice(A, B), "standby_since": ago(60)}
    begun = next_switch(make_state(**waking, runs=False), NOW)
    assert (begun.phase, begun.woken_at, begun.slice) == ("Waking", NOW, make_slice(A, B))
    assert not begun.looks
    started = next_switch(make_state(**waking, answers=True, woken_at=ago(5)), NOW)
    assert (started.looks, started.slice, started.woken_at) == (True, make_slice(A, B), ago(5))
    led = next_switch(make_state(**waking, answers=True, is_led=True, woken_at=ago(5)), NOW)
    assert (led.phase, led.slice) == ("Awake", make_slice(A, B, ready=False))
    assert (led.woken_at, led.standby_since) == (None, None)


def test_waking_goes_on_where_the_operator_was_killed_before_its_pods_lead() -> None:
    # The slice was made ready no more, and the status not written: pods have to be seen again.
    killed: dict[str, Any] = {"wanted": 1, "slice": make_slice(A, ready=False), "woken_at": ago(5)}
    assert next_switch(make_state(**killed, answers=True), NOW).looks
    assert next_switch(make_state(**killed, answers=True, is_led=True), NOW).phase == "Awake"


def test_awake_activators_that_come_and_go_write_nothing() -> None:
    known = make_slice(A, ready=False)
    for activators in ((A, B), (B,), ()):
        switch = next_switch(make_state(wanted=1, slice=known, activators=activators), NOW)
        assert (switch.slice, switch.asks, switch.requeue_after_seconds) == (known, (), None)


def test_what_may_not_sleep_has_no_slice_once_its_pods_lead() -> None:
    off = next_switch(make_state(may_sleep=False, runs=False, slice=make_slice(A)), NOW)
    assert (off.slice, off.floor) == (None, 0)
    waking = make_state(may_sleep=False, wanted=2, runs=False, slice=make_slice(A, B))
    assert next_switch(waking, NOW).slice == make_slice(A, B)
    awake = make_state(may_sleep=False, wanted=2, answers=True, is_led=True, slice=make_slice(A))
    assert next_switch(awake, NOW).slice is None


def test_unreadable_number_of_pods_changes_nothing() -> None:
    state = make_state(wanted=None, runs=False, slice=make_slice(A), standby_since=ago(60))
    switch = next_switch(state, NOW)
    assert (switch.slice, switch.standby_since, switch.floor) == (make_slice(A), ago(60), 0)
