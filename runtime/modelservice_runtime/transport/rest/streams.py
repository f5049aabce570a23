"""What the HTTP/2 connections of a port share; their places, buffers and clock are the port's."""

from dataclasses import fields

from modelservice_runtime.transport.http import HttpLimits, HttpResponse, RequestHead
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.http2.stream import StreamOwner
from modelservice_runtime.transport.rest.answer_heads import AnswerHeads
from modelservice_runtime.transport.rest.head import HeadParser
from modelservice_runtime.transport.rest.stream import RequestStream

# What a header counts beside its name and value (RFC 9113, 6.5.2); the pseudo headers beside the limit.
_HEADER_OVERHEAD_BYTES = 32
_PSEUDO_HEADERS = 4


class RequestStreams:
    """See the module's text, and `Http2Host`."""

    def __init__(self, port: HttpPort) -> None:
        self.limits = build_http2_limits(port.limits)
        self.open_streams = 0
        self.heads = AnswerHeads(port.date)
        self._port = port
        self.call_soon = port.call_soon
        self.opened = port.opened
        self.answered = port.answered
        self.closed = port.closed
        self.age_limit = port.age_limit
        self.parse_head = HeadParser(port.limits).parse

    @property
    def now(self) -> float:
        """See `Http2Host`."""
        return self._port.now

    @property
    def buffered_bytes(self) -> int:
        """See `Http2Host`."""
        return self._port.buffers.held_bytes

    @buffered_bytes.setter
    def buffered_bytes(self, held_bytes: int) -> None:
        self._port.buffers.held_bytes = held_bytes

    def open_stream(
        self, session: StreamOwner, stream_id: int, head: RequestHead | HttpResponse
    ) -> RequestStream:
        """See `Http2Host`."""
        return RequestStream(session, stream_id, self._port, self.heads, head)

    def open_probe(
        self, session: StreamOwner, stream_id: int, head: RequestHead | HttpResponse
    ) -> RequestStream:
        """See `Http2Host`."""
        stream = self.open_stream(session, stream_id, head)
        stream.serve_probe()
        return stream


def build_http2_limits(limits: HttpLimits) -> Http2Limits:
    """The same limits for HTTP/2: of equal names, and those of heads and slow readers."""
    names = {field.name for field in fields(Http2Limits)}
    shared = {field.name: getattr(limits, field.name) for field in fields(HttpLimits) if field.name in names}
    lines = limits.max_headers + _PSEUDO_HEADERS
    max_list_bytes = limits.max_head_bytes + limits.max_target_bytes + lines * _HEADER_OVERHEAD_BYTES
    return Http2Limits(
        max_header_list_bytes=max_list_bytes,
        max_header_block_bytes=2 * max_list_bytes,
        stream_stall_seconds=limits.write_stall_seconds,
        leaves_when_idle=True,
        **shared,
    )
