"""How a request is turned away before any protocol sees it: in the words of the one that it meant."""

from collections.abc import Mapping

from modelservice_runtime.errors import ServingError
from modelservice_runtime.transport.http import HttpRequest, HttpResponse
from modelservice_runtime.transport.status import error_body, error_response

# Below these paths everything is OpenAI's, but for the models of TensorFlow Serving.
_OPENAI_PATHS, _SHARED_PATH = (b"/v1/", b"/v2/rerank", b"/openai/"), b"/v1/models/"


def refuse(request: HttpRequest, error: ServingError) -> None:
    """Answer a request that nobody is to see."""
    if _is_openai(request.target):
        _name(request)
    request.source.reply(request, _response(request.target, error))


def refusal_response(target: bytes, headers: Mapping[bytes, bytes], error: ServingError) -> HttpResponse:
    """The answer to a request of which there is a head alone."""
    response = _response(target, error)
    if not _is_openai(target):
        return response
    from modelservice_runtime.protocols.rest.request_ids import named_response, request_id_of

    return named_response(response, request_id_of(headers))


def refuse_method(request: HttpRequest, allowed: bytes) -> None:
    """Answer a request whose path takes other methods."""
    sentence = f"this path takes {allowed.decode('ascii')}"
    body = error_body(sentence)
    if _is_openai(request.target):
        from modelservice_runtime.protocols.openai.errors import refusal_body

        _name(request)
        body = refusal_body(sentence)
    request.source.reply(request, HttpResponse(405, body, headers=((b"Allow", allowed),)))


def _is_openai(target: bytes) -> bool:
    return target.startswith(_OPENAI_PATHS) and not target.startswith(_SHARED_PATH)


def _name(request: HttpRequest) -> None:
    # Imported here, as the other ones: most servers have no such requests.
    from modelservice_runtime.protocols.rest.request_ids import name_request

    name_request(request)


def _response(target: bytes, error: ServingError) -> HttpResponse:
    if not _is_openai(target):
        return error_response(error)
    from modelservice_runtime.protocols.openai.errors import openai_error_response

    return openai_error_response(error)
