"""Answers whose bodies come in pieces, as values and roles; no I/O."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What comes before the pieces; `headers` are extra pairs."""

    content_type: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Producer(Protocol):
    """Who writes a stream, as its connection sees it. That the client left, `on_disconnect` tells."""

    def pause(self) -> None:
        """The client reads more slowly than is written; what is written now waits in memory."""

    def resume(self) -> None:
        """It has caught up."""

    def cut_off(self) -> None:
        """The server is about to close: write the last words and end the stream, now."""


class AnswerStream(Protocol):
    """An answer on its way; event loop's thread only. It does nothing once the client has gone."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait in memory for the client to read on."""

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""

    def end(self) -> None:
        """The body is complete."""

    def abort(self) -> None:
        """Break off, so that the client sees that the body is not complete."""


class LostStream:
    """The stream of a request whose client has gone."""

    unsent_bytes = 0

    def write(self, data: bytes) -> None:
        """See `AnswerStream`."""

    def end(self) -> None:
        """See `AnswerStream`."""

    def abort(self) -> None:
        """See `AnswerStream`."""
