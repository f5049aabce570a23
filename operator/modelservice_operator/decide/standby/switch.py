"""The switch between the pods of a service and the activator that stands in for them. Pure.

Both lead clients through EndpointSlices of the same Service: the pods through those that Kubernetes makes,
the activator through one of ours. So nothing is ever taken from one before the other one has it:

1. Awake: our slice exists and is not ready; the activator listens on the ports that it names.
2. Falling asleep: no pods are wanted. At least one stays (`floor`) until every activator that is ready has
   said that it listens (those that do not for a while are left out), the slice that makes them ready has been
   seen, and a second has passed in which the rules of all nodes have taken it in.
3. Asleep: no pods. Activators that come are made ready when they have said that they listen.
4. Waking: pods are wanted again. The slice stays ready until clients find a pod that is here to stay. For a
   moment both are ready, which harms nobody: the activator passes on to the pods.

Each step follows from what is observed and recorded: killed anywhere, it goes on from there. Where nobody can
stand in, the last pod stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from modelservice_operator.facts.endpoints import Slice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.facts.endpoints import Endpoint

Phase = Literal["Awake", "FallingAsleep", "Asleep", "Waking"]

TAKEN_IN_SECONDS = 1.0
"""kube-proxy takes changes in at most a second later, by its default `minSyncPeriod`."""
LOOK_AGAIN_SECONDS = 0.2
"""When to look again whether clients find a pod that is ready: its slice is written by another controller."""
PORTS_AGAIN_SECONDS = 60.0
"""When to ask again for ports where none was free."""
NO_ACTIVATOR = "there is no activator: install the chart with activator.enabled"
NONE_READY = "no activator is ready"
NONE_LISTENS = "no activator listens for it yet"
NO_PORTS = "the activator's ports are all taken: 16,000 services may sleep in one cluster"


class SwitchState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the switch goes by.

    `wanted` pods are asked for, None where that cannot be read. `runs` says that a Deployment wants pods,
    `answers` that one counts available pods, `is_led` that clients find a pod that is here to stay.
    `activators` are the ready ones, of one address type, None where there is no such thing; `ports` are those
    of this service, None where none is free.
    `slice` is ours, as it exists. `listening` and `silent` are addresses of activators, by what they said.
    """

    may_sleep: bool
    wanted: int | None
    runs: bool
    answers: bool = False
    is_led: bool = False
    address_type: str = "IPv4"
    activators: tuple[Endpoint, ...] | None = None
    ports: Mapping[str, int] | None = None
    slice: Slice | None = None
    listening: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    standby_since: datetime | None = None
    woken_at: datetime | None = None

    @property
    def stands_in(self) -> bool:
        """Whether the slice that exists leads clients to an activator."""
        return self.slice is not None and any(one.ready for one in self.slice.endpoints)


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of it.

    `slice` is the slice that shall exist, None for none. At least `floor` pods have to stay. `asks` are
    activators that have to be asked whether they listen. `problem` is why nobody can stand in, None where
    somebody can or need not. `looks` asks for the pods, and for those that clients find.
    """

    phase: Phase
    slice: Slice | None
    floor: int = 0
    standby_since: datetime | None = None
    woken_at: datetime | None = None
    asks: tuple[Endpoint, ...] = ()
    problem: str | None = None
    looks: bool = False
    requeue_after_seconds: float | None = None

    @property
    def is_sleepless(self) -> bool:
        """Whether it can not sleep, for as long as nobody changes the installation."""
        return self.problem in (NO_ACTIVATOR, NO_PORTS) and self.phase != "Asleep"


def next_switch(state: SwitchState, now: datetime) -> Switch:
    """Return the next step.

    Guarantees: `floor` is 0 for a service with pods only where the slice that exists has been ready for
    TAKEN_IN_SECONDS; a slice that is ready stays so until clients find a pod or nobody may be woken.
    """
    if state.wanted is None:
        return _as_it_is(state)
    if state.wanted:
        return _with_pods(state, now)
    if not state.may_sleep:
        return Switch(phase="Awake", slice=None)
    if state.activators is None:
        return Switch(phase="FallingAsleep", slice=None, floor=1, problem=NO_ACTIVATOR)
    return _fall_asleep(state, now) if state.runs else _sleep(state, now)


def _as_it_is(state: SwitchState) -> Switch:
    return Switch(
        phase="Asleep" if state.stands_in and not state.runs else "Awake",
        slice=state.slice,
        standby_since=state.standby_since,
        woken_at=state.woken_at,
    )


def _with_pods(state: SwitchState, now: datetime) -> Switch:
    """Pods are wanted: they lead as soon as clients find them."""
    was_asleep = state.stands_in or state.standby_since is not None or state.woken_at is not None
    if not was_asleep or state.is_led:
        return _stay_awake(state)
    listening = _listening(state)
    return Switch(
        phase="Waking",
        slice=_ready(state, listening) if state.activators is not None else None,
        standby_since=state.standby_since,
        woken_at=_past(state.woken_at, now) or now,
        asks=_unheard(state, listening),
        looks=state.answers,
        requeue_after_seconds=LOOK_AGAIN_SECONDS if state.answers else None,
    )


def _stay_awake(state: SwitchState) -> Switch:
    """The pods lead; the slice is there for the day on which they do not."""
    if not state.may_sleep:
        return Switch(phase="Awake", slice=None)
    if state.activators is None:
        return Switch(phase="Awake", slice=None, problem=NO_ACTIVATOR)
    if state.ports is None:
        after_seconds = PORTS_AGAIN_SECONDS
        return Switch(phase="Awake", slice=None, problem=NO_PORTS, requeue_after_seconds=after_seconds)
    return Switch(phase="Awake", slice=_not_ready(state))


def _fall_asleep(state: SwitchState, now: datetime) -> Switch:
    """No pods are wanted, and there are some: they stay until the activator leads."""
    if state.ports is None:
        return _stay_up(state, NO_PORTS, after_seconds=PORTS_AGAIN_SECONDS)
    if not state.activators:
        return _stay_up(state, NONE_READY)
    listening = _listening(state)
    unheard = _unheard(state, listening)
    awaited = [one for one in unheard if one.address not in state.silent]
    if not listening or (awaited and not state.stands_in):
        is_silence = bool(unheard) and not awaited
        return _stay_up(state, NONE_LISTENS if is_silence else None, asks=unheard)
    wanted = _ready(state, listening)
    if state.slice != wanted:
        # Nodes take every change in anew. What is recorded is of an earlier one, and forgotten first: it
        # must not count for this one.
        is_forgotten = state.standby_since is None
        kept = wanted if is_forgotten else state.slice
        return Switch(phase="FallingAsleep", slice=kept, floor=1, asks=unheard)
    # Woken and sent to sleep again: activators may have come and gone, unrecorded, since it slept.
    recorded = state.standby_since if state.woken_at is None else None
    since = _past(recorded, now) or now
    left_seconds = TAKEN_IN_SECONDS - (now - since).total_seconds()
    return Switch(
        phase="FallingAsleep",
        slice=wanted,
        floor=1 if left_seconds > 0 else 0,
        standby_since=since,
        asks=unheard,
        requeue_after_seconds=left_seconds if left_seconds > 0 else None,
    )


def _stay_up(
    state: SwitchState,
    problem: str | None,
    *,
    asks: tuple[Endpoint, ...] = (),
    after_seconds: float | None = None,
) -> Switch:
    return Switch(
        phase="FallingAsleep",
        slice=_not_ready(state),
        floor=1,
        asks=asks,
        problem=problem,
        requeue_after_seconds=after_seconds,
    )


def _sleep(state: SwitchState, now: datetime) -> Switch:
    """No pods are wanted and there are none: whoever listens stands in."""
    listening = _listening(state)
    problem = NONE_READY if not state.activators else None if listening else NONE_LISTENS
    if state.ports is None:
        problem = NO_PORTS
    return Switch(
        phase="Asleep",
        slice=_ready(state, listening),
        standby_since=(_past(state.standby_since, now) or now) if state.stands_in else None,
        asks=_unheard(state, listening),
        problem=problem,
        requeue_after_seconds=PORTS_AGAIN_SECONDS if state.ports is None else None,
    )


def _listening(state: SwitchState) -> tuple[Endpoint, ...]:
    """Return the activators that listen: those that have said so, and those that the slice made ready."""
    if not _has_ports(state):
        return ()
    assert state.slice is not None
    trusted = {(one.address, one.pod_uid) for one in state.slice.endpoints if one.ready}
    return tuple(
        one
        for one in state.activators or ()
        if one.address in state.listening or (one.address, one.pod_uid) in trusted
    )


def _unheard(state: SwitchState, listening: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Return the activators that are to be asked: where they have been told on which ports to listen."""
    if not _has_ports(state):
        return ()
    return tuple(one for one in state.activators or () if one not in listening)


