"""One request with its answer, as logs and traces speak of it: bodies only where they are wanted."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from modelservice_runtime.transport.http import Told

# W3C Trace Context, version 00; later versions begin alike and may go on behind a dash.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{0,200})?")
_MAX_TEXT_LENGTH = 128


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span: hex identifiers, and whether it is recorded."""

    trace_id: str
    span_id: str
    sampled: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """`status` is HTTP's, or gRPC's name; sizes are of bodies as they went over the wire.

    `route` is a path template; `model` and `request_id` are the client's words, shortened.
    `ended_unix_ns` is wall-clock time. `trace` is the caller's span, or our own once there is one. `told` is
    what the protocol adds, by the names of OpenTelemetry's conventions. Bodies are
    None where nobody wants them.
    """

    protocol: str
    method: str
    route: str
    model: str | None
    status: int | str
    failed: bool
    request_bytes: int
    response_bytes: int
    duration_ns: int
    ended_unix_ns: int
    request_id: str | None
    trace: TraceContext | None
    told: Told = field(default_factory=dict)
    request_body: bytes | None = field(default=None, repr=False)
    response_body: bytes | None = field(default=None, repr=False)


Observer: TypeAlias = Callable[[Exchange], None]
Stage: TypeAlias = Callable[[Exchange], Exchange | None]
"""Notes an exchange, and returns what later stages are to know of it, None where nothing is new."""


def parse_traceparent(value: bytes | None) -> TraceContext | None:
    """Read the header `traceparent`; None where it is absent or not valid (it is to be ignored then).

    Source: W3C Trace Context, section 3.2.
    """
    match = None if value is None else _TRACEPARENT.fullmatch(value.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceContext(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & 1))


def shorten(text: str | None) -> str | None:
    """Bound a client's words."""
    return text if text is None else text[:_MAX_TEXT_LENGTH]


def decode_header(value: bytes | None) -> str | None:
    """A header's value as bounded text; any byte has one."""
    return None if value is None else value[:_MAX_TEXT_LENGTH].decode("latin-1")
