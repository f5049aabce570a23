"""The work queue: which ModelService is reconciled next, never two workers on one.

The semantics are those of client-go's workqueue (a dirty and a processing set), with what we need on top:
two priorities (a person's edit goes before a child's status), turns between namespaces and a limit of
workers for each (one tenant with ten thousand objects, or with slow ones, delays nobody else), a delay per
addition (debounce) and a backoff per key.
Everything here runs in the event loop; nothing blocks and nothing is locked.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import math
import random
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple

from modelservice_operator import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 300.0
STARVATION_LIMIT = 8
"""After this many urgent keys in a row, one that is not urgent gets its turn."""
LATE_SECONDS = 2.0
"""One that has waited for so long has its turn after each urgent one: where a thousand services are created
at once, the first ones are told of before the last ones begin."""

BULK = 32
"""Where no more keys wait, all workers may take them: so few calls make no queue that lasts, and where
reading pods takes long ten services need not wait for each other."""


class Key(NamedTuple):
    """Which ModelService."""

    namespace: str
    name: str


class Priority(enum.IntEnum):
    """What goes first."""

    URGENT = 0
    """Somebody changed the spec, or a child is gone."""
    NORMAL = 1
    """A child's status, an audit, a retry."""


class _Lane:
    """Keys of one priority; namespaces take turns, keys of one namespace keep their order."""

    def __init__(self) -> None:
        self._namespaces: OrderedDict[str, deque[Key]] = OrderedDict()

    @property
    def namespaces(self) -> set[str]:
        """Those that have a key."""
        return set(self._namespaces)

    def has_one(self, but: set[str]) -> bool:
        """Whether there is a key of another namespace than these."""
        return len(self._namespaces) > len(but) or any(one not in but for one in self._namespaces)

    def push(self, key: Key) -> None:
        self._namespaces.setdefault(key.namespace, deque()).append(key)

    def next(self, but: set[str]) -> Key | None:
        """The next key of another namespace than these, None where there is none."""
        return next((keys[0] for one, keys in self._namespaces.items() if one not in but), None)

    def pop(self, but: set[str]) -> Key:
        """Take the next key of another namespace than these, of which there is one."""
        namespace = next(one for one in self._namespaces if one not in but)
        keys = self._namespaces[namespace]
        key = keys.popleft()
        if keys:
            self._namespaces.move_to_end(namespace)
        else:
            del self._namespaces[namespace]
        return key

    def remove(self, key: Key) -> None:
        keys = self._namespaces[key.namespace]
        keys.remove(key)
        if not keys:
            del self._namespaces[key.namespace]


class _Share:
    """How many keys workers have of each namespace, and of which as many as they may."""

    def __init__(self, most: float) -> None:
        self.most = most
        self._held: Counter[str] = Counter()
        self.full: set[str] = set()

    def take(self, namespace: str) -> None:
        self._held[namespace] += 1
        self._note(namespace)

    def give_back(self, namespace: str) -> None:
        self._held -= Counter([namespace])
        self._note(namespace)

    def limit(self, most: int) -> None:
        self.most = most
        for namespace in self._held:
            self._note(namespace)

    @property
    def has_room(self) -> bool:
        """Whether another namespace may have one, too."""
        return self._held.total() <= self.most

    def _note(self, namespace: str) -> None:
        if self._held[namespace] >= self.most:
            self.full.add(namespace)
        else:
            self.full.discard(namespace)


