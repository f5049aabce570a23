"""The work queue: semantics of client-go's, two priorities, turns between namespaces, delays, backoff."""

import asyncio
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_operator.cache.workqueue import (
    BASE_BACKOFF_SECONDS,
    MAX_BACKOFF_SECONDS,
    STARVATION_LIMIT,
    Key,
    Priority,
    WorkQueue,
)

A, B, C = Key("one", "a"), Key("one", "b"), Key("two", "c")


async def take(queue: WorkQueue, count: int) -> list[Key]:
    """Get and finish `count` keys."""
    keys = []
    for _ in range(count):
        key = await asyncio.wait_for(queue.get(), 120)
        queue.done(key)
        keys.append(key)
    return keys


async def is_empty(queue: WorkQueue) -> bool:
    await asyncio.sleep(0)
    return len(queue) == 0


async def test_add_same_key_twice_gives_it_once():
    queue = WorkQueue()
    queue.add(A)
    queue.add(A)
    assert await take(queue, 1) == [A]
    assert await is_empty(queue)


async def test_add_while_processing_gives_key_again_after_done_only():
    queue = WorkQueue()
    queue.add(A)
    key = await queue.get()
    queue.add(A)
    assert len(queue) == 0
    queue.done(key)
    assert await take(queue, 1) == [A]
    assert await is_empty(queue)


async def test_get_waits_until_a_key_is_added():
    queue = WorkQueue()
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not getter.done()
    queue.add(A)
    assert await asyncio.wait_for(getter, 120) == A


async def test_get_cancelled_after_wake_up_passes_the_wake_up_on():
    queue = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    first.cancel()
    assert await asyncio.wait_for(second, 120) == A


async def test_urgent_key_goes_before_normal_ones():
    queue = WorkQueue()
    queue.add(A)
    queue.add(C, Priority.URGENT)
    assert await take(queue, 2) == [C, A]


async def test_waiting_key_that_becomes_urgent_moves_forward():
    queue = WorkQueue()
    queue.add(A)
    queue.add(B)
    queue.add(B, Priority.URGENT)
    queue.add(B)
    assert await take(queue, 2) == [B, A]
    assert await is_empty(queue)


async def test_many_urgent_keys_do_not_starve_a_normal_one():
    queue = WorkQueue(late_seconds=math.inf)
    queue.add(A)
    for number in range(3 * STARVATION_LIMIT):
        queue.add(Key("one", f"urgent-{number}"), Priority.URGENT)
    assert (await take(queue, STARVATION_LIMIT + 1))[-1] == A


async def test_normal_keys_that_have_waited_for_long_take_turns_with_urgent_ones():
    queue = WorkQueue(late_seconds=0.0)
    late = [Key("one", f"late-{number}") for number in range(3)]
    for key in late:
        queue.add(key)
    urgent = [Key("one", f"urgent-{number}") for number in range(5)]
    for key in urgent:
        queue.add(key, Priority.URGENT)
    turns = [urgent[0], late[0], urgent[1], late[1], urgent[2], late[2], *urgent[3:]]
    assert await take(queue, 8) == turns


async def test_namespaces_take_turns():
    queue = WorkQueue()
    for number in range(100):
        queue.add(Key("crowd", str(number)))
    queue.add(C)
    assert C in await take(queue, 2)


async def test_delayed_key_comes_after_its_delay_and_once():
    queue = WorkQueue()
    queue.add(A, after_seconds=0.02)
    queue.add(A, after_seconds=0.01)
    assert len(queue) == 0
    assert await take(queue, 1) == [A]
    queue.add(B, after_seconds=0.03)
    assert await take(queue, 1) == [B]  # and not A again, whose later wish was covered
    assert await is_empty(queue)


async def test_delay_keeps_the_earliest_wish():
    queue = WorkQueue()
    queue.add(A, after_seconds=0.01)
    queue.add(A, after_seconds=3600)
    assert await take(queue, 1) == [A]


async def test_immediate_add_covers_a_delayed_one():
    queue = WorkQueue()
    queue.add(A, after_seconds=0.01)
    queue.add(A)
    assert await take(queue, 1) == [A]
    queue.add(B, after_seconds=0.05)
    assert await take(queue, 1) == [B]


