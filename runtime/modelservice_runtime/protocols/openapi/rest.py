"""Serves the OpenAPI document."""

import orjson

from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.openapi.document import Labels, build_document
from modelservice_runtime.protocols.openapi.operations import DOCUMENT_PATH
from modelservice_runtime.protocols.rest.front_end import READ, Binding
from modelservice_runtime.protocols.rest.routing import split_target
from modelservice_runtime.settings.security import SecuritySettings
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

_SEGMENTS = split_target(DOCUMENT_PATH.encode("ascii"))


class OpenApiFrontEnd:
    """See `FrontEnd`. The document is built anew when the models change."""

    def __init__(self, table: ModelTable, security: SecuritySettings) -> None:
        self._table = table
        self._security = security
        self._shown: tuple[list[ModelHandle], Labels] = ([], {})
        self._document = b""

    def bind(self, segments: tuple[bytes, ...]) -> Binding | None:
        """See `FrontEnd.bind`."""
        return Binding(READ, self._answer) if segments == _SEGMENTS else None

    def _answer(self, _request: HttpRequest) -> HttpResponse:
        handles, labels = self._table.handles(), self._table.labels()
        if not self._document or (handles, labels) != self._shown:
            specs = [handle.spec for handle in handles]
            self._document = orjson.dumps(build_document(specs, labels, self._security))
            self._shown = handles, labels
        return HttpResponse(200, self._document)