class WorkQueue:
    """Keys that need a reconciliation.

    With `most_per_namespace` workers take at most so many keys of one namespace at the same time. Where there
    is one worker more than that, it is free for the others, however long those take. Of keys that are not
    urgent `limit` may allow fewer, and then one more in all, while more than `bulk` keys wait.
    """

    def __init__(
        self,
        jitter: Callable[[], float] = random.random,
        *,
        most_per_namespace: int | None = None,
        late_seconds: float = LATE_SECONDS,
        bulk: int = BULK,
    ) -> None:
        self._jitter = jitter
        self._late_seconds = late_seconds
        self._bulk = bulk
        most = math.inf if most_per_namespace is None else most_per_namespace
        self._all, self._routine = _Share(most), _Share(most)
        """What workers have: all of it, and what is not urgent."""
        self._lanes = {priority: _Lane() for priority in Priority}
        self._waiting: dict[Key, tuple[Priority, float]] = {}
        """Keys in a lane, with the time at which they came."""
        self._processing: dict[Key, Priority] = {}
        self._again: dict[Key, Priority] = {}
        """Keys that were added while a worker had them."""
        self._due: dict[Key, tuple[float, Priority]] = {}
        self._timers: list[tuple[float, Key]] = []
        """Heap of due times; an entry that does not agree with `_due` is void."""
        self._timer: asyncio.TimerHandle | None = None
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        """Keys that the API server asked to leave alone until then (Retry-After), whatever happens."""
        self._urgent_in_a_row = 0
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key, priority: Priority = Priority.NORMAL, after_seconds: float = 0.0) -> None:
        """Ask for a reconciliation of `key`, now or later; the earliest wish of several wins."""
        now = asyncio.get_running_loop().time()
        due = max(now + after_seconds, self._not_before.get(key, now))
        if due > now:
            self._add_later(key, priority, due)
        elif key in self._processing:
            self._again[key] = min(priority, self._again.get(key, priority))
        else:
            self._add_now(key, priority)

    def retry(self, key: Key, at_least_seconds: float = 0.0) -> float:
        """Put a failed key back with the next backoff; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff: float = min(BASE_BACKOFF_SECONDS * 2 ** min(failures, 32), MAX_BACKOFF_SECONDS)
        # Half of it is random: keys that failed together do not come back together.
        delay = max(backoff * (0.5 + self._jitter() / 2), at_least_seconds)
        if at_least_seconds > 0:
            self._not_before[key] = asyncio.get_running_loop().time() + at_least_seconds
        metrics.RETRIES.inc()
        self.add(key, Priority.NORMAL, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Start the key's backoff anew: it succeeded, or it is gone."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; call `done` with it afterwards."""
        while self._closed or not any(lane.has_one(self._full(one)) for one, lane in self._lanes.items()):
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()  # this wake-up was for a key that somebody else can take
                raise
        key, priority = self._pop()
        self._wake_one()  # where so few are left that the limit no longer holds
        self._processing[key] = priority
        for share in self._shares(priority):
            share.take(key.namespace)
        self._idle.clear()
        # Whatever was due later is covered by the reconciliation that starts now.
        self._due.pop(key, None)
        self._not_before.pop(key, None)
        return key

    def done(self, key: Key) -> None:
        """The worker has finished with `key`."""
        for share in self._shares(self._processing.pop(key)):
            share.give_back(key.namespace)
        self._wake_one()
        if not self._processing:
            self._idle.set()
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)

    def limit(self, most_per_namespace: int) -> None:
        """From now on hand out at most so many keys of one namespace that are not urgent."""
        self._routine.limit(most_per_namespace)
        metrics.CONCURRENCY_LIMIT.set(most_per_namespace)
        for _ in range(len(self._getters)):
            self._wake_one()

    def close(self) -> None:
        """Hand out no more keys."""
        self._closed = True

    async def drained(self) -> None:
        """Wait until no worker has a key."""
        await self._idle.wait()

    def _add_now(self, key: Key, priority: Priority) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            if priority >= waiting[0]:
                return
            self._lanes[waiting[0]].remove(key)
        since = waiting[1] if waiting is not None else asyncio.get_running_loop().time()
        self._waiting[key] = (priority, since)
        self._lanes[priority].push(key)
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        self._wake_one()

    def _shares(self, priority: Priority) -> tuple[_Share, ...]:
        """Return what a key counts in that a worker has."""
        return (self._all,) if priority is Priority.URGENT else (self._all, self._routine)

    def _full(self, priority: Priority) -> set[str]:
        """Return the namespaces of which no key of this priority may be taken now."""
        if priority is Priority.URGENT or len(self._waiting) <= self._bulk:
            return self._all.full
        if not self._routine.has_room:
            return self._lanes[priority].namespaces
        return self._all.full | self._routine.full

    def _pop(self) -> tuple[Key, Priority]:
        fulls = {priority: self._full(priority) for priority in Priority}
        urgent, normal = self._lanes[Priority.URGENT], self._lanes[Priority.NORMAL]
        has_urgent = urgent.has_one(fulls[Priority.URGENT])
        if has_urgent and not self._is_starving(normal.next(fulls[Priority.NORMAL])):
            self._urgent_in_a_row += 1
            priority = Priority.URGENT
        else:
            self._urgent_in_a_row = 0
            priority = Priority.NORMAL
        key = self._lanes[priority].pop(fulls[priority])
        _, since = self._waiting.pop(key)
        metrics.QUEUE_SECONDS.observe(asyncio.get_running_loop().time() - since)
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        return key, priority

    def _is_starving(self, key: Key | None) -> bool:
        """Whether a key that is not urgent has its turn before one that is."""
        if key is None:
            return False
        waited = asyncio.get_running_loop().time() - self._waiting[key][1]
        return self._urgent_in_a_row >= (1 if waited >= self._late_seconds else STARVATION_LIMIT)

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _add_later(self, key: Key, priority: Priority, due: float) -> None:
        known = self._due.get(key)
        if known is not None:
            priority = min(priority, known[1])
            due = min(due, known[0])
            if (due, priority) == known:
                return
        self._due[key] = (due, priority)
        heapq.heappush(self._timers, (due, key))
        self._arm()

    def _arm(self) -> None:
        """Set the one timer to the earliest due time."""
        while self._timers and self._due.get(self._timers[0][1], (None,))[0] != self._timers[0][0]:
            heapq.heappop(self._timers)
        when = self._timers[0][0] if self._timers else None
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._fire) if when is not None else None

    def _fire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._timers and self._timers[0][0] <= now:
            due, key = heapq.heappop(self._timers)
            known = self._due.get(key)
            if known is not None and known[0] == due:
                del self._due[key]
                self.add(key, known[1])
        self._arm()
