"""Who gets a pod, in which order, and what is left when somebody leaves in the very moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.activator import KEY, Rig, eventually, running_rig

from modelservice_activator.holding.holder import Held
from modelservice_activator.holding.refusals import Refusal
from modelservice_activator.settings import HoldLimits
from modelservice_activator.watching.services import Address


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_rig(HoldLimits(per_pod=2)) as running:
        yield running


async def hold(rig: Rig, got: list[int], number: int, ended: asyncio.Event) -> None:
    with rig.holder.hold(KEY, "http") as held:
        address = await held.pod()
        got.append(number)
        try:
            await ended.wait()
        finally:
            held.release(address)


async def test_pods_are_given_in_the_order_of_arrival_as_far_as_there_is_room(rig: Rig) -> None:
    got: list[int] = []
    ends = [asyncio.Event() for _ in range(6)]
    tasks = [asyncio.create_task(hold(rig, got, number, ends[number])) for number in range(6)]
    await eventually(lambda: rig.holder.room.requests == 6, "all wait")
    rig.give_pods(["10.0.0.1"], http=8080)
    await asyncio.sleep(0.05)
    assert got == [0, 1]
    ends[1].set()
    await eventually(lambda: len(got) == 3, "the next one follows")
    rig.give_pods(["10.0.0.1", "10.0.0.2"], http=8080)
    await eventually(lambda: len(got) == 5, "a second pod takes two")
    assert got == [0, 1, 2, 3, 4]
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("has_finalizers", [True, False], ids=["with finalizers", "at once"])
async def test_who_waits_for_a_service_is_told_as_soon_as_it_is_deleted(
    rig: Rig, has_finalizers: bool
) -> None:
    """The slice that leads clients here goes seconds later."""
    task = asyncio.create_task(hold(rig, [], 0, asyncio.Event()))
    await eventually(lambda: rig.holder.room.requests == 1, "it waits")
    rig.api.deleting = has_finalizers
    rig.api.tell("MODIFIED" if has_finalizers else "DELETED")
    with pytest.raises(Refusal, match="no such service"):
        await task
    with pytest.raises(Refusal, match="no such service"):
        await hold(rig, [], 1, asyncio.Event())
    # Somebody makes another one of its name.
    rig.api.deleting = False
    rig.api.tell("ADDED")
    got: list[int] = []
    ended = asyncio.Event()
    task = asyncio.create_task(hold(rig, got, 2, ended))
    rig.give_pods(["10.0.0.1"], http=8080)
    await eventually(lambda: got == [2], "its pod gets the request")
    ended.set()
    await task


async def test_pod_that_is_ready_still_gets_requests_of_a_service_that_is_deleted(rig: Rig) -> None:
    rig.give_pods(["10.0.0.1"], http=8080)
    rig.api.tell("DELETED")
    got: list[int] = []
    ended = asyncio.Event()
    ended.set()
    await hold(rig, got, 0, ended)
    assert got == [0]


async def test_pod_without_the_port_gets_nothing(rig: Rig) -> None:
    got: list[int] = []
    task = asyncio.create_task(hold(rig, got, 0, asyncio.Event()))
    rig.give_pods(["10.0.0.1"], grpc=9000)
    await asyncio.sleep(0.05)
    assert got == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_client_that_leaves_as_it_gets_its_pod_gives_it_back(rig: Rig) -> None:
    tasks = [asyncio.create_task(hold(rig, [], number, asyncio.Event())) for number in range(5)]
    await eventually(lambda: rig.holder.room.requests == 5, "all wait")
    rig.give_pods(["10.0.0.1"], http=8080)
    for task in tasks:  # in the same turn of the loop
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not rig.holder._lines


async def test_who_could_not_reach_its_pod_is_served_before_others(rig: Rig) -> None:
    order: list[str] = []

    async def once(name: str, held: Held) -> Address:
        address = await held.pod()
        order.append(name)
        return address

    with rig.holder.hold(KEY, "http") as first, rig.holder.hold(KEY, "http") as second:
        rig.give_pods(["10.0.0.1"], http=8080)
        first.release(await once("first", first), unreachable=True)
        waiting = [asyncio.create_task(once("second", second)), asyncio.create_task(once("again", first))]
        rig.give_pods(["10.0.0.2"], http=8080)
        addresses = await asyncio.gather(*waiting)
        assert order[0] == "first"
        assert addresses == [("10.0.0.2", 8080)] * 2
        second.release(addresses[0])
        first.release(addresses[1])


async def test_service_that_may_sleep_no_more_is_waited_for_until_it_has_a_pod(rig: Rig) -> None:
    got: list[int] = []
    ended = asyncio.Event()
    task = asyncio.create_task(hold(rig, got, 0, ended))
    await eventually(lambda: rig.holder.room.requests == 1, "it waits")
    rig.api.min_replicas = 1
    rig.api.tell()
    rig.api.scale(1)
    rig.services.set_standby(KEY, "spam-activator", None)
    rig.give_pods(["10.0.0.1"], http=8080)
    await eventually(lambda: got == [0], "it has its pod")
    ended.set()
    await task
    assert rig.api.writes == []


async def test_deleted_service_refuses_who_waits(rig: Rig) -> None:
    task = asyncio.create_task(hold(rig, [], 0, asyncio.Event()))
    await eventually(lambda: rig.holder.room.requests == 1, "it waits")
    rig.services.set_standby(KEY, "spam-activator", None)
    rig.api.tell("DELETED")
    with pytest.raises(Refusal, match="no such service"):
        await task


async def test_end_of_the_process_refuses_who_waits_and_who_comes(rig: Rig) -> None:
    task = asyncio.create_task(hold(rig, [], 0, asyncio.Event()))
    await eventually(lambda: rig.holder.room.requests == 1, "it waits")
    rig.holder.refuse_all()
    with pytest.raises(Refusal, match="ends"):
        await task
    with pytest.raises(Refusal, match="ends"):
        await hold(rig, [], 1, asyncio.Event())


STEPS = st.sampled_from(["come", "leave", "end", "pods", "unreachable", "pause"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 7)), max_size=40))
def test_whatever_happens_nothing_is_counted_that_is_not_there(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_happen(steps))


async def _pass(rig: Rig, end: asyncio.Event, *, first_fails: bool) -> None:
    """One request, from its place to its end."""
    with contextlib.suppress(Refusal), rig.holder.hold(KEY, "http") as held:
        if first_fails:
            held.release(await held.pod(), unreachable=True)
        address = await held.pod()
        try:
            await end.wait()
        finally:
            held.release(address)


async def _happen(steps: list[tuple[str, int]]) -> None:
    async with running_rig(HoldLimits(per_pod=2, requests=6)) as rig:
        tasks: list[asyncio.Task[None]] = []
        ends: list[asyncio.Event] = []
        for step, number in steps:
            if step in ("come", "unreachable"):
                ends.append(asyncio.Event())
                passing = _pass(rig, ends[-1], first_fails=step == "unreachable")
                tasks.append(asyncio.create_task(passing))
            elif step == "leave" and tasks:
                tasks[number % len(tasks)].cancel()
            elif step == "end" and ends:
                ends[number % len(ends)].set()
            elif step == "pods":
                rig.give_pods([f"10.0.0.{one}" for one in range(number)], http=8080)
            else:
                await asyncio.sleep(0)
            _check_counts(rig)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(not line.pods._in_flight for line in rig.holder._lines.values())
        rig.holder._lines.clear()  # pods that could not be reached are remembered for a moment


def _check_counts(rig: Rig) -> None:
    for line in rig.holder._lines.values():
        assert all(1 <= count <= 2 for count in line.pods._in_flight.values())
