"""``POST /v2/models/M[/versions/V]/infer``: decode, run in the model's lane, encode.

For a fast model all of that happens in one call, and this is the path whose length decides how many requests
a core can answer.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.repository import ModelHandle, ModelTable
from modelservice_runtime.server.answers import decoded_body, internal_error, reply, send
from modelservice_runtime.server.deadline import header_timeout_seconds, shorter
from modelservice_runtime.server.http import HttpRequest, HttpResponse
from modelservice_runtime.server.infer_codec import DecodedInfer, decode_infer
from modelservice_runtime.server.infer_plans import InferCodec
from modelservice_runtime.server.inference import InferCall, infer_inline, record_cancelled, record_failure
from modelservice_runtime.server.offload import LARGE_BYTES, offload
from modelservice_runtime.server.routes import Route

log = logging.getLogger(__name__)


class InferRoute:
    """Answers the infer requests of one path."""

    def __init__(self, table: ModelTable, route: Route, max_body_bytes: int) -> None:
        self._table = table
        self._model = route.model or ""
        self._version = route.version
        self._max_body_bytes = max_body_bytes
        self._codec: InferCodec | None = None

    def __call__(self, request: HttpRequest) -> HttpResponse | None:
        """See ``front_end.Handler``."""
        handle = self._table.find(self._model, self._version)
        codec = self._codec
        if codec is None or codec.spec is not handle.spec:
            codec = self._codec = InferCodec(handle.spec)
        headers = request.head.headers
        header_length = headers.get(b"inference-header-content-length")
        batches_rows = handle.lane.max_batch_size > 1
        try:
            if b"content-encoding" in headers or (header_length is None and len(request.body) >= LARGE_BYTES):
                if len(request.body) >= LARGE_BYTES:
                    _decode_on_a_thread(
                        request,
                        partial(_decode_in_full, handle.spec, request, self._max_body_bytes, batches_rows),
                        partial(_run, handle, codec, request),
                        handle,
                    )
                    return None
                decoded = _decode_in_full(handle.spec, request, self._max_body_bytes, batches_rows)
            else:
                decoded = codec.decode(request.body, header_length, batches_rows)
            return _run(handle, codec, request, decoded)
        except ServingError as error:
            record_failure(handle, request.received_ns, error)
            raise


def _run(
    handle: ModelHandle, codec: InferCodec, request: HttpRequest, decoded: DecodedInfer
) -> HttpResponse | None:
    """Run a decoded request now, or in its turn; then the answer comes later. Raises ServingError."""
    headers = request.head.headers
    if b"x-request-timeout" in headers or b"x-envoy-expected-rq-timeout-ms" in headers:
        timeout_seconds = shorter(decoded.request.timeout_seconds, header_timeout_seconds(headers))
        decoded.request.timeout_seconds = timeout_seconds
    encode = partial(codec.encode, decoded)
    response = infer_inline(handle, decoded.request, request.received_ns, encode)
    if response is None:
        call = InferCall(handle, request.received_ns, encode, partial(reply, request))
        request.on_disconnect = call.cancel
        call.enqueue(decoded.request)
    return response


def _decode_in_full(
    spec: ModelSpec, request: HttpRequest, max_body_bytes: int, batches_rows: bool
) -> DecodedInfer:
    """Decode what no plan is for; safe on any thread. Raises ServingError."""
    header_length = request.head.headers.get(b"inference-header-content-length")
    return decode_infer(spec, decoded_body(request, max_body_bytes), header_length, batches_rows=batches_rows)


def _decode_on_a_thread(
    request: HttpRequest,
    decode: Callable[[], DecodedInfer],
    run: Callable[[DecodedInfer], HttpResponse | None],
    handle: ModelHandle,
) -> None:
    """Decode a large body without keeping others waiting, then go on as usual."""
    gone: list[bool] = []
    request.on_disconnect = lambda: gone.append(True)

    def go_on(decoded: asyncio.Future[DecodedInfer]) -> None:
        if gone:
            decoded.exception()  # seen: nobody waits for it
            record_cancelled(handle, request.received_ns)
            return
        try:
            response = run(decoded.result())
        except ServingError as error:
            record_failure(handle, request.received_ns, error)
            reply(request, error)
        except Exception:  # the last boundary, as in Application
            log.exception("internal error", extra={"method": repr(request.method)})
            request.reply(internal_error())
        else:
            if response is not None:
                send(request, response)

    offload(decode, go_on)
