"""Bodies that take long to decode: a thread does it."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from modelservice_runtime.execution.offload import LARGE_BYTES, MAX_COMPRESSED_HERE_BYTES
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.decoding import decode_on_a_thread
from modelservice_runtime.protocols.rest.answers import reply, send
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

Decoded = TypeVar("Decoded")


def takes_long(request: HttpRequest) -> bool:
    """Whether decoding the body would keep the event loop for more than about a millisecond."""
    size_bytes = len(request.body)
    if b"content-encoding" in request.headers:
        return size_bytes > MAX_COMPRESSED_HERE_BYTES
    return size_bytes >= LARGE_BYTES


def decode_body_on_a_thread(
    request: HttpRequest,
    handle: ModelHandle,
    decode: Callable[[], Decoded],
    run: Callable[[Decoded], HttpResponse | None],
) -> None:
    """`decode_on_a_thread`; `run` returns the answer, or sets `on_disconnect` where it comes later."""

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
