"""TensorFlow Serving's REST interface over one model table."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import orjson

from modelservice_runtime.execution.offload import LARGE_BYTES, write_late_where_large
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.inference import count_failures
from modelservice_runtime.protocols.metadata import model_list
from modelservice_runtime.protocols.rest.answers import decoded_body
from modelservice_runtime.protocols.rest.deadline import header_timeout_seconds
from modelservice_runtime.protocols.rest.front_end import Binding
from modelservice_runtime.protocols.rest.infer_handler import decode_body_on_a_thread, start_infer, takes_long
from modelservice_runtime.protocols.tfs import documents
from modelservice_runtime.protocols.tfs.lookup import find_entries, find_handle
from modelservice_runtime.protocols.tfs.prepared_call import PreparedCall
from modelservice_runtime.protocols.tfs.rest.example_codec import prepare_classify, prepare_regress
from modelservice_runtime.protocols.tfs.rest.predict_codec import prepare_predict
from modelservice_runtime.protocols.tfs.routes import TFS_METHODS, TfsEndpoint, TfsRoute, match_tfs_route
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

_RouteHandler: TypeAlias = Callable[[TfsRoute, HttpRequest], HttpResponse | None]
_Prepare: TypeAlias = Callable[[ModelSpec, bytes | bytearray], PreparedCall]


class TfsFrontEnd:
    """See `FrontEnd`."""

    def __init__(self, table: ModelTable, max_body_bytes: int) -> None:
        self._table = table
        self._max_body_bytes = max_body_bytes
        self._handlers: dict[TfsEndpoint, _RouteHandler] = {
            TfsEndpoint.MODEL_LIST: self._model_list,
            TfsEndpoint.STATUS: self._status,
            TfsEndpoint.METADATA: self._metadata,
            TfsEndpoint.PREDICT: partial(self._run, prepare_predict),
            TfsEndpoint.CLASSIFY: partial(self._run, prepare_classify),
            TfsEndpoint.REGRESS: partial(self._run, prepare_regress),
        }

    def bind(self, segments: tuple[bytes, ...]) -> Binding | None:
        """See `FrontEnd.bind`."""
        route = match_tfs_route(segments)
        if route is None:
            return None
        return Binding(TFS_METHODS[route.endpoint], partial(self._handlers[route.endpoint], route))

    def _model_list(self, _route: TfsRoute, _request: HttpRequest) -> HttpResponse:
        return _json(model_list(self._table.names()))

    def _status(self, route: TfsRoute, _request: HttpRequest) -> HttpResponse:
        entries = find_entries(self._table, route.model, route.version, route.label)
        return _json(documents.model_status(entries))

    def _metadata(self, route: TfsRoute, _request: HttpRequest) -> HttpResponse:
        return _json(documents.model_metadata(self._find(route).spec))

    def _run(self, prepare: _Prepare, route: TfsRoute, request: HttpRequest) -> HttpResponse | None:
        handle = self._find(route)
        handle.statistics.arrivals["tfs-rest"] += 1
        decode = partial(_decode, prepare, handle.spec, request, self._max_body_bytes)
        if takes_long(request):
            decode_body_on_a_thread(request, handle, decode, partial(_answer, handle, request))
            return None
        return count_failures(handle, request.received_ns, lambda: _answer(handle, request, decode()))

    def _find(self, route: TfsRoute) -> ModelHandle:
        return find_handle(self._table, route.model, route.version, route.label)


def _decode(prepare: _Prepare, spec: ModelSpec, request: HttpRequest, max_body_bytes: int) -> PreparedCall:
    """Safe on any thread. Raises ServingError."""
    body = decoded_body(request, max_body_bytes)
    prepared = prepare(spec, body)
    if spec.takes_texts and len(body) >= LARGE_BYTES:
        prepared.request.text_bytes = len(body)
    return prepared


def _answer(handle: ModelHandle, request: HttpRequest, prepared: PreparedCall) -> HttpResponse | None:
    """Run a decoded request now, or in its turn; then the answer comes later. Raises ServingError."""
    prepared.request.timeout_seconds = header_timeout_seconds(request.headers)
    encode = partial(write_late_where_large, lambda outputs: HttpResponse(200, prepared.encode(outputs)))
    return start_infer(handle, request, prepared.request, encode)


def _json(document: object) -> HttpResponse:
    return HttpResponse(200, orjson.dumps(document))
