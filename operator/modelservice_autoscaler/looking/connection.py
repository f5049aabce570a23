"""One kept connection to a pod, over which it is asked again and again.

HTTP/1.1 (RFC 9112) as far as our own server's answer to `GET /load` needs it: status 200 and a
Content-Length; whatever else comes is refused, and no more than one answer is kept. A general client takes
four times the CPU (0.26 ms a question against 0.06), and that is what limits how many pods one autoscaler can
look at.
"""

from __future__ import annotations

import asyncio

PATH = "/load"
LARGEST_ANSWER_BYTES = 64 * 1024
"""Of a server with 16 GPUs it is 3 KiB."""


class PodConnection(asyncio.Protocol):
    """Asks one pod, one question after the other; connects when it has to."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port
        host = f"[{address}]" if ":" in address else address
        self._question = f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._received = bytearray()

    async def ask(self) -> bytes:
        """The body of the pod's answer.

        Raises:
            OSError: there is no connection, or it broke.
            ValueError: the answer is none of a server of ours.

        """
        is_kept = self._transport is not None
        try:
            return await self._ask()
        except ConnectionError:
            # The server may have closed a kept connection just when it was asked.
            if not is_kept:
                raise
            return await self._ask()

    def close(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def _ask(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._transport is None:
            self._transport, _ = await loop.create_connection(lambda: self, self._address, self._port)
        self._received.clear()
        self._waiting = loop.create_future()
        self._transport.write(self._question)
        try:
            return await self._waiting
        except BaseException:
            # A late answer must not be taken for that to the next question.
            self.close()
            raise
        finally:
            self._waiting = None

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        if self._waiting is None or self._waiting.done():
            self.close()
            return
        self._received += data
        try:
            body = _read(self._received)
        except ValueError as error:
            self._waiting.set_exception(error)
        else:
            if body is not None:
                self._waiting.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The pod, or we, have ended it."""
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(
                exc if isinstance(exc, OSError) else ConnectionResetError("it closed")
            )


def _read(received: bytearray) -> bytes | None:
    """Return the body of a complete answer, None before it is complete; ValueError where it never will be."""
    if len(received) > LARGEST_ANSWER_BYTES:
        raise ValueError(f"its answer is longer than {LARGEST_ANSWER_BYTES} bytes")
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    status, *fields = bytes(received[:end]).split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"it answers {status[:40]!r}")
    lengths = [
        value.strip()
        for name, _, value in (one.partition(b":") for one in fields)
        if name.lower() == b"content-length"
    ]
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 9:
        raise ValueError("its answer has no Content-Length")
    missing = int(lengths[0]) - (len(received) - end - 4)
    if missing < 0 or int(lengths[0]) > LARGEST_ANSWER_BYTES:
        raise ValueError("its answer is longer than it should be")
    return None if missing else bytes(received[end + 4 :])
