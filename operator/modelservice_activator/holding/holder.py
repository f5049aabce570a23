"""Requests wait here, in the order in which they came, each until it gets a pod or a refusal."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.holding.pods import SHUN_SECONDS, Pods
from modelservice_activator.holding.refusals import Refusal, ending, expired, gone, switched_off
from modelservice_activator.holding.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from modelservice_activator.settings import HoldLimits
    from modelservice_activator.waking.waker import Waker
    from modelservice_activator.watching.services import Address, Key, Service, Services


class _Line:
    """Those who wait for one service: for each of its ports in turn, the first comes first."""

    def __init__(self, per_pod: int) -> None:
        self.waiting: dict[str, OrderedDict[Held, asyncio.Future[Address]]] = {}
        self.pods = Pods(per_pod)

    @property
    def is_waited_for(self) -> bool:
        return any(self.waiting.values())


class Holder:
    """Gives pods to requests, and wakes services for them."""

    def __init__(self, services: Services, waker: Waker, limits: HoldLimits) -> None:
        self._services = services
        self._waker = waker
        self._limits = limits
        self._lines: dict[Key, _Line] = {}
        self._is_ending = False
        self.room = Room(limits)
        services.subscribe(lambda service: self._serve(service.key))

    def hold(self, key: Key, port: str, wait_seconds: float | None = None) -> Held:
        """Return a place for one request, to be entered with `with`; the wait is at most the limits'."""
        most = self._limits.wait_seconds
        return Held(self, key, port, most if wait_seconds is None else min(wait_seconds, most))

    def refuse_all(self) -> None:
        """Refuse who waits, and who will: the process ends."""
        self._is_ending = True
        for key in list(self._lines):
            self._serve(key)

    async def wait(self, held: Held, future: asyncio.Future[Address]) -> Address:
        """Return a pod for the request, counted there until `release`; raises Refusal."""
        line = self._lines.setdefault(held.key, _Line(self._limits.per_pod))
        waiting = line.waiting.setdefault(held.port, OrderedDict())
        waiting[held] = future
        # Who has waited before, for a pod that could not be reached, is served first.
        waiting.move_to_end(held, last=not held.has_waited)
        self._serve(held.key)
        if not future.done():
            self._waker.wake(held.key, lambda: self._is_waited_for(held.key))
        try:
            async with asyncio.timeout_at(held.until):
                return await future
        except (TimeoutError, asyncio.CancelledError) as error:
            # It was given a pod in the very moment in which it stopped waiting.
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(held.key, future.result())
            if isinstance(error, TimeoutError):
                raise expired() from None
            raise
        finally:
            waiting.pop(held, None)
            self._tidy(held.key)

    def release(self, key: Key, address: Address, *, unreachable: bool = False) -> None:
        """The pod has one request less of ours, which it may not even have got."""
        line, loop = self._lines[key], asyncio.get_running_loop()
        line.pods.release(address)
        if unreachable:
            line.pods.shun(address, loop.time())
            loop.call_later(SHUN_SECONDS, self._serve_again, key)
        self._serve(key)
        self._tidy(key)

    def _serve(self, key: Key) -> None:
        """Give pods to those who wait, as far as there are any."""
        line = self._lines.get(key)
        if line is None:
            return
        service = self._services.get(key)
        why_not = ending if self._is_ending else _why_not(service)
        if why_not is not None or service is None:
            _refuse(line, why_not or gone)
            return
        now = asyncio.get_running_loop().time()
        for port, waiting in line.waiting.items():
            ready = service.pods.get(port, frozenset())
            while waiting and (address := line.pods.choose(ready, now)) is not None:
                _, future = waiting.popitem(last=False)
                if future.done():  # it has left, and has not come to say so yet
                    line.pods.release(address)
                else:
                    future.set_result(address)

    def _is_waited_for(self, key: Key) -> bool:
        line = self._lines.get(key)
        return line is not None and line.is_waited_for

    def _serve_again(self, key: Key) -> None:
        self._serve(key)
        self._tidy(key)

    def _tidy(self, key: Key) -> None:
        """Forget a service for which nobody waits, and which has none of our requests."""
        line = self._lines.get(key)
        if line is None or line.is_waited_for:
            return
        if line.pods.are_unused(asyncio.get_running_loop().time()):
            del self._lines[key]


class Held:
    """The place of one request: what it takes, and how long it may. Use it with `with`."""

    def __init__(self, holder: Holder, key: Key, port: str, wait_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.key = key
        self.port = port
        self.until = loop.time() + wait_seconds
        self.has_waited = False
        self._holder = holder
        self._since = loop.time()
        self._size_bytes = 0
        self._is_in = False
        self._future: asyncio.Future[Address] | None = None

    def __enter__(self) -> Self:
        """Take the place; raises Refusal where there is none."""
        self._holder.room.enter(self.key)
        self._is_in = True
        self._count()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self.leave()

    def grow(self, size_bytes: int) -> None:
        """So many more bytes have come of it; where there is no room for them it is refused."""
        if not self._is_in:
            return
        try:
            self._holder.room.grow(self.key, size_bytes)
        except Refusal as refusal:
            if self._future is None:
                raise
            if not self._future.done():
                self._future.set_exception(refusal)
            return
        self._size_bytes += size_bytes
        self._count()

    async def pod(self) -> Address:
        """Wait for a pod, which counts this request until `release`; raises Refusal."""
        self._future = asyncio.get_running_loop().create_future()
        address = await self._holder.wait(self, self._future)
        self.has_waited = True
        return address

    def leave(self) -> None:
        """It waits no more: what it still has is its pod's."""
        if self._is_in:
            self._is_in = False
            self._holder.room.leave(self.key, self._size_bytes)
            self._count()

    def passed(self) -> None:
        """A pod has been reached."""
        metrics.HOLD_SECONDS.observe(asyncio.get_running_loop().time() - self._since)
        self.leave()

    def release(self, address: Address, *, unreachable: bool = False) -> None:
        """Its pod has done with it, or could not be reached."""
        self._holder.release(self.key, address, unreachable=unreachable)

    def _count(self) -> None:
        metrics.HELD_REQUESTS.set(self._holder.room.requests)
        metrics.HELD_BYTES.set(self._holder.room.total_bytes)


def _why_not(service: Service | None) -> Callable[[], Refusal] | None:
    """Return why nobody may wait for this service, None where one may."""
    if service is None:
        return gone
    if any(service.pods.values()):
        return None
    if service.is_gone:
        # The slice that leads clients here goes later, where a namespace is deleted many seconds later.
        return gone
    if service.leads_here:
        # Also where it may sleep no more and has no replicas yet: the operator is about to give it some.
        return None
    return switched_off if service.wish is not None and service.wish.is_off else None


def _refuse(line: _Line, why: Callable[[], Refusal]) -> None:
    for waiting in line.waiting.values():
        for future in waiting.values():
            if not future.done():
                future.set_exception(why())
        waiting.clear()
