"""Requests that take long to decode: a thread does it, while the event loop goes on with others.

Every protocol's front end comes here between a request's arrival and its model's lane.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.offload import LARGE_BYTES, MAX_COMPRESSED_HERE_BYTES, offload
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.answers import reply, send
from modelservice_runtime.protocols.inference import record_cancelled, record_failure
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

Decoded = TypeVar("Decoded")


def takes_long(request: HttpRequest) -> bool:
    """Whether decoding the body would keep the event loop for more than about a millisecond."""
    size_bytes = len(request.body)
    if b"content-encoding" in request.headers:
        return size_bytes > MAX_COMPRESSED_HERE_BYTES
    return size_bytes >= LARGE_BYTES


def decode_on_a_thread(
    handle: ModelHandle,
    received_ns: int,
    decode: Callable[[], Decoded],
    run: Callable[[Decoded], Callable[[], None] | None],
    fail: Callable[[ServingError], None],
) -> Callable[[], None]:
    """Decode a request to ``handle`` on a thread, then ``run`` it on the event loop; returns what cancels it.

    ``run`` answers, now or later, and returns what cancels the rest, if anything. What either raises is
    counted, and told to ``fail``. Nothing is called any more once the request was cancelled.
    """
    cancel_run: Callable[[], None] | None = None
    cancelled = False

    def cancel() -> None:
        nonlocal cancelled
        cancelled = True
        if cancel_run is not None:
            cancel_run()

    def go_on(decoded: asyncio.Future[Decoded]) -> None:
        nonlocal cancel_run
        if cancelled:
            decoded.exception()  # seen: nobody waits for it
            record_cancelled(handle, received_ns)
            return
        try:
            cancel_run = run(decoded.result())
        except Exception as error:  # noqa: BLE001 - counted, logged where it is ours, and told
            fail(record_failure(handle, received_ns, error))
        finally:
            del decoded  # an error leads to this frame, which must not lead back to it: it holds the body

    offload(decode, go_on)
    return cancel


def decode_body_on_a_thread(
    request: HttpRequest,
    handle: ModelHandle,
    decode: Callable[[], Decoded],
    run: Callable[[Decoded], HttpResponse | None],
) -> None:
    """The same for HTTP: ``run`` returns the answer, or sets ``on_disconnect`` where it comes later."""

    def run_and_send(decoded: Decoded) -> Callable[[], None] | None:
        cancel = request.on_disconnect
        response = run(decoded)
        if response is not None:
            send(request, response)
            return None
        # Whoever watches the request has seen the first callback and must hear of no other.
        cancel_run, request.on_disconnect = request.on_disconnect, cancel
        return cancel_run

    request.on_disconnect = decode_on_a_thread(
        handle, request.received_ns, decode, run_and_send, partial(reply, request)
    )
