"""What the activator itself answers in HTTP/2: to gRPC in its trailers, to all else as in HTTP/1.1. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from modelservice_activator.relaying.http2.messages import Data, Fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_activator.relaying.answers import Answer
    from modelservice_activator.relaying.http2.messages import Message

DEADLINE_EXCEEDED = 4
UNIMPLEMENTED = 12
UNAVAILABLE = 14
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
GRPC_TIMEOUT = b"grpc-timeout"


def is_grpc(head: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a request is a call of gRPC."""
    return any(name == b"content-type" and value.startswith(b"application/grpc") for name, value in head)


def timeout_seconds(head: Sequence[tuple[bytes, bytes]]) -> float | None:
    """Return how long the client waits, as gRPC's calls say it; None where nothing readable is said."""
    for name, value in head:
        number, unit = value[:-1], _UNITS.get(value[-1:])
        if name == GRPC_TIMEOUT and unit is not None and number.isdigit() and len(number) <= 8:
            return int(number) * unit
    return None


def with_timeout(head: Sequence[tuple[bytes, bytes]], left_seconds: float) -> list[tuple[bytes, bytes]]:
    """Return a head whose gRPC timeout is what is left of it."""
    milliseconds = max(1, min(99_999_999, int(left_seconds * 1000)))
    return [(name, b"%dm" % milliseconds if name == GRPC_TIMEOUT else value) for name, value in head]


def answer_messages(answer: Answer, grpc_status: int | None, *, has_head: bool) -> list[Message]:
    """Return what says `answer` on a stream; `grpc_status` None for what is not gRPC.

    Behind a head that has gone out there is no word left but gRPC's trailers: an empty list asks for a reset.
    """
    if grpc_status is None:
        return [] if has_head else _plain(answer)
    head = [] if has_head else [(b":status", b"200"), (b"content-type", b"application/grpc")]
    trailers = [
        (b"grpc-status", str(grpc_status).encode()),
        (b"grpc-message", quote(answer.message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~").encode()),
    ]
    if answer.retry_after_seconds is not None:
        seconds = answer.retry_after_seconds
        trailers += [
            (b"grpc-retry-pushback-ms", str(1000 * seconds).encode()),
            (b"retry-after", str(seconds).encode()),
        ]
    return [Fields([*head, *trailers], is_last=True)]


def _plain(answer: Answer) -> list[Message]:
    head = [(b":status", str(answer.status).encode()), *answer.headers()]
    return [Fields(head, is_last=False), Data(bytearray(answer.body), 0, is_last=True)]
