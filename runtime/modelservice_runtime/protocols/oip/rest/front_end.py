"""The Open Inference Protocol's REST interface ("V2") over one model table; infer is `oip_infer`'s."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import orjson

from modelservice_runtime.errors import (
    InvalidRequestError,
    ModelUnavailableError,
    PayloadTooLargeError,
    UnsupportedOperationError,
)
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols import metadata
from modelservice_runtime.protocols.oip.rest.infer_route import InferRoute
from modelservice_runtime.protocols.oip.routes import METHODS, Endpoint, Route, match_route
from modelservice_runtime.protocols.rest.answers import decoded_body
from modelservice_runtime.protocols.rest.front_end import Binding
from modelservice_runtime.protocols.tensors.json_codec import decode_object
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

# Bodies without tensors.
_MAX_PLAIN_BODY_BYTES = 64 * 1024

_RouteHandler: TypeAlias = Callable[[Route, HttpRequest], HttpResponse | None]


class OipFrontEnd:
    """See `FrontEnd`."""

    def __init__(self, table: ModelTable, health: Health, max_body_bytes: int) -> None:
        self._table = table
        self._health = health
        self._max_body_bytes = max_body_bytes
        self._handlers: dict[Endpoint, _RouteHandler] = {
            Endpoint.ALIVE: self._alive,
            Endpoint.SERVER_METADATA: self._server_metadata,
            Endpoint.LIVE: self._live,
            Endpoint.READY: self._ready,
            Endpoint.MODEL_LIST: self._model_list,
            Endpoint.MODEL_METADATA: self._model_metadata,
            Endpoint.MODEL_READY: self._model_ready,
            Endpoint.MODEL_CONFIG: self._model_config,
            Endpoint.MODEL_STATISTICS: self._model_statistics,
            Endpoint.GENERATE: self._generate,
            Endpoint.REPOSITORY_INDEX: self._repository_index,
            Endpoint.MODEL_CONTROL: self._model_control,
            Endpoint.SHARED_MEMORY: self._shared_memory,
        }

    def bind(self, segments: tuple[bytes, ...]) -> Binding | None:
        """See `FrontEnd.bind`."""
        route = match_route(segments)
        if route is None:
            return None
        if route.endpoint is Endpoint.INFER:
            return Binding(METHODS[route.endpoint], InferRoute(self._table, route, self._max_body_bytes))
        return Binding(METHODS[route.endpoint], partial(self._handlers[route.endpoint], route))

    def _server_metadata(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        return _json(metadata.server_metadata())

    def _alive(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        live = self._health.live
        return _json({"status": "alive" if live else "failed"}, status=200 if live else 503)

    def _live(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        live = self._health.live
        return _json({"live": live}, status=200 if live else 503)

    def _ready(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        ready = self._health.ready
        return _json({"ready": ready}, status=200 if ready else 503)

    def _model_list(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        return _json(metadata.model_list(self._table.names()))

    def _model_metadata(self, route: Route, _request: HttpRequest) -> HttpResponse:
        handle = self._find(route)
        return _json(metadata.model_metadata_document(handle, self._table.versions(handle.spec.name)))

    def _model_ready(self, route: Route, _request: HttpRequest) -> HttpResponse:
        try:
            self._table.check_answers(route.model or "", route.version)
            ready = not self._health.draining
        except ModelUnavailableError:
            ready = False
        return _json({"name": route.model, "ready": ready}, status=200 if ready else 503)

    def _model_config(self, route: Route, _request: HttpRequest) -> HttpResponse:
        return _json(metadata.model_config_document(self._find(route)))

    def _model_statistics(self, route: Route, _request: HttpRequest) -> HttpResponse:
        if route.version is not None:
            handles = [self._find(route)]
        elif route.model is not None:
            self._find(route)
            handles = [handle for handle in self._table.handles() if handle.spec.name == route.model]
        else:
            handles = self._table.handles()
        return _json(metadata.model_statistics(handles))

    def _repository_index(self, _route: Route, request: HttpRequest) -> HttpResponse:
        if len(request.body) > _MAX_PLAIN_BODY_BYTES:
            raise PayloadTooLargeError(f"the body exceeds this path's limit of {_MAX_PLAIN_BODY_BYTES} bytes")
        body = decoded_body(request, _MAX_PLAIN_BODY_BYTES)
        ready_only = decode_object(body).get("ready") if body else None
        if type(ready_only) is not bool and ready_only is not None:
            raise InvalidRequestError("'ready' must be true or false")
        return _json(metadata.repository_index(self._table.index(), ready_only=bool(ready_only)))

    def _generate(self, route: Route, request: HttpRequest) -> HttpResponse | None:
        name = route.model or ""
        model = self._table.find_generative(name)
        if model is not None and route.version in (None, model.version):
            # Imported here: few servers generate text.
            from modelservice_runtime.protocols.oip.rest.generate import answer_generate

            path = request.target.partition(b"?")[0]
            answer_generate(model, name, request, streamed=path.endswith(b"_stream"))
            return None
        self._find(route)
        raise UnsupportedOperationError(
            f"model '{route.model}' takes tensors and generates no text; POST to its /infer"
        )

    def _model_control(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        raise UnsupportedOperationError("models are not loaded or unloaded by requests; deploy a new version")

    def _shared_memory(self, _route: Route, _request: HttpRequest) -> HttpResponse:
        raise UnsupportedOperationError("shared memory is not supported; send the data in the request")

    def _find(self, route: Route) -> ModelHandle:
        return self._table.find(route.model or "", route.version)


def _json(document: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status, orjson.dumps(document))
