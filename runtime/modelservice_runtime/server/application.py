"""Requests to answers: finds the route, calls the handler, turns errors into responses.

A handler returns the response, or None when it answers later. Infer requests are decoded here, run in their
model's lane and encoded when the lane is done; for a fast model all of that happens in one call.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import orjson

from modelservice_runtime.errors import (
    InvalidRequestError,
    NotFoundError,
    ServingError,
    UnsupportedOperationError,
)
from modelservice_runtime.health import Health
from modelservice_runtime.repository import ModelHandle, ModelTable
from modelservice_runtime.server import metadata
from modelservice_runtime.server.content_encoding import (
    MIN_COMPRESSED_BYTES,
    choose_encoding,
    decode_body,
    encode_body,
)
from modelservice_runtime.server.http import Buffer, HttpRequest, HttpResponse
from modelservice_runtime.server.infer_codec import decode_infer, encode_infer
from modelservice_runtime.server.inference import InferCall, record_failure
from modelservice_runtime.server.json_codec import decode_object
from modelservice_runtime.server.routes import METHODS, Endpoint, Route, match_route
from modelservice_runtime.server.status import error_body, error_response

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[HttpRequest, Route], HttpResponse | None]

_ROUTE_CACHE_SIZE = 1024


class Application:
    """The REST interface over one model table."""

    def __init__(self, table: ModelTable, health: Health, max_body_bytes: int) -> None:
        self._table = table
        self._health = health
        self._max_body_bytes = max_body_bytes
        self._routes: dict[bytes, Route] = {}
        self._handlers: dict[Endpoint, Handler] = {
            Endpoint.SERVER_METADATA: self._server_metadata,
            Endpoint.LIVE: self._live,
            Endpoint.READY: self._ready,
            Endpoint.MODEL_METADATA: self._model_metadata,
            Endpoint.MODEL_READY: self._model_ready,
            Endpoint.MODEL_CONFIG: self._model_config,
            Endpoint.MODEL_STATISTICS: self._model_statistics,
            Endpoint.INFER: self._infer,
            Endpoint.REPOSITORY_INDEX: self._repository_index,
            Endpoint.MODEL_CONTROL: self._model_control,
            Endpoint.SHARED_MEMORY: self._shared_memory,
        }

    def __call__(self, request: HttpRequest) -> None:
        """Answer ``request``, now or later; never raises."""
        try:
            response = self._respond(request)
        except ServingError as error:
            response = error_response(error)
        except Exception:  # the last boundary: one faulty request must not end the others
            log.exception("internal error", extra={"method": repr(request.method)})
            response = HttpResponse(500, error_body("internal error; the server's log has the details"))
        if response is not None:
            request.reply(_compressed(request, response))

    def _respond(self, request: HttpRequest) -> HttpResponse | None:
        route = self._routes.get(request.target) or self._match(request.target)
        if request.method not in METHODS[route.endpoint]:
            return _method_not_allowed(route.endpoint)
        return self._handlers[route.endpoint](request, route)

    def _match(self, target: bytes) -> Route:
        route = match_route(target)
        if route is None:
            raise NotFoundError("no such path; the Open Inference Protocol starts at /v2")
        if len(self._routes) < _ROUTE_CACHE_SIZE:
            self._routes[target] = route
        return route

    def _server_metadata(self, _request: HttpRequest, _route: Route) -> HttpResponse:
        return _json(metadata.server_metadata())

    def _live(self, _request: HttpRequest, _route: Route) -> HttpResponse:
        return _json({"live": True})

    def _ready(self, _request: HttpRequest, _route: Route) -> HttpResponse:
        ready = self._health.ready
        return _json({"ready": ready}, status=200 if ready else 503)

    def _model_metadata(self, _request: HttpRequest, route: Route) -> HttpResponse:
        handle = self._find(route)
        return _json(metadata.model_metadata(handle, self._table.versions(handle.spec.name)))

    def _model_ready(self, _request: HttpRequest, route: Route) -> HttpResponse:
        ready = self._find(route) is not None and not self._health.draining
        return _json({"name": route.model, "ready": ready}, status=200 if ready else 503)

    def _model_config(self, _request: HttpRequest, route: Route) -> HttpResponse:
        return _json(metadata.model_config(self._find(route)))

    def _model_statistics(self, _request: HttpRequest, route: Route) -> HttpResponse:
        handles = self._table.handles() if route.model is None else [self._find(route)]
        return _json(metadata.model_statistics(handles))

    def _repository_index(self, request: HttpRequest, _route: Route) -> HttpResponse:
        body = self._decoded_body(request)
        ready_only = decode_object(body).get("ready", False) if body else False
        if type(ready_only) is not bool:
            raise InvalidRequestError("'ready' must be true or false")
        return _json(metadata.repository_index(self._table.index(), ready_only=ready_only))

    def _model_control(self, _request: HttpRequest, _route: Route) -> HttpResponse:
        raise UnsupportedOperationError("models are not loaded or unloaded by requests; deploy a new version")

    def _shared_memory(self, _request: HttpRequest, _route: Route) -> HttpResponse:
        raise UnsupportedOperationError("shared memory is not supported; send the data in the request")

    def _infer(self, request: HttpRequest, route: Route) -> None:
        handle = self._find(route)
        try:
            body = self._decoded_body(request) if b"content-encoding" in request.headers else request.body
            decoded = decode_infer(
                handle.spec,
                body,
                request.headers.get(b"inference-header-content-length"),
                batches_rows=handle.lane.max_batch_size > 1,
            )
            call = InferCall(
                handle,
                request.received_ns,
                lambda outputs: _compressed(request, encode_infer(handle.spec, decoded, outputs)),
                partial(_reply, request),
            )
            if call.start(decoded.request):
                request.on_disconnect = call.cancel
        except ServingError as error:
            record_failure(handle, request.received_ns, error)
            raise

    def _find(self, route: Route) -> ModelHandle:
        return self._table.find(route.model or "", route.version)

    def _decoded_body(self, request: HttpRequest) -> bytes | bytearray:
        encoding = request.headers.get(b"content-encoding", b"")
        return decode_body(request.body, encoding, self._max_body_bytes)


def _reply(request: HttpRequest, answer: HttpResponse | ServingError) -> None:
    if isinstance(answer, ServingError):
        answer = _compressed(request, error_response(answer))
    request.reply(answer)


def _json(document: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status, orjson.dumps(document))


def _method_not_allowed(endpoint: Endpoint) -> HttpResponse:
    allowed = b", ".join(METHODS[endpoint])
    sentence = f"this path takes {allowed.decode('ascii')}"
    return HttpResponse(405, error_body(sentence), headers=((b"Allow", allowed),))


def _compressed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Compress a larger answer where the client accepts it."""
    accepted = request.headers.get(b"accept-encoding")
    if accepted is None or response.content_length < MIN_COMPRESSED_BYTES:
        return response
    encoding = choose_encoding(accepted)
    if encoding is None:
        return response
    buffers: list[Buffer] = [response.body] if isinstance(response.body, bytes) else list(response.body)
    return HttpResponse(
        response.status,
        encode_body(buffers, encoding),
        response.content_type,
        (*response.headers, (b"Content-Encoding", encoding), (b"Vary", b"Accept-Encoding")),
        response.close,
    )
