"""``POST /v2/models/M[/versions/V]/infer``: decode, run in the model's lane, encode.

For a fast model all of that happens in one call, and this is the path whose length decides how many requests
a core can answer.
"""

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from modelservice_runtime.execution.offload import LARGE_BYTES, LateAnswer
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.inference import InferCall, infer_inline, record_failure
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, decode_infer
from modelservice_runtime.protocols.oip.rest.infer_plans import InferCodec
from modelservice_runtime.protocols.oip.routes import Route
from modelservice_runtime.protocols.rest.answers import decoded_body, reply
from modelservice_runtime.protocols.rest.deadline import header_timeout_seconds, shorter
from modelservice_runtime.protocols.rest.front_end import Handler
from modelservice_runtime.protocols.rest.large_bodies import decode_body_on_a_thread, takes_long
from modelservice_runtime.tensors import Array, InferRequest
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

# JSON of 100,000 bytes or more in front of binary data is large, too.
_MAX_HEADER_DIGITS = 5

# What these say has to be followed.
_SPECIAL_HEADERS = frozenset({b"content-encoding", b"x-request-timeout", b"x-envoy-expected-rq-timeout-ms"})


_Encode: TypeAlias = Callable[[list[Array]], HttpResponse | LateAnswer[HttpResponse]]


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
        """See ``front_end.Handler``."""
        way = request.head.plan = self._choose_way(request.head.headers)
        return way(request)

    def _choose_way(self, headers: Mapping[bytes, bytes]) -> Handler:
        """What answers requests with these headers: the short way, where they say nothing special."""
        if not _SPECIAL_HEADERS.isdisjoint(headers):
            return self._answer
        header_length = headers.get(b"inference-header-content-length")
        if header_length is None:
            return self._answer_json
        if header_length.isdigit() and 0 < len(header_length) <= 4 and int(header_length):
            return partial(self._answer_binary, int(header_length))
        return self._answer

    def _forget_codec(self, gone: "weakref.ref[ModelHandle]") -> None:
        """A codec's memory for runs keeps its model: it ends with the model's handle."""
        if gone is self._codec_of:
            self._codec = self._codec_of = None

    def _answer_json(self, request: HttpRequest) -> HttpResponse | None:
        handle = self._table.find(self._model, self._version)
        codec = self._codec
        if codec is not None and codec.spec is handle.spec:
            try:
                response = codec.answer_json(request.body, handle, request.received_ns)
            except Exception as error:  # noqa: BLE001 - counted, and told
                raise record_failure(handle, request.received_ns, error) from error.__cause__
            if response is not None:
                return response
        return self._answer(request)

    def _answer_binary(self, header_length: int, request: HttpRequest) -> HttpResponse | None:
        handle = self._table.find(self._model, self._version)
        codec = self._codec
        if codec is None or codec.spec is not handle.spec:
            return self._answer(request)
        plan = codec.find_binary_plan(request.body, header_length)
        if plan is None:
            return self._answer(request)
        try:
            if plan.prepared is not None:
                response = plan.answer(request.body, header_length, handle, request.received_ns)
                if response is not None:
                    return response
            if plan.direct is not None:
                return _run(
                    handle, request, plan.direct.decode(request.body, header_length), plan.direct.encode
                )
            return _run_decoded(handle, codec, request, plan.decode(request.body, header_length))
        except Exception as error:  # noqa: BLE001 - counted, and told
            raise record_failure(handle, request.received_ns, error) from error.__cause__

    def _answer(self, request: HttpRequest) -> HttpResponse | None:
        handle = self._table.find(self._model, self._version)
        codec = self._codec
        if codec is None or codec.spec is not handle.spec:
            codec = self._codec = InferCodec(handle.spec, handle.lane.prepare)
            self._codec_of = weakref.ref(handle, self._forget_codec)
        headers = request.head.headers
        header_length = headers.get(b"inference-header-content-length")
        try:
            if len(request.body) < LARGE_BYTES and b"content-encoding" not in headers:
                decoded = codec.decode(request.body, header_length)
            else:
                decode = partial(_decode_in_full, handle.spec, request, self._max_body_bytes)
                if takes_long(request) and not _is_binary(handle.spec, request):
                    decode_body_on_a_thread(
                        request, handle, decode, partial(_run_decoded, handle, codec, request)
                    )
                    return None
                if b"content-encoding" in headers:
                    decoded = decode()
                else:
                    decoded = codec.decode(request.body, header_length)
            return _run_decoded(handle, codec, request, decoded)
        except Exception as error:  # noqa: BLE001 - counted, and told
            raise record_failure(handle, request.received_ns, error) from error.__cause__


def _run_decoded(
    handle: ModelHandle, codec: InferCodec, request: HttpRequest, decoded: DecodedInfer
) -> HttpResponse | None:
    headers = request.head.headers
    if b"x-request-timeout" in headers or b"x-envoy-expected-rq-timeout-ms" in headers:
        timeout_seconds = shorter(decoded.request.timeout_seconds, header_timeout_seconds(headers))
        decoded.request.timeout_seconds = timeout_seconds
    return _run(handle, request, decoded.request, partial(codec.encode, decoded))


def _run(
    handle: ModelHandle, request: HttpRequest, infer_request: InferRequest, encode: _Encode
) -> HttpResponse | None:
    """Run a decoded request now, or in its turn; then the answer comes later. Raises ServingError."""
    response = infer_inline(handle, infer_request, request.received_ns, encode)
    if isinstance(response, HttpResponse):
        return response
    call = InferCall(handle, request.received_ns, encode, partial(reply, request))
    request.on_disconnect = call.cancel
    if response is None:
        call.enqueue(infer_request)
    else:
        call.go_on(infer_request, response)
    return None


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
