"""One request of HTTP/2 on its way to its pod, over a connection of its own, and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from modelservice_activator.relaying.http2.link import Link
from modelservice_activator.relaying.http2.messages import Data, Fields, Reset
from modelservice_activator.relaying.http2.refused import with_timeout
from modelservice_activator.relaying.http2.session import Session
from modelservice_activator.relaying.lost import LostPodError

if TYPE_CHECKING:
    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.relaying.http2.link import Stream

STREAM = 1
"""The first and only one of a client's connection."""


class Call:
    """Passes both sides of a request on to each other, each no faster than the other takes it."""

    def __init__(self, client: Stream, pod: Channel) -> None:
        self._client = client
        self._link = Link(pod, Session(is_client=True), self._on_event)
        self._pod = self._link.add_stream(STREAM)

    async def run(self, until: float) -> None:
        """Pass the request on, whose client waits `until` then; raises LostPodError."""
        self._link.start()
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._upload(until))]
        try:
            await self._download()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _on_event(self, event: events.Event) -> None:
        """A pod that ends says in GOAWAY what it has not begun; the client may ask anew for that."""
        if isinstance(event, events.ConnectionTerminated) and (event.last_stream_id or 0) < STREAM:
            self._pod.take_in(Reset(ErrorCodes.REFUSED_STREAM))

    async def _read(self) -> None:
        """Take in what the pod says, also while the client takes none of it: windows go the other way."""
        try:
            with contextlib.suppress(ConnectionError):
                while True:
                    await self._link.receive()
        finally:
            self._link.end()

    async def _upload(self, until: float) -> None:
        """Pass the request on. Where the pod has ended it early, its answer says so."""
        with contextlib.suppress(ConnectionError, H2Error):
            is_last = False
            while not is_last:
                message = await self._client.receive()
                if isinstance(message, Fields) and not math.isinf(until):
                    left_seconds = until - asyncio.get_running_loop().time()
                    message = Fields(with_timeout(message.headers, left_seconds), message.is_last)
                await self._pod.send(message)
                if isinstance(message, Data):
                    self._client.give_back(message.window_bytes)
                is_last = message.is_last

    async def _download(self) -> None:
        """Pass the answer back."""
        is_last = False
        while not is_last:
            try:
                message = await self._pod.receive()
            except ConnectionError as error:
                raise LostPodError from error
            await self._client.send(message)
            if isinstance(message, Data):
                self._pod.give_back(message.window_bytes)
            is_last = message.is_last
