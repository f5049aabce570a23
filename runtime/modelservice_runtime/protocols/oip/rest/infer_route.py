"""`POST /v2/models/M[/versions/V]/infer`: decode, run in the model's lane, encode.

For a fast model all of that happens in one call, and this is the path whose length decides how many requests
a core can answer.
"""

import weakref
from collections.abc import Mapping
from functools import partial

from modelservice_runtime.execution.offload import LARGE_BYTES
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.inference import record_failure
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, decode_infer
from modelservice_runtime.protocols.oip.rest.planned_codec import InferCodec, is_short_length
from modelservice_runtime.protocols.oip.routes import Route
from modelservice_runtime.protocols.rest.answers import decoded_body
from modelservice_runtime.protocols.rest.deadline import header_timeout_seconds, shorter
from modelservice_runtime.protocols.rest.infer_handler import decode_body_on_a_thread, start_infer, takes_long
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

# JSON of 100,000 bytes or more in front of binary data is large, too.
_MAX_HEADER_DIGITS = 5

# What these say has to be followed.
_SPECIAL_HEADERS = frozenset({b"content-encoding", b"x-request-timeout", b"x-envoy-expected-rq-timeout-ms"})


class InferRoute:
    """Answers the infer requests of one path."""

    def __init__(self, table: ModelTable, route: Route, max_body_bytes: int) -> None:
        self._table = table
        self._model = route.model or ""
        self._version = route.version
        self._max_body_bytes = max_body_bytes
        self._codec: InferCodec | None = None
        self._codec_of: weakref.ref[ModelHandle] | None = None

    def __call__(self, request: HttpRequest) -> HttpResponse | None:
        """See `front_end.Handler`."""
        way = request.head.plan = partial(self._answer, _short_way(request.head.headers))
        return way(request)

    def _answer(self, short_way: int | None, request: HttpRequest) -> HttpResponse | None:
        handle = self._table.find(self._model, self._version)
        handle.statistics.arrivals["oip-rest"] += 1
        codec = self._codec
        if codec is None or codec.spec is not handle.spec:
            codec = self._codec = InferCodec(handle.spec, handle.lane.prepare)
            self._codec_of = weakref.ref(handle, self._forget_codec)
        try:
            if short_way is not None:
                planned = codec.answer(request.body, short_way, handle, request.received_ns)
                if isinstance(planned, HttpResponse):
                    return planned
                if planned is not None:
                    return start_infer(handle, request, planned.request, partial(codec.encode, planned))
            return self._answer_in_full(handle, codec, request)
        except Exception as error:  # noqa: BLE001 - counted, and told
            raise record_failure(handle, request.received_ns, error) from error.__cause__

    def _answer_in_full(
        self, handle: ModelHandle, codec: InferCodec, request: HttpRequest
    ) -> HttpResponse | None:
        headers = request.head.headers
        is_encoded = b"content-encoding" in headers
        if len(request.body) < LARGE_BYTES and not is_encoded:
            decoded = codec.decode(request.body, headers.get(b"inference-header-content-length"))
            return _run_decoded(handle, codec, request, decoded)
        decode = partial(_decode_in_full, handle.spec, request, self._max_body_bytes)
        if takes_long(request) and not _is_binary(handle.spec, request):
            decode_body_on_a_thread(request, handle, decode, partial(_run_decoded, handle, codec, request))
            return None
        if is_encoded:
            return _run_decoded(handle, codec, request, decode())
        decoded = codec.decode(request.body, headers.get(b"inference-header-content-length"))
        return _run_decoded(handle, codec, request, decoded)

    def _forget_codec(self, gone: "weakref.ref[ModelHandle]") -> None:
        """A codec's memory for runs keeps its model: it ends with the model's handle."""
        if gone is self._codec_of:
            self._codec = self._codec_of = None


def _short_way(headers: Mapping[bytes, bytes]) -> int | None:
    """What `InferCodec.answer` wants for these headers; None where they say something special."""
    if not _SPECIAL_HEADERS.isdisjoint(headers):
        return None
    header_length = headers.get(b"inference-header-content-length")
    if header_length is None:
        return 0
    return int(header_length) if is_short_length(header_length) else None


def _run_decoded(
    handle: ModelHandle, codec: InferCodec, request: HttpRequest, decoded: DecodedInfer
) -> HttpResponse | None:
    """See `start_infer`."""
    headers = request.head.headers
    if b"x-request-timeout" in headers or b"x-envoy-expected-rq-timeout-ms" in headers:
        timeout_seconds = shorter(decoded.request.timeout_seconds, header_timeout_seconds(headers))
        decoded.request.timeout_seconds = timeout_seconds
    return start_infer(handle, request, decoded.request, partial(codec.encode, decoded))


def _decode_in_full(spec: ModelSpec, request: HttpRequest, max_body_bytes: int) -> DecodedInfer:
    """Decode what no plan is for; safe on any thread. Raises ServingError."""
    header_length = request.head.headers.get(b"inference-header-content-length")
    body = decoded_body(request, max_body_bytes)
    decoded = decode_infer(spec, body, header_length)
    if spec.takes_texts:
        decoded.request.text_bytes = len(body)
    return decoded


def _is_binary(spec: ModelSpec, request: HttpRequest) -> bool:
    """A large body of binary numbers only, which are not even copied."""
    header_length = request.head.headers.get(b"inference-header-content-length")
    if header_length is None or b"content-encoding" in request.head.headers:
        return False
    return len(header_length) <= _MAX_HEADER_DIGITS and not spec.takes_texts
