"""Waiting requests: the most urgent first, equal keys together, keys in turn; pure.

Priorities are strict, as in Triton: nothing of a lower priority runs while something more urgent is due. But
a run that has room takes along what is less urgent and has the same key, for that costs nobody anything.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeAlias, TypeVar

BatchKey: TypeAlias = tuple[object, ...]


class Batchable(Protocol):
    """What the queue needs to know of an entry."""

    @property
    def key(self) -> BatchKey | None:
        """Entries with equal keys may run together; None runs alone."""

    @property
    def rows(self) -> int:
        """Rows of the first dimension, at least 1."""

    @property
    def priority(self) -> int:
        """Smaller numbers go first."""


Entry = TypeVar("Entry", bound=Batchable)


class BatchQueue(Generic[Entry]):
    """See the module's text. Within a priority and a key it is first come, first served."""

    def __init__(self) -> None:
        # By priority, then by key; the order of the keys is that of their turns.
        self._levels: dict[int, dict[object, deque[Entry]]] = {}
        self._priorities: list[int] = []
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._levels)

    def add(self, entry: Entry) -> None:
        """Append `entry`; without a key it gets a bucket of its own."""
        level = self._levels.get(entry.priority)
        if level is None:
            level = self._levels[entry.priority] = {}
            self._priorities = sorted(self._levels)
        name = id(entry) if entry.key is None else entry.key
        bucket = level.get(name)
        if bucket is None:
            level[name] = deque((entry,))
        else:
            bucket.append(entry)
        self.rows += entry.rows

    def remove(self, entry: Entry) -> bool:
        """Forget a waiting entry; False when it is not waiting."""
        name = _bucket_name(entry)
        bucket = self._levels.get(entry.priority, {}).get(name)
        if bucket is None or entry not in bucket:
            return False
        bucket.remove(entry)
        self.rows -= entry.rows
        self._forget_empty(entry.priority, name)
        return True

    def choose(self, limit: int, wait_seconds: Callable[[Entry, int], float]) -> tuple[object, float]:
        """Find whose turn it is: the first bucket that need not wait, else the one that waits the least.

        `wait_seconds` gets a bucket's oldest entry and the rows that `take` would return. Returns what
        `take` wants, and the seconds to wait (0: none). The queue must not be empty.
        """
        waits: list[tuple[float, object]] = []
        for priority in self._priorities:
            for name, bucket in self._levels[priority].items():
                seconds = wait_seconds(bucket[0], self._rows_to_take(name, limit))
                if seconds <= 0:
                    return name, 0.0
                waits.append((seconds, name))
        seconds, name = min(waits, key=lambda wait: wait[0])
        return name, seconds

    def take_one(self) -> Entry:
        """Remove the entry whose turn it is where nothing is batched. The queue must not be empty."""
        priority = self._priorities[0]
        level = self._levels[priority]
        name, bucket = next(iter(level.items()))
        entry = bucket.popleft()
        self.rows -= entry.rows
        if not bucket:
            self._forget_empty(priority, name)
        elif len(level) > 1:
            level[name] = level.pop(name)  # to the end: the next key has its turn
        return entry

    def take(self, limit: int, name: object) -> list[Entry]:
        """Remove the first entries of a name, of at most `limit` rows in sum (but at least one entry)."""
        taken: list[Entry] = []
        rows = 0
        for priority, bucket in self._buckets(name):
            while bucket and (not taken or rows + bucket[0].rows <= limit):
                rows += bucket[0].rows
                taken.append(bucket.popleft())
            self._forget_empty(priority, name)
            if bucket:
                level = self._levels[priority]
                level[name] = level.pop(name)  # to the end: the next key has its turn
                break
        self.rows -= rows
        return taken

    def _buckets(self, name: object) -> Iterator[tuple[int, deque[Entry]]]:
        for priority in self._priorities:
            bucket = self._levels[priority].get(name)
            if bucket is not None:
                yield priority, bucket

    def _rows_to_take(self, name: object, limit: int) -> int:
        rows = 0
        for _, bucket in self._buckets(name):
            for entry in bucket:
                if rows and rows + entry.rows > limit:
                    return rows
                rows += entry.rows
        return rows

    def _forget_empty(self, priority: int, name: object) -> None:
        level = self._levels[priority]
        if not level[name]:
            del level[name]
        if not level:
            del self._levels[priority]
            self._priorities = sorted(self._levels)


def _bucket_name(entry: Batchable) -> object:
    return id(entry) if entry.key is None else entry.key
