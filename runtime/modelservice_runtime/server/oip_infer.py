"""``POST /v2/models/M[/versions/V]/infer``: decode, run in the model's lane, encode.

For a fast model all of that happens in one call, and this is the path whose length decides how many requests
a core can answer.
"""

from collections.abc import Mapping
from functools import partial

from modelservice_runtime.errors import ServingError
from modelservice_runtime.repository import ModelHandle, ModelTable
from modelservice_runtime.server.answers import compressed, decoded_body, reply
from modelservice_runtime.server.deadline import header_timeout_seconds, shorter
from modelservice_runtime.server.http import HttpRequest, HttpResponse
from modelservice_runtime.server.infer_codec import DecodedInfer
from modelservice_runtime.server.infer_plans import InferCodec
from modelservice_runtime.server.inference import InferCall, infer_inline, record_failure
from modelservice_runtime.server.routes import Route
from modelservice_runtime.tensors import InferRequest


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
        try:
            headers = request.head.headers
            decoded = codec.decode(
                decoded_body(request, self._max_body_bytes)
                if b"content-encoding" in headers
                else request.body,
                headers.get(b"inference-header-content-length"),
                handle.lane.max_batch_size > 1,
            )
            if b"x-request-timeout" in headers or b"x-envoy-expected-rq-timeout-ms" in headers:
                _limit_time(decoded.request, headers)
            encode = partial(codec.encode, decoded)
            response = infer_inline(handle, decoded.request, request.received_ns, encode)
            if response is None:
                _enqueue(handle, codec, decoded, request)
        except ServingError as error:
            record_failure(handle, request.received_ns, error)
            raise
        return response


def _limit_time(request: InferRequest, headers: Mapping[bytes, bytes]) -> None:
    request.timeout_seconds = shorter(request.timeout_seconds, header_timeout_seconds(headers))


def _enqueue(handle: ModelHandle, codec: InferCodec, decoded: DecodedInfer, request: HttpRequest) -> None:
    call = InferCall(
        handle,
        request.received_ns,
        lambda outputs: compressed(request, codec.encode(decoded, outputs)),
        partial(reply, request),
    )
    request.on_disconnect = call.cancel
    call.enqueue(decoded.request)
