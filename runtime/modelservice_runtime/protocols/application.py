"""The dispatcher: finds who answers a path, and turns errors into responses.

Front ends (`rest.front_end`) know the paths; each protocol is one. What they find is kept for each target,
so that a path that is asked for often is looked up once.
"""

import logging
from collections.abc import Sequence

from modelservice_runtime.errors import NotFoundError, ServingError, internal_error
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.protocols.late import LateFrontEnd
from modelservice_runtime.protocols.oip.rest.front_end import OipFrontEnd
from modelservice_runtime.protocols.refusals import refuse, refuse_method
from modelservice_runtime.protocols.rest.answers import send
from modelservice_runtime.protocols.rest.front_end import Binding, FrontEnd, Handler
from modelservice_runtime.protocols.rest.routing import split_target
from modelservice_runtime.settings.security import SecuritySettings
from modelservice_runtime.transport.http import HttpRequest, RequestHead
from modelservice_runtime.transport.status import error_response

log = logging.getLogger(__name__)

_BINDING_CACHE_SIZE = 1024


class Application:
    """Answers requests through the front ends, of which the first that knows a path gets it."""

    def __init__(self, front_ends: Sequence[FrontEnd]) -> None:
        self._front_ends = tuple(front_ends)
        self._bindings: dict[bytes, Binding] = {}

    def __call__(self, request: HttpRequest) -> None:
        """Answer `request`, now or later; never raises."""
        try:
            # The same head as an earlier request's has its handler already.
            handler = request.head.plan or self._find_handler(request.head)
            response = handler(request)
        except ServingError as error:
            refuse(request, error)
            return
        except Exception:  # the last boundary: one faulty request must not end the others
            log.exception("internal error", extra={"method": repr(request.method)})
            response = error_response(internal_error())
        if response is None:
            return
        if b"accept-encoding" in request.head.headers:
            send(request, response)
        else:
            request.source.reply(request, response)

    def _find_handler(self, head: RequestHead) -> Handler:
        binding = self._bindings.get(head.target) or self._bind(head.target)
        if head.method in binding.methods:
            head.plan = binding.handler
            return binding.handler
        allowed = b", ".join(binding.methods)
        return lambda request: refuse_method(request, allowed)

    def _bind(self, target: bytes) -> Binding:
        segments = split_target(target)
        if segments is not None:
            for front_end in self._front_ends:
                binding = front_end.bind(segments)
                if binding is not None:
                    self._remember(target, binding)
                    return binding
        raise NotFoundError(
            "no such path; the Open Inference Protocol is at /v2, TensorFlow Serving's at /v1/models, "
            "OpenAI's at /v1; /openapi.json lists all paths; /metrics is on the metrics port"
        )

    def _remember(self, target: bytes, binding: Binding) -> None:
        if len(self._bindings) >= _BINDING_CACHE_SIZE:
            self._bindings.clear()  # somebody tries names; the paths in use come back at once
        self._bindings[target] = binding


def build_application(
    table: ModelTable, health: Health, max_body_bytes: int, security: SecuritySettings
) -> Application:
    """The REST side: every protocol over one model table. `security` is described, not applied, here."""

    def make_tfs() -> FrontEnd:
        from modelservice_runtime.protocols.tfs.rest.front_end import TfsFrontEnd

        return TfsFrontEnd(table, max_body_bytes)

    def make_openapi() -> FrontEnd:
        from modelservice_runtime.protocols.openapi.rest import OpenApiFrontEnd

        return OpenApiFrontEnd(table, security)

    oip, tfs = OipFrontEnd(table, health, max_body_bytes), LateFrontEnd(make_tfs)

    def make_openai() -> FrontEnd:
        from modelservice_runtime.protocols.openai.front_end import OpenAiFrontEnd

        return OpenAiFrontEnd(table, tfs)

    return Application([oip, LateFrontEnd(make_openai), tfs, LateFrontEnd(make_openapi)])
