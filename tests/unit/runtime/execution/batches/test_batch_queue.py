"""Who is next: by priority, by key, by turn; with hypothesis."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.execution.batches.batch_queue import BatchQueue


@dataclass(eq=False)
class Entry:
    key: tuple[object, ...] | None
    rows: int
    number: int
    priority: int = 5


def take(queue: BatchQueue[Entry], limit: int) -> list[Entry]:
    name, _ = queue.choose(limit, lambda *_: 0.0)
    return queue.take(limit, name)


entries = st.lists(st.tuples(st.sampled_from([("x",), ("y",), None]), st.integers(1, 5)), max_size=30).map(
    lambda items: [Entry(key, rows, number) for number, (key, rows) in enumerate(items)]
)


@given(waiting=entries, limit=st.integers(1, 8))
def test_batch_queue_gives_every_entry_once_in_order_within_its_key(waiting: list[Entry], limit: int) -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    for entry in waiting:
        queue.add(entry)
    taken = []
    while queue:
        # The wait says how many rows would come: the fewest rows have their turn here.
        name, rows = queue.choose(limit, lambda _, rows: float(rows))
        batch = queue.take(limit, name)
        assert sum(entry.rows for entry in batch) == rows
        assert len({entry.key for entry in batch}) == 1
        assert len(batch) == 1 or (batch[0].key is not None and sum(entry.rows for entry in batch) <= limit)
        taken += batch
    assert sorted(entry.number for entry in taken) == [entry.number for entry in waiting]
    for key in (("x",), ("y",)):
        numbers = [entry.number for entry in taken if entry.key == key]
        assert numbers == sorted(numbers)


@given(keys=st.lists(st.sampled_from([("x",), ("y",), None]), max_size=20))
def test_batch_queue_take_one_is_take_of_one(keys: list[tuple[object, ...] | None]) -> None:
    one: BatchQueue[Entry] = BatchQueue()
    other: BatchQueue[Entry] = BatchQueue()
    for number, key in enumerate(keys):
        entry = Entry(key, 1, number)
        one.add(entry)
        other.add(entry)
    while other:
        assert [one.take_one()] == take(other, 1)
        assert one.rows == other.rows
    assert not one


@given(priorities=st.lists(st.integers(1, 3), max_size=20))
def test_batch_queue_take_one_takes_the_most_urgent_first(priorities: list[int]) -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    for number, priority in enumerate(priorities):
        queue.add(Entry((), 1, number, priority))
    taken = [queue.take_one() for _ in priorities]
    assert taken == sorted(taken, key=lambda entry: (entry.priority, entry.number))
    assert not queue


@given(waiting=entries, removed=st.sets(st.integers(0, 29)))
def test_batch_queue_remove_forgets_only_that_entry(waiting: list[Entry], removed: set[int]) -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    for entry in waiting:
        queue.add(entry)
    for entry in waiting:
        if entry.number in removed:
            assert queue.remove(entry)
            assert not queue.remove(entry)
    left = []
    while queue:
        left += [entry.number for entry in take(queue, 100)]
    assert sorted(left) == [entry.number for entry in waiting if entry.number not in removed]


def test_batch_queue_keys_take_turns() -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    for number in range(4):
        queue.add(Entry(("busy",), 1, number))
    queue.add(Entry(("quiet",), 1, 9))
    assert [entry.number for entry in take(queue, 2)] == [0, 1]
    assert [entry.number for entry in take(queue, 2)] == [9]
    assert [entry.number for entry in take(queue, 2)] == [2, 3]


def test_batch_queue_choose_passes_over_keys_that_wait() -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    queue.add(Entry(("waits",), 1, 0))
    queue.add(Entry(("full",), 4, 1))
    queue.add(Entry(("waits less",), 2, 2))
    assert queue.choose(4, lambda _, rows: 4.0 - rows) == (("full",), 0.0)
    assert queue.choose(8, lambda _, rows: 8.0 - rows) == (("full",), 4.0)


urgencies = st.lists(
    st.tuples(st.sampled_from([("x",), ("y",), None]), st.integers(1, 3), st.integers(1, 3)), max_size=30
).map(lambda items: [Entry(key, rows, number, level) for number, (key, rows, level) in enumerate(items)])


@given(waiting=urgencies, limit=st.integers(1, 8))
def test_batch_queue_never_starts_a_batch_while_something_more_urgent_waits(
    waiting: list[Entry], limit: int
) -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    for entry in waiting:
        queue.add(entry)
    left = list(waiting)
    while queue:
        assert queue.rows == sum(entry.rows for entry in left)
        batch = take(queue, limit)
        assert batch[0].priority == min(entry.priority for entry in left)
        assert [entry.priority for entry in batch] == sorted(entry.priority for entry in batch)
        left = [entry for entry in left if entry not in batch]
    assert (left, queue.rows) == ([], 0)


def test_batch_queue_fills_an_urgent_batch_with_what_can_wait() -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    queue.add(Entry(("a",), 1, 0, priority=9))
    queue.add(Entry(("b",), 1, 1, priority=9))
    queue.add(Entry(("a",), 1, 2, priority=1))
    assert [entry.number for entry in take(queue, 4)] == [2, 0]
    assert [entry.number for entry in take(queue, 4)] == [1]


def test_batch_queue_choose_prefers_a_due_bucket_to_an_urgent_one_that_may_wait() -> None:
    queue: BatchQueue[Entry] = BatchQueue()
    queue.add(Entry(("urgent",), 1, 0, priority=1))
    queue.add(Entry(("due",), 4, 1, priority=9))
    assert queue.choose(4, lambda _, rows: 4.0 - rows) == (("due",), 0.0)
