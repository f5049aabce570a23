"""OpenAI's API over one model table."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import orjson

from modelservice_runtime.errors import NotFoundError, ServingError, internal_error
from modelservice_runtime.generation.values import GenerativeModel
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.protocols.metadata import model_list
from modelservice_runtime.protocols.openai.answering.call import Form
from modelservice_runtime.protocols.openai.answering.chat_form import ChatForm
from modelservice_runtime.protocols.openai.answering.completion_form import CompletionForm
from modelservice_runtime.protocols.openai.answering.documents import Answered, begin_answer
from modelservice_runtime.protocols.openai.answering.prompts import (
    Asker,
    Text,
    prepare_chat,
    prepare_completion,
)
from modelservice_runtime.protocols.openai.answering.response_form import ResponseForm
from modelservice_runtime.protocols.openai.answering.starting import start_call
from modelservice_runtime.protocols.openai.answering.telling import tell_wishes
from modelservice_runtime.protocols.openai.asking.asked import read_chat, read_completion
from modelservice_runtime.protocols.openai.asking.fields import Fields, shown
from modelservice_runtime.protocols.openai.asking.responses import read_response
from modelservice_runtime.protocols.openai.asking.sampling import Wishes
from modelservice_runtime.protocols.openai.body import read_body
from modelservice_runtime.protocols.openai.errors import UnknownModelError, openai_error_response
from modelservice_runtime.protocols.openai.models import (
    find_document,
    find_text_model,
    list_documents,
    model_document,
    read_model_name,
    vector_document,
)
from modelservice_runtime.protocols.openai.routes import (
    OPENAI_METHODS,
    OpenAiEndpoint,
    OpenAiRoute,
    match_openai_route,
)
from modelservice_runtime.protocols.openai.vectors.embeddings import answer_embeddings
from modelservice_runtime.protocols.openai.vectors.rerank import answer_rerank
from modelservice_runtime.protocols.rest.front_end import Binding, FrontEnd, Handler
from modelservice_runtime.protocols.rest.request_ids import name_request
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

log = logging.getLogger(__name__)

_RouteHandler: TypeAlias = Callable[[OpenAiRoute, HttpRequest], HttpResponse | None]


@dataclass(frozen=True, slots=True)
class _Asking:
    """A request to a model that generates text, under the name that it was asked for by."""

    request: HttpRequest
    fields: Fields
    name: str
    model: GenerativeModel
    asker: Asker

    def begin(self, prefix: str) -> Answered:
        """Its answer, which begins now."""
        answered = begin_answer(prefix, self.name, self.model.text)
        self.request.tell({"gen_ai.response.id": answered.id, "gen_ai.response.model": answered.model})
        return answered

    def start(self, form: Form, texts: Callable[[], list[Text]], wishes: Wishes, operation: str) -> None:
        """Answer later; `operation` is one of OpenTelemetry's for generative models."""
        self.request.tell({"gen_ai.operation.name": operation, "gen_ai.request.model": self.name})
        self.request.tell(tell_wishes(wishes))
        start_call(self.request, self.model.lane, form, texts, streamed=wishes.streamed)