async def test_delayed_add_while_processing_is_kept():
    queue = WorkQueue()
    queue.add(A)
    key = await queue.get()
    queue.add(A, after_seconds=0.01)
    queue.done(key)
    assert await take(queue, 1) == [A]


async def test_retry_doubles_up_to_the_cap_and_forget_starts_anew():
    queue = WorkQueue(jitter=lambda: 1.0)
    delays = [queue.retry(A) for _ in range(20)]
    assert delays[:4] == pytest.approx([BASE_BACKOFF_SECONDS * 2**n for n in range(4)])
    assert delays[-1] == MAX_BACKOFF_SECONDS
    queue.forget(A)
    assert queue.retry(A) == pytest.approx(BASE_BACKOFF_SECONDS)


async def test_retry_honours_the_servers_wish_and_jitters():
    assert WorkQueue().retry(A, at_least_seconds=7.0) == 7.0
    assert WorkQueue(jitter=lambda: 0.0).retry(A) == pytest.approx(BASE_BACKOFF_SECONDS / 2)


async def test_servers_wish_holds_against_events():
    queue = WorkQueue()
    queue.add(A)
    key = await queue.get()
    queue.add(A, Priority.URGENT)
    queue.retry(A, at_least_seconds=0.1)
    queue.done(key)
    queue.add(A, Priority.URGENT)
    assert len(queue) == 0
    assert await take(queue, 1) == [A]
    queue.add(A)
    assert len(queue) == 1


async def test_failing_key_does_not_delay_others():
    queue = WorkQueue()
    queue.retry(A, at_least_seconds=3600)
    queue.add(B)
    assert await take(queue, 1) == [B]


async def test_closed_queue_gives_no_key_and_drains():
    queue = WorkQueue()
    queue.add(A)
    queue.add(B)
    key = await queue.get()
    queue.close()
    waiter = asyncio.create_task(queue.drained())
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0.01)
    assert not waiter.done()
    assert not getter.done()
    queue.done(key)
    await asyncio.wait_for(waiter, 120)
    getter.cancel()


KEYS = st.builds(Key, st.sampled_from(["one", "two", "three"]), st.sampled_from("abcd"))
STEPS = st.one_of(
    st.tuples(st.just("add"), KEYS, st.sampled_from(list(Priority))),
    st.tuples(st.just("get"), st.none(), st.none()),
    st.tuples(st.just("done"), st.integers(0, 3), st.none()),
    st.tuples(st.just("limit"), st.integers(1, 3), st.none()),
)


async def test_namespace_with_its_share_of_workers_leaves_the_others_theirs():
    queue = WorkQueue(most_per_namespace=2)
    for number in range(9):
        queue.add(Key("crowd", str(number)), Priority.URGENT)
    crowd = [await queue.get(), await queue.get()]
    third = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not third.done()
    queue.add(C)
    assert await asyncio.wait_for(third, 120) == C
    # Whatever becomes free is the crowd's again, also for a worker that has been waiting.
    fourth = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done(crowd[0])
    assert (await asyncio.wait_for(fourth, 120)).namespace == "crowd"


async def test_limit_holds_back_what_is_not_urgent_and_a_higher_one_lets_it_go_at_once():
    queue = WorkQueue(most_per_namespace=3, bulk=0)
    for number in range(9):
        queue.add(Key("crowd", str(number)))
        queue.add(Key("others", str(number)))
    held = [await queue.get() for _ in range(4)]
    queue.limit(1)
    waiters = [asyncio.create_task(queue.get()) for _ in range(3)]
    for key in held[:2]:
        queue.done(key)
        await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters), "two are still at work"
    queue.add(Key("crowd", "edited"), Priority.URGENT)
    edited, _ = await asyncio.wait({*waiters}, timeout=120, return_when=asyncio.FIRST_COMPLETED)
    assert [one.result().name for one in edited] == ["edited"]
    queue.done(held[2])
    more, waiting = await asyncio.wait({*waiters} - edited, timeout=120, return_when=asyncio.FIRST_COMPLETED)
    assert [one.result().namespace != held[3].namespace for one in more] == [True]
    queue.limit(3)
    await asyncio.wait_for(asyncio.gather(*waiting), 120)


