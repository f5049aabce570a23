"""One call on one stream: its service, the client's messages, deadline, cancellation."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from modelservice_runtime.errors import internal_error
from modelservice_runtime.execution.offload import LARGE_BYTES, MAX_COMPRESSED_HERE_BYTES, offload
from modelservice_runtime.transport.grpc.answers import AnsweringStream
from modelservice_runtime.transport.grpc.head import CallHead
from modelservice_runtime.transport.grpc.messages import PREFIX_BYTES, MessageReader
from modelservice_runtime.transport.grpc.open_streams import Endable
from modelservice_runtime.transport.grpc.stream import Admission, CallHandler
from modelservice_runtime.transport.grpc.wire import HEAD_BLOCK
from modelservice_runtime.transport.http2.framing.errors import ErrorCode
from modelservice_runtime.transport.http2.stream import StreamOwner
from modelservice_runtime.transport.status import GrpcError, GrpcStatus, grpc_error

log = logging.getLogger(__name__)

# Some clients say "never" with a deadline in some thousands of years.
_MAX_TIMER_SECONDS = 30 * 24 * 3600.0
# A client that puts thousands of messages into one frame lets others in between.
_MAX_MESSAGES_AT_ONCE = 64
# A message that comes so soon behind its head needs no second look at its key.
_SAME_MOMENT_NS = 10_000_000
_LEAVING = "the connection has reached its greatest age; connect again"


class CallServer(Protocol):
    """What calls ask of their server."""

    loop: asyncio.AbstractEventLoop
    now: float
    admit: Admission | None


class ServerCall(AnsweringStream):
    """The transport's side of `GrpcCall`."""

    __slots__ = (
        "_body_bytes_left",
        "_caller",
        "_handler",
        "_held",
        "_idle_since",
        "_inflating",
        "_is_admitted",
        "_opened_ns",
        "_reader",
        "_server",
        "_timer",
        "received_ns",
    )

    def __init__(self, server: CallServer, session: StreamOwner, stream_id: int, head: CallHead) -> None:
        super().__init__(session, stream_id, head)
        self.received_ns = self._opened_ns = 0
        self._server = server
        self._handler: CallHandler | None = None
        self._body_bytes_left = head.content_length
        self._reader: MessageReader | None = None
        self._held: list[bytes] | None = None
        self._inflating = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = server.now
        self._caller: object = None
        self._is_admitted = False

    # GrpcCall

    @property
    def path(self) -> str:
        """See `GrpcCall`."""
        return self._head.path

    @property
    def caller(self) -> object:
        """See `GrpcCall`."""
        return self._caller

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """See `GrpcCall`."""
        return self._head.metadata

    @property
    def timeout_seconds(self) -> float | None:
        """See `GrpcCall`."""
        return self._head.timeout_seconds

    # Stream

    def opened(self, ended: int) -> None:
        """Refuse the call or give it to its service."""
        head = self._head
        if ended:
            self.remote_ended = True
        if head.service is None:
            self._done = True
            self.send_last(head.refusal or HEAD_BLOCK)
            return
        self.received_ns = self._opened_ns = time.perf_counter_ns()
        self._dispatch()
        if ended and not self._done:
            self._half_close()
        if head.timeout_seconds is not None and not self._done:
            self.session.after_turn.append(self)

    def received(self, data: bytes, start: int, stop: int, ended: int) -> None:
        """Give complete messages to the handler; nearly always that is one, in one piece."""
        if ended:
            self.remote_ended = True
        if self._done or (self._body_bytes_left is not None and not self._check_length(stop - start)):
            return
        begin = start + PREFIX_BYTES
        if (
            self._reader is None
            and self._held is None
            and begin <= stop
            and not data[start]
            and int.from_bytes(data[start + 1 : begin]) == stop - begin
            and stop - begin <= (self._head.max_message_bytes or self.session.limits.max_message_bytes)
            and not self.queued_bytes
        ):
            self._deliver(data[begin:stop])
        elif self._held is not None:
            self._hold(data[start:stop])
        else:
            self._assemble(data, start, stop)
        if self._done or self._held is not None:
            return
        if ended:
            self._half_close()
        else:
            self.session.credit(self)

    def dropped(self) -> None:
        """The client has gone or reset the call."""
        if not self._done:
            self._cancel_handler(self._end())

    def drained(self) -> None:
        """Go on with the requests that waited for their predecessors' answers to leave."""
        if self._done:
            return
        self._release_held()
        if not self._done and self.on_writable is not None:
            self._guard(self.on_writable)

    def turn_ended(self) -> None:
        """Start the clock of the deadline, unless the call is over already."""
        timeout_seconds = self._head.timeout_seconds
        if not self._done and timeout_seconds is not None and timeout_seconds < _MAX_TIMER_SECONDS:
            passed = (time.perf_counter_ns() - self._opened_ns) / 1e9
            self._timer = self._server.loop.call_later(timeout_seconds - passed, self._expire)

    def check_deadline(self, now: float) -> None:
        """End a call whose client is too slow with a message, or with the next one."""
        if self._done or self.remote_ended:
            return
        limits = self.session.limits
        idle_since = max(self._idle_since, self.session.reading_since)
        reader = self._reader
        if reader is not None and reader.is_within_message:
            allowed = limits.body_grace_seconds + reader.received_bytes / limits.min_body_bytes_per_second
            sentence = "the message took too long to arrive"
        else:
            allowed = limits.stream_idle_seconds
            sentence = "the call was idle for too long"
        if now > idle_since + allowed:
            self._give_up(GrpcStatus.DEADLINE_EXCEEDED, sentence)

    def leave(self, *, at_once: bool) -> None:
        """End a call that outlives its connection; the client takes UNAVAILABLE as: connect again."""
        if at_once:
            self._give_up(GrpcStatus.UNAVAILABLE, _LEAVING)
        elif isinstance(self._handler, Endable):
            self._handler.end_when_idle(GrpcStatus.UNAVAILABLE, _LEAVING)

    # inside

    def _deliver(self, message: bytes) -> None:
        """Every message of a client earns what its small frame has cost."""
        self.received_ns = time.perf_counter_ns()
        self._idle_since = self._server.now
        self.session.allowance += 1
        if self._server.admit is not None and not self._admit_again():
            return
        assert self._handler is not None
        if (len(message) >= LARGE_BYTES or self._in_work) and not self._keep(len(message)):
            return
        self._guard(self._handler.on_message, message)

    def _admit_again(self) -> bool:
        """False, and the call is over, where a key or token is no longer good.

        A call may last long; its first message counts as asked with the head where it came with it.
        """
        if self._is_admitted:
            self._is_admitted = False
            if self.received_ns - self._opened_ns < _SAME_MOMENT_NS:
                return True
        try:
            self._admit()
        except Exception as error:  # noqa: BLE001 - logged where it is ours, and told
            self._give_up_for(error)
            return False
        return True

    def _admit(self) -> None:
        admit = self._server.admit
        if admit is not None:
            self._caller = admit(self._head.path, self._head.metadata, self.session.client)

    def _keep(self, size: int) -> bool:
        """Count a large message until its answer is sent; False, and the call is over, without room."""
        counted = size if size >= LARGE_BYTES else 0
        if not self.session.reserve(counted):
            self._give_up(GrpcStatus.RESOURCE_EXHAUSTED, "the server's buffers are full; try again later")
            return False
        self._in_work.append(counted)
        return True

    def _assemble(self, data: bytes, start: int, stop: int) -> None:
        if self._reader is None:
            session = self.session
            self._reader = MessageReader(
                self._head.encoding,
                self._head.max_message_bytes or session.limits.max_message_bytes,
                session.reserve,
                session.release,
            )
        try:
            self._read(self._reader, data, start, stop)
        except Exception as error:  # noqa: BLE001 - logged where it is ours, and told
            self._give_up_for(error)

    def _read(self, reader: MessageReader, data: bytes, start: int, stop: int) -> None:
        """Deliver messages until the data ends, or the client should take answers first, or others wait."""
        if not reader.is_within_message:
            self._idle_since = self._server.now
        turns = _MAX_MESSAGES_AT_ONCE
        while start < stop and not self._done:
            if not turns or not self._takes_answers:
                self._hold(data[start:stop])
                return
            message, start = reader.read(data, start, stop)
            if message is None:
                return
            turns -= 1
            if reader.is_compressed:
                if len(message) > MAX_COMPRESSED_HERE_BYTES:
                    self._inflate(reader, message, data[start:stop])
                    return
                message = reader.inflate(message)
            self._deliver(message)

    def _inflate(self, reader: MessageReader, message: bytes, rest: bytes) -> None:
        """A thread inflates the message; what follows it waits."""
        size = len(message)
        if not self.session.reserve(size):
            self._give_up(GrpcStatus.RESOURCE_EXHAUSTED, "the server's buffers are full; try again later")
            return
        self._inflating = True
        self._hold(rest)
        offload(partial(reader.inflate, message), partial(self._inflated, size))

    def _inflated(self, size: int, finished: asyncio.Future[bytes]) -> None:
        self.session.release(size)
        failure = finished.exception()
        if self._done:
            return
        if failure is not None:
            self._give_up_for(failure)
            return
        self._deliver(finished.result())
        self._inflating = False
        self._release_held()

    def _check_length(self, size: int) -> bool:
        """False, and the call is over, when it does not have the length it announced (RFC 9113, 8.1.1)."""
        assert self._body_bytes_left is not None
        self._body_bytes_left -= size
        if self._body_bytes_left >= 0 and not (self._body_bytes_left and self.remote_ended):
            return True
        self.reset(ErrorCode.PROTOCOL_ERROR)
        self.dropped()
        return False

    def _half_close(self) -> None:
        if self._reader is not None and self._reader.is_within_message:
            self._give_up(GrpcStatus.INTERNAL, "the client ended the call within a message")
            return
        assert self._handler is not None
        self._guard(self._handler.on_end)

    def _hold(self, data: bytes) -> None:
        """Further requests wait, within the stream's window, until answers have left or others had a turn."""
        if not self.session.reserve(len(data)):
            self._give_up(GrpcStatus.RESOURCE_EXHAUSTED, "the server's buffers are full; try again later")
            return
        if self._held is None:
            self._held = []
            if self._takes_answers:
                self.session.call_soon(self._release_held)
        self._held.append(data)

    def _release_held(self) -> None:
        if self._inflating:
            return
        held, self._held = self._held, None
        if held is None:
            return
        data = b"".join(held)
        self.session.release(len(data))
        if self._body_bytes_left is not None:
            self._body_bytes_left += len(data)  # counted when it came
        self.received(data, 0, len(data), int(self.remote_ended))

    def _dispatch(self) -> None:
        head = self._head
        assert head.service is not None
        try:
            self._admit()
            self._is_admitted = True
            self._handler = head.service(self)
        except Exception as error:  # noqa: BLE001 - logged where it is ours, and told
            self._finish_for(error)

    def _guard(self, function: Callable[..., None], *arguments: bytes) -> None:
        """Call into the service; whatever it raises ends its call and no other."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - logged where it is ours, and told
            self._finish_for(error)

    def _expire(self) -> None:
        self._give_up(GrpcStatus.DEADLINE_EXCEEDED, "the deadline has passed")

    def _as_grpc_error(self, error: BaseException) -> GrpcError:
        """The last boundary: what is not said to the client goes to the log."""
        if isinstance(error, GrpcError):
            return error
        if isinstance(error, MemoryError):
            return GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, "there is no memory for this message")
        log.error("internal error", extra={"path": self._head.path}, exc_info=error)
        return grpc_error(internal_error())

    # Not in the frame that caught it: the error leads there, and a cycle would keep the call's messages.
    def _finish_for(self, error: BaseException) -> None:
        failure = self._as_grpc_error(error)
        handler = self._handler
        self.finish(failure.status, failure.message)
        self._cancel_handler(handler)

    def _give_up_for(self, error: BaseException) -> None:
        failure = self._as_grpc_error(error)
        self._give_up(failure.status, failure.message)

    def _give_up(self, status: GrpcStatus, message: str) -> None:
        """End the call for a reason outside the service."""
        if self._done:
            return
        handler = self._handler
        if self.queued_bytes:  # behind a part of a message no status can follow
            self._end()
            self.reset(ErrorCode.CANCEL)
        else:
            self.finish(status, message)
        self._cancel_handler(handler)

    def _cancel_handler(self, handler: CallHandler | None) -> None:
        if handler is not None:
            self._guard(handler.on_cancel)

    def _end(self) -> CallHandler | None:
        """Nothing more is received or sent beyond what is queued; returns the handler.

        It is forgotten here: it knows its call, and a cycle would keep the messages until it is collected.
        """
        self._done = True
        handler, self._handler = self._handler, None
        self.on_writable = None
        if self._timer is not None:
            self._timer.cancel()
        if self._reader is not None:
            self._reader.discard()
        if self._in_work:
            self.session.release(sum(self._in_work))
            self._in_work.clear()
        if self._held is not None:
            self.session.release(sum(map(len, self._held)))
            self._held = None
        return handler