class OpenAiFrontEnd:
    """See `FrontEnd`. `others` answers for models of tensors where the path is also TensorFlow Serving's."""

    def __init__(self, table: ModelTable, others: FrontEnd) -> None:
        self._table = table
        self._others = others
        self._handlers: dict[OpenAiEndpoint, _RouteHandler] = {
            OpenAiEndpoint.CHAT: self._chat,
            OpenAiEndpoint.COMPLETION: self._complete,
            OpenAiEndpoint.RESPONSE: self._respond,
            OpenAiEndpoint.STORED_RESPONSE: self._find_response,
            OpenAiEndpoint.EMBEDDINGS: self._embed,
            OpenAiEndpoint.RERANK: self._rerank,
            OpenAiEndpoint.MODEL_LIST: self._list_models,
            OpenAiEndpoint.MODEL: self._show_model,
        }

    def bind(self, segments: tuple[bytes, ...]) -> Binding | None:
        """See `FrontEnd.bind`."""
        route = match_openai_route(segments)
        if route is None:
            return None
        handler: Handler = partial(_answer, partial(self._handlers[route.endpoint], route))
        if route.is_shared and route.endpoint is OpenAiEndpoint.MODEL:
            other = self._others.bind(segments)
            if other is not None:
                handler = partial(self._share_model, route, handler, other.handler)
            elif find_document(self._table, route.model) is None:
                return None
        return Binding(OPENAI_METHODS[route.endpoint], handler)

    def _share_model(
        self, route: OpenAiRoute, ours: Handler, others: Handler, request: HttpRequest
    ) -> HttpResponse | None:
        """The model's protocol; where there is none of the name, a server of texts speaks OpenAI's."""
        is_unknown = not self._table.entries(route.model)
        if model_document(self._table, route.model) or (is_unknown and self._table.generative()):
            return ours(request)
        response = others(request)
        document = vector_document(self._table, route.model)
        if document is None or response is None or not isinstance(response.body, bytes):
            return response
        return HttpResponse(response.status, orjson.dumps({**document, **orjson.loads(response.body)}))

    def _list_models(self, _route: OpenAiRoute, _request: HttpRequest) -> HttpResponse:
        """Both OpenAI's list and KServe's names, whose first protocol has the same path."""
        models = {"object": "list", "data": list_documents(self._table)}
        return HttpResponse(200, orjson.dumps({**models, **model_list(self._table.names())}))

    def _show_model(self, route: OpenAiRoute, _request: HttpRequest) -> HttpResponse:
        document = find_document(self._table, route.model)
        if document is None:
            raise UnknownModelError(
                f"the model {shown(route.model)} does not exist, or answers for no texts; GET /v1/models "
                "lists those that do"
            )
        return HttpResponse(200, orjson.dumps(document))

    def _chat(self, _route: OpenAiRoute, request: HttpRequest) -> None:
        asking = self._open(request)
        asked = read_chat(asking.fields)
        form = ChatForm(
            asking.begin("chatcmpl-"),
            logprobs=asked.wishes.logprobs is not None,
            include_usage=asked.wishes.include_usage,
        )
        asking.start(form, partial(prepare_chat, asking.model, asked, asking.asker), asked.wishes, "chat")

    def _complete(self, _route: OpenAiRoute, request: HttpRequest) -> None:
        asking = self._open(request)
        asked = read_completion(asking.fields)
        form = CompletionForm(
            asking.begin("cmpl-"),
            logprobs=asked.wishes.logprobs is not None,
            include_usage=asked.wishes.include_usage,
        )
        texts = partial(prepare_completion, asking.model, asked, asking.asker)
        asking.start(form, texts, asked.wishes, "text_completion")

    def _respond(self, _route: OpenAiRoute, request: HttpRequest) -> None:
        asking = self._open(request)
        asked = read_response(asking.fields)
        form = ResponseForm(
            asking.begin("resp_"),
            asked.repeated,
            replace(asking.model.sampling, **asked.chat.wishes.sampling),
        )
        texts = partial(prepare_chat, asking.model, asked.chat, asking.asker)
        asking.start(form, texts, asked.chat.wishes, "chat")

    def _find_response(self, route: OpenAiRoute, _request: HttpRequest) -> HttpResponse:
        raise NotFoundError(
            f"the response {shown(route.response)} does not exist: nothing is stored here; send the whole "
            "conversation to /v1/responses as 'input'"
        )

    def _open(self, request: HttpRequest) -> _Asking:
        fields = read_body(request)
        name = read_model_name(fields)
        model, adapter = find_text_model(self._table, name)
        return _Asking(request, fields, name, model, Asker(request.owner, adapter))

    def _embed(self, _route: OpenAiRoute, request: HttpRequest) -> HttpResponse | None:
        return answer_embeddings(self._table, read_body(request), request)

    def _rerank(self, _route: OpenAiRoute, request: HttpRequest) -> HttpResponse | None:
        return answer_rerank(self._table, read_body(request), request)


def _answer(
    handler: Callable[[HttpRequest], HttpResponse | None], request: HttpRequest
) -> HttpResponse | None:
    """What a handler answers; its errors in OpenAI's words, and the request's name on all of them."""
    name_request(request)
    try:
        return handler(request)
    except ServingError as error:
        return openai_error_response(error)
    except Exception:  # the last boundary: one faulty request must not end the others
        log.exception("internal error")
        return openai_error_response(internal_error())
