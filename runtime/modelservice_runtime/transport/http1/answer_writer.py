"""How answers leave: at once, in pieces over TLS, and counted while their client does not read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelservice_runtime.transport.http import Buffer, HttpLimits, HttpResponse, render_head
from modelservice_runtime.transport.http1.bodies.piecewise import PIECE_BYTES, Piecewise
from modelservice_runtime.transport.http1.port import HttpPort

if TYPE_CHECKING:
    from modelservice_runtime.transport.http1.body_stream import BodyStream


class AnswerWriter:
    """Writes to `_transport`, which is None before the connection is made and after it is lost."""

    def __init__(self, server: HttpPort) -> None:
        self._server = server
        self._limits: HttpLimits = server.limits
        self._transport: Any = None
        self._writing_paused = False
        self._unsent_bytes = 0
        self._write_deadline = 0.0
        self._piecewise: Piecewise | None = None
        self._stream: BodyStream | None = None

    def pause_writing(self) -> None:
        """The client reads more slowly than we answer."""
        self._writing_paused = True
        self._count_unsent(self.waiting_bytes)
        self._write_deadline = self._server.now + self._limits.write_stall_seconds
        if self._stream is not None:
            self._stream.producer.pause()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _check_write_progress(self, now: float) -> None:
        before = self._unsent_bytes
        self._count_unsent(self.waiting_bytes)
        if self._unsent_bytes < before:
            self._write_deadline = now + self._limits.write_stall_seconds
        elif now > self._write_deadline:
            self.abort()

    @property
    def waiting_bytes(self) -> int:
        """See `StreamConnection`."""
        if self._transport is None:
            return 0
        waiting: int = self._transport.get_write_buffer_size()
        return waiting if self._piecewise is None else waiting + self._piecewise.size_bytes

    def write_piece(self, data: bytes) -> None:
        """See `StreamConnection`."""
        if self._transport is None:
            return
        self._transport.write(data)
        if self._writing_paused:
            self._count_unsent(self.waiting_bytes)

    def _write_pieces(self) -> None:
        """Write until the transport asks for a pause."""
        while self._piecewise is not None and not self._writing_paused:
            if not self._piecewise.write_next():
                return

    def _write_all_pieces(self) -> None:
        """What is written next must not come between them."""
        while self._piecewise is not None and self._piecewise.write_next():
            continue

    def _count_unsent(self, unsent_bytes: int) -> None:
        """Answers that their clients do not read take memory as requests do."""
        self._server.buffers.held_bytes += unsent_bytes - self._unsent_bytes
        self._unsent_bytes = unsent_bytes

    def _write(self, response: HttpResponse, *, close: bool, only_head: bool, old: bool) -> None:
        start = self._server.response_start(response.status, response.content_type)
        head = render_head(start, response, close=close, announce_keep_alive=old)
        if only_head:
            self._transport.write(head)
        else:
            self._send(head, response.body)

    def _write_plain(self, start: bytes, response: HttpResponse) -> None:
        """An answer of any size that says nothing of its connection."""
        body = response.body
        head = render_head(start, response, close=False, announce_keep_alive=False)
        if self._piecewise is None or response.content_length <= PIECE_BYTES:
            self._send(head, body)
        else:
            self._piecewise.put([head, body] if isinstance(body, bytes) else [head, *body])
            self._write_pieces()

    def _send(self, head: bytes, body: bytes | Sequence[Buffer]) -> None:
        if isinstance(body, bytes):
            self._transport.write(head + body)
        else:
            self._transport.writelines([head, *body])
