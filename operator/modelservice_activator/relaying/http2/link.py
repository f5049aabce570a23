"""One side of the relay: a connection, and the streams on it, each with what has come and waits to go on.

What waits is bounded by the windows of HTTP/2: they are opened again only for what went on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from modelservice_activator.relaying.http2.budget import Budget
from modelservice_activator.relaying.http2.messages import Data, Fields, Message, Reset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.relaying.http2.session import Session

CONNECTION_WINDOW_BYTES = 256 * 1024
"""What all streams of a connection may have waiting; each alone 64 KiB, so it stops no others."""
_COSTLY = (
    events.RemoteSettingsChanged,
    events.PingReceived,
    events.PriorityUpdated,
    events.StreamReset,
    events.UnknownFrameReceived,
)
_TOLD = (events.RequestReceived, events.StreamReset, events.ConnectionTerminated)


class Stream:
    """One request on one side."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self.number = number
        self.has_head = False
        """Whether we have sent a head."""
        self.is_sent = False
        """Whether we have sent the last word."""
        self.is_received = False
        """Whether the last word has come from the other side."""
        self._inbox: deque[Message] = deque()
        self._news = asyncio.Event()
        self.window = asyncio.Event()
        self.on_data: Callable[[int], None] | None = None
        """Called with the size of each part of the body that comes."""

    @property
    def waiting_bytes(self) -> int:
        """What has come of the body and waits."""
        return sum(len(one.content) for one in self._inbox if isinstance(one, Data))

    def take_in(self, message: Message) -> None:
        """Something has come."""
        last = self._inbox[-1] if self._inbox else None
        if isinstance(message, Data) and isinstance(last, Data):
            last.content += message.content
            last.window_bytes += message.window_bytes
            last.is_last = message.is_last
        else:
            self._inbox.append(message)
        self.is_received = self.is_received or message.is_last
        self._news.set()
        if isinstance(message, Data) and self.on_data is not None:
            self.on_data(len(message.content))

    async def receive(self) -> Message:
        """Return what has come next; raises ConnectionError once nothing more can."""
        while not self._inbox:
            if self._link.is_over:
                raise ConnectionResetError("the connection ended in the middle of a stream")
            self._news.clear()
            await self._news.wait()
        return self._inbox.popleft()

    def wake(self) -> None:
        """Look again at what there is, and at how much may be sent."""
        self._news.set()
        self.window.set()

    async def send(self, message: Message) -> None:
        """Pass one message on, no faster than the other side takes it; raises ConnectionError or H2Error."""
        link = self._link
        if isinstance(message, Fields):
            self.send_fields(message)
        elif isinstance(message, Data):
            await self._send_data(message)
        else:
            link.reset(self, message.code)
        self.is_sent = self.is_sent or message.is_last
        await link.channel.drain()

    def send_fields(self, fields: Fields) -> None:
        """Send a head or trailers."""
        self._link.session.send_headers(self.number, list(fields.headers), end_stream=fields.is_last)
        self.has_head = True
        self.is_sent = self.is_sent or fields.is_last
        self._link.flush()

    async def _send_data(self, message: Data) -> None:
        session, content = self._link.session, memoryview(bytes(message.content))
        while content:
            room = min(session.local_flow_control_window(self.number), session.max_outbound_frame_size)
            if room <= 0:
                self.window.clear()
                await self.window.wait()
                if self._link.is_over:
                    raise ConnectionResetError("the connection ended in the middle of a stream")
                continue
            piece, content = content[:room], content[room:]
            session.send_data(self.number, bytes(piece), end_stream=message.is_last and not content)
            self._link.flush()
            await self._link.channel.drain()
        if message.is_last and not message.content:
            session.end_stream(self.number)
            self._link.flush()

    def give_back(self, window_bytes: int) -> None:
        """What has come was passed on: as much may come again."""
        with contextlib.suppress(H2Error):  # the connection is over, and so is its window
            if window_bytes:
                self._link.session.acknowledge_received_data(window_bytes, self.number)
            self._link.flush()

    def finish(self) -> None:
        """We have done with it: what still comes is not wanted."""
        self._link.streams.pop(self.number, None)
        with contextlib.suppress(H2Error):
            if not (self.is_sent and self.is_received):
                code = ErrorCodes.NO_ERROR if self.is_sent else ErrorCodes.INTERNAL_ERROR
                self._link.reset(self, code)
        self.give_back(sum(one.window_bytes for one in self._inbox if isinstance(one, Data)))
        self._inbox.clear()


