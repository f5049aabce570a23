"""The requests of one HTTP/2 connection, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from h2 import events
from h2.exceptions import H2Error

from modelservice_activator import metrics
from modelservice_activator.holding.refusals import Refusal
from modelservice_activator.relaying.answers import Answer
from modelservice_activator.relaying.http2.call import Call
from modelservice_activator.relaying.http2.link import Link
from modelservice_activator.relaying.http2.messages import Fields
from modelservice_activator.relaying.http2.refused import (
    DEADLINE_EXCEEDED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    answer_messages,
    is_grpc,
    timeout_seconds,
)
from modelservice_activator.relaying.http2.session import LAST_STREAM, Session
from modelservice_activator.relaying.lost import LOST, LostPodError
from modelservice_activator.relaying.reach import reached

if TYPE_CHECKING:
    from modelservice_activator.relaying.http2.link import Stream
    from modelservice_activator.relaying.visit import Visit

Head = Sequence[tuple[bytes, bytes]]


class Http2Relay:
    """Takes requests, passes each on by itself and brings its answer back."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._link = Link(visit.channel, Session(is_client=False), self._on_event)
        self._tasks: dict[int, asyncio.Task[str]] = {}
        self._has_begun = False
        """Whether something has that is not complete."""

    async def run(self, first: bytes) -> None:
        """Serve the connection, whose first bytes these are, to its end."""
        self._link.start()
        self._visit.on_retire = self._say_goodbye
        if self._visit.is_retired:
            self._say_goodbye()
        try:
            self._visit.rest(self._visit.means.limits.idle_seconds)
            self._link.take_in(first)
            while True:
                self._count_unfinished()
                await self._link.receive()
        except ConnectionAbortedError:
            await self._visit.channel.close_gently()
        finally:
            self._visit.on_retire = None
            self._link.end()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _count_unfinished(self) -> None:
        """A head that has begun is to come soon, where the client waits for nothing else."""
        size_bytes, limits = self._link.session.unfinished_bytes, self._visit.means.limits
        self._visit.keep(size_bytes)
        if self._has_begun != bool(size_bytes):
            self._has_begun = bool(size_bytes)
            if self._visit.is_resting:
                self._visit.rest(limits.head_seconds if size_bytes else limits.idle_seconds)

    def _say_goodbye(self) -> None:
        """Ask for no new requests. Those that are on their way are served; the rest is the idle limit's."""
        self._visit.channel.write(self._link.session.say_goodbye(LAST_STREAM))

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self._begin(event)
        elif isinstance(event, events.StreamReset) and event.stream_id in self._tasks:
            self._tasks[event.stream_id].cancel()

    def _begin(self, event: events.RequestReceived) -> None:
        stream = self._link.add_stream(event.stream_id)
        stream.take_in(Fields(event.headers, event.stream_ended is not None))
        self._visit.work()
        task = asyncio.create_task(self._serve(stream, event.headers), name=f"stream {stream.number}")
        self._tasks[stream.number] = task
        # Not at the end of the coroutine: a task that is cancelled in its first turn never begins.
        task.add_done_callback(lambda done: self._ended(stream, done))

    def _ended(self, stream: Stream, task: asyncio.Task[str]) -> None:
        stream.finish()
        del self._tasks[stream.number]
        if not self._tasks:
            self._visit.rest(self._visit.means.limits.idle_seconds)
        metrics.REQUESTS.labels("http2", "left" if task.cancelled() else task.result()).inc()

    async def _serve(self, stream: Stream, head: Head) -> str:
        """Hold a request and pass it on; a task of its own, which is cancelled when the client leaves."""
        # Where the client is gone, or has ended the stream, there is nobody to tell.
        with contextlib.suppress(ConnectionError, H2Error):
            return await self._relay(stream, head)
        return "left"

    async def _relay(self, stream: Stream, head: Head) -> str:
        """Return what became of the request."""
        visit, wait_seconds = self._visit, timeout_seconds(head)
        until = math.inf if wait_seconds is None else _now() + wait_seconds
        if (b":method", b"CONNECT") in head:
            await _say(stream, head, Answer(501, "CONNECT is not served here"), UNIMPLEMENTED)
            return "refused"
        try:
            with visit.means.holder.hold(visit.key, visit.port, wait_seconds) as held:
                held.grow(sum(len(name) + len(value) for name, value in head) + stream.waiting_bytes)
                stream.on_data = held.grow
                async with reached(held, visit.means.connect_seconds) as pod:
                    await Call(stream, pod).run(until)
        except Refusal as refusal:
            status = DEADLINE_EXCEEDED if _now() >= until else UNAVAILABLE
            await _say(stream, head, Answer(503, refusal.message, refusal.retry_after_seconds), status)
            return "refused"
        except LostPodError:
            await _say(stream, head, LOST, UNAVAILABLE)
            return "lost"
        return "passed"


async def _say(stream: Stream, head: Head, answer: Answer, grpc_status: int) -> None:
    """Answer ourselves, as far as there is a word left to say it; else the stream's end has to do."""
    for message in answer_messages(answer, grpc_status if is_grpc(head) else None, has_head=stream.has_head):
        await stream.send(message)


def _now() -> float:
    return asyncio.get_running_loop().time()