async def test_last_ones_of_a_bulk_are_handed_out_to_all_workers_that_wait():
    queue = WorkQueue(most_per_namespace=8, bulk=5)
    queue.limit(1)
    for number in range(8):
        queue.add(Key("crowd", str(number)))
    getters = [asyncio.create_task(queue.get()) for _ in range(8)]

    async def taken() -> list[Key]:
        for _ in range(50):
            await asyncio.sleep(0)
        return [getter.result() for getter in getters if getter.done()]

    (first,) = await taken()
    queue.done(first)
    (second,) = {*await taken()} - {first}
    queue.done(second)
    assert len(await taken()) == 8, "five waited, and no limit held for them"


class Model:
    """What a queue was told, and what it may do."""

    def __init__(self, most: float, bulk: int) -> None:
        self.queue = WorkQueue(most_per_namespace=None if most == math.inf else int(most), bulk=bulk)
        self.bulk = bulk
        self.most = self.limit = most
        self.held: list[tuple[Key, Priority]] = []
        self.owed: dict[Key, Priority] = {}
        """Added and not handed out since."""

    def may_have(self, key: Key) -> bool:
        taken = {one for one, _ in self.held if one.namespace == key.namespace}
        routine = {one for one, priority in self.held if priority is Priority.NORMAL}
        if key in taken or len(taken) >= self.most:
            return False
        has_room = len(routine) <= self.limit and len(routine & taken) < self.limit
        are_few = len(self.owed.keys() - {one for one, _ in self.held}) <= self.bulk
        return self.owed[key] is Priority.URGENT or has_room or are_few

    def add(self, key: Key, priority: Priority) -> None:
        self.queue.add(key, priority)
        self.owed[key] = min(priority, self.owed.get(key, priority))

    def limit_to(self, most: int, _: None) -> None:
        self.limit = most
        self.queue.limit(most)

    async def get(self) -> None:
        may = {key for key in self.owed if self.may_have(key)}
        getter = asyncio.create_task(self.queue.get())
        for _ in range(3):
            await asyncio.sleep(0)
        assert getter.done() == bool(may), "a free worker and a key that it may have find each other"
        if may:
            key = getter.result()
            assert key in may
            self.held.append((key, self.owed.pop(key)))
        else:
            getter.cancel()

    def done(self, number: int, _: None) -> None:
        if self.held:
            self.queue.done(self.held.pop(number % len(self.held))[0])


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=60), st.sampled_from([math.inf, 1, 2]), st.sampled_from([0, 2, 32]))
def test_any_order_of_steps_loses_no_key_and_never_gives_one_twice(steps, most, bulk):
    async def run() -> None:
        model = Model(most, bulk)
        act = {"add": model.add, "limit": model.limit_to, "done": model.done}
        for step, subject, priority in steps:
            if step == "get":
                await model.get()
            else:
                act[step](subject, priority)
        while model.held:
            model.done(0, None)
        rest = await take(model.queue, len(model.queue))
        assert Counter(rest) == Counter(model.owed.keys())

    asyncio.run(run())


CROWDS = st.lists(st.tuples(KEYS, st.sampled_from(list(Priority))), max_size=60)


@settings(max_examples=200, deadline=None)
@given(CROWDS, CROWDS, st.sampled_from([(math.inf, 1), (0.0, 4)]), st.data())
def test_edit_is_overtaken_by_as_many_as_there_are_namespaces_and_no_more(before, after, lateness, data):
    """However much the others have, before it or after it."""

    async def run() -> None:
        late_seconds, most_normal = lateness
        queue = WorkQueue(late_seconds=late_seconds)
        mine = Key("mine", "edited")
        for key, priority in before:
            queue.add(key, priority)
        await take(queue, data.draw(st.integers(0, len(queue))))
        queue.add(mine, Priority.URGENT)
        taken = []
        while mine not in taken:
            taken += await take(queue, 1)
            if after:
                queue.add(*after.pop())
        # Three others have a turn before it, and between them a normal one (after each, where that is late).
        assert len(taken) <= 3 + most_normal + 1

    asyncio.run(run())