class Link:
    """One connection in HTTP/2; whoever has it reads with `receive` until its end, and is told of `_TOLD`."""

    def __init__(self, channel: Channel, session: Session, told: Callable[[events.Event], None]) -> None:
        self.channel = channel
        self.session = session
        self._told = told
        self.streams: dict[int, Stream] = {}
        self.is_over = False
        self._budget = Budget(asyncio.get_running_loop().time())

    def start(self) -> None:
        """Send what comes before everything else."""
        self.session.initiate_connection()
        self.session.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65_535)
        self.flush()

    def flush(self) -> None:
        """Write what h2 has to say."""
        self.channel.write(self.session.data_to_send())

    def add_stream(self, number: int) -> Stream:
        """Return a new stream of this number."""
        stream = self.streams[number] = Stream(self, number)
        return stream

    def reset(self, stream: Stream, code: int) -> None:
        """End a stream before its end; h2 says H2Error where it has ended already."""
        self.session.reset_stream(stream.number, code)
        self.flush()

    async def receive(self) -> None:
        """Read once and hand out what has come. Raises ConnectionError at the end."""
        data = await self.channel.read()
        if not data:
            raise ConnectionResetError("the peer has ended the connection")
        self.take_in(data)
        await self.channel.drain()

    def take_in(self, data: bytes) -> None:
        """Hand out what has come; what a peer must not do ends its connection."""
        try:
            found = self.session.receive_data(data)
        except H2Error as error:
            self.flush()
            raise ConnectionAbortedError(f"not HTTP/2: {error}") from error
        self.flush()
        now = asyncio.get_running_loop().time()
        is_flood = not all(self._budget.spend(now) for one in found if _is_costly(one))
        if is_flood or self.session.is_overfull:
            self.session.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self.flush()
            raise ConnectionAbortedError("a flood of frames that ask for nothing, or one without an end")
        for event in found:
            self._hand_out(event)
        self.flush()

    def end(self) -> None:
        """Nothing more comes: tell all streams."""
        self.is_over = True
        for stream in self.streams.values():
            stream.wake()

    def _hand_out(self, event: events.Event) -> None:
        """Give an event to the stream that it is for, and tell of those that begin or end anything."""
        if isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            for stream in self._meant_by(event):
                stream.wake()
            return
        one = self.streams.get(getattr(event, "stream_id", None) or 0)
        message = _message_of(event)
        if one is not None and message is not None:
            one.take_in(message)
        elif isinstance(event, events.DataReceived):
            self._give_back_unwanted(event)
        if isinstance(event, _TOLD):
            self._told(event)

    def _meant_by(self, event: events.Event) -> Sequence[Stream]:
        number = event.stream_id if isinstance(event, events.WindowUpdated) else 0
        if not number:
            return list(self.streams.values())
        return [self.streams[number]] if number in self.streams else []

    def _give_back_unwanted(self, event: events.DataReceived) -> None:
        with contextlib.suppress(H2Error):
            if event.flow_controlled_length:
                self.session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.flush()


def _is_costly(event: events.Event) -> bool:
    is_empty = isinstance(event, events.DataReceived) and not event.data and event.stream_ended is None
    return is_empty or isinstance(event, _COSTLY)


def _message_of(event: events.Event) -> Message | None:
    """Return what an event says to a stream; the end comes with what it ends, or alone."""
    if isinstance(event, events.DataReceived):
        is_last = event.stream_ended is not None
        return Data(bytearray(event.data), event.flow_controlled_length or 0, is_last)
    if isinstance(
        event,
        events.ResponseReceived | events.InformationalResponseReceived | events.TrailersReceived,
    ):
        return Fields(event.headers, getattr(event, "stream_ended", None) is not None)
    if isinstance(event, events.StreamReset):
        return Reset(int(event.error_code or 0))
    return None
