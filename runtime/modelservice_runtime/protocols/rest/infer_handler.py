"""A request for a model: a thread decodes what takes long; it is run, and stopped when the client leaves."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

from modelservice_runtime.execution.offload import LARGE_BYTES, MAX_COMPRESSED_HERE_BYTES, LateAnswer
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.decoding import decode_on_a_thread
from modelservice_runtime.protocols.inference import InferCall, infer_inline
from modelservice_runtime.protocols.rest.answers import reply, send
from modelservice_runtime.tensors import Array, InferRequest
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

Decoded = TypeVar("Decoded")
Encode: TypeAlias = Callable[[list[Array]], HttpResponse | LateAnswer[HttpResponse]]


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


def start_infer(
    handle: ModelHandle, request: HttpRequest, decoded: InferRequest, encode: Encode
) -> HttpResponse | None:
    """Run a decoded request now, or in its turn; then the answer comes later. Raises ServingError."""
    response = infer_inline(handle, decoded, request.received_ns, encode)
    if isinstance(response, HttpResponse):
        return response
    call = InferCall(handle, request.received_ns, encode, partial(reply, request))
    request.on_disconnect = call.cancel
    call.go_on(decoded, response)
    return None
