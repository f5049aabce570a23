"""One end of an HTTP/2 connection in a test's hands, by h2: it says what it is told, and remembers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_Event = TypeVar("_Event", bound=Event)


class H2Peer:
    """A client's end, or a server's."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool
    ) -> None:
        config = H2Configuration(
            client_side=is_client,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.http = H2Connection(config)
        self.reader = reader
        self.writer = writer
        self.events: list[Event] = []
        self.gives_back = True
        """Whether data that comes opens the window again."""
        self.http.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Write what h2 has to say."""
        self.writer.write(self.http.data_to_send())

    async def read(self) -> bool:
        """Read once; False at the end."""
        data = await self.reader.read(65536)
        if not data:
            return False
        for event in self.http.receive_data(data):
            self.events.append(event)
            if isinstance(event, DataReceived) and self.gives_back and event.flow_controlled_length:
                with contextlib.suppress(Exception):
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return True

    async def until(self, kind: type[_Event], stream: int | None = None) -> _Event:
        """Read until such an event has come; EOFError where the connection ends before."""
        async with asyncio.timeout(120):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                        return event
                if not await self.read():
                    raise EOFError(f"the end, without {kind.__name__}: {self.events}")

    async def until_true(self, condition: Callable[[], object]) -> None:
        """Read until the test is content."""
        async with asyncio.timeout(120):
            while not condition():
                if not await self.read():
                    raise EOFError(f"the end: {self.events}")

    def data(self, stream: int) -> bytes:
        """What has come of a body."""
        return b"".join(
            one.data for one in self.events if isinstance(one, DataReceived) and one.stream_id == stream
        )

    def send(self, stream: int, headers: list[tuple[str, str]], *, end: bool = False) -> None:
        """Send a head, or trailers."""
        self.http.send_headers(stream, headers, end_stream=end)
        self.flush()

    async def send_body(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send a body as fast as the windows allow."""
        view = memoryview(body)
        while view:
            room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if room <= 0:
                if not await self.read():
                    raise EOFError("the end, in the middle of a body")
                continue
            piece, view = view[:room], view[room:]
            self.http.send_data(stream, bytes(piece), end_stream=end and not view)
            self.flush()
            await self.writer.drain()


@contextlib.asynccontextmanager
async def h2_client(port: int, **options: Any) -> AsyncIterator[H2Peer]:
    """A client of HTTP/2 without TLS, by prior knowledge."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        yield H2Peer(reader, writer, is_client=True)
    finally:
        writer.close()


def ask(path: str = "/", method: str = "POST", **more: str) -> list[tuple[str, str]]:
    """The head of a request."""
    fields = [(name.replace("_", "-"), value) for name, value in more.items()]
    return [
        (":method", method), (":scheme", "http"), (":authority", "spam.mail"), (":path", path), *fields
    ]  # fmt: skip


def ask_grpc(path: str = "/inference.GRPCInferenceService/ModelInfer", **more: str) -> list[tuple[str, str]]:
    """The head of a call of gRPC."""
    return ask(path, te="trailers", content_type="application/grpc", **more)