def _has_ports(state: SwitchState) -> bool:
    return state.slice is not None and state.ports is not None and state.slice.ports == state.ports


def _ready(state: SwitchState, listening: tuple[Endpoint, ...]) -> Slice | None:
    """Return the slice that leads to these activators."""
    return _slice(state, tuple(_with_readiness(one, ready=True) for one in listening))


def _not_ready(state: SwitchState) -> Slice | None:
    """Return the slice that says where to listen, and leads nobody there.

    Which addresses it lists means nothing then: they are not written anew with each activator that comes.
    """
    known = state.slice.endpoints if state.slice is not None else state.activators or ()
    return _slice(state, tuple(_with_readiness(one, ready=False) for one in known))


def _with_readiness(one: Endpoint, *, ready: bool) -> Endpoint:
    return type(one)(address=one.address, ready=ready, serving=ready, pod=one.pod, pod_uid=one.pod_uid)


def _slice(state: SwitchState, endpoints: tuple[Endpoint, ...]) -> Slice | None:
    """Return a slice; its address type is for ever, so there is none before one is known."""
    if state.slice is None and not state.activators:
        return None
    ports = state.ports if state.ports is not None else state.slice.ports if state.slice else None
    if ports is None:
        return None
    return Slice(address_type=state.address_type, endpoints=endpoints, ports=ports)


def _past(time: datetime | None, now: datetime) -> datetime | None:
    """Return a recorded time, None for one to come: a clock was wrong."""
    return time if time is not None and time <= now else None
