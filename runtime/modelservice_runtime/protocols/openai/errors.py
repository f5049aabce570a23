"""Errors in OpenAI's words: `{"error": {"message", "type", "param", "code"}}`; pure.

Source: OpenAI's API reference, "Error codes", and what the package `openai` reads of a body.
"""

import orjson

from modelservice_runtime.errors import (
    InvalidRequestError,
    ModelUnavailableError,
    NotFoundError,
    OverloadedError,
    ServingError,
    UnauthenticatedError,
)
from modelservice_runtime.transport.http import HttpResponse
from modelservice_runtime.transport.status import error_response, mapping_of

_TYPES_BY_STATUS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: dict[type[ServingError], str] = {
    UnauthenticatedError: "invalid_api_key",
    OverloadedError: "rate_limit_exceeded",
    ModelUnavailableError: "model_unavailable",
}


class FieldError(InvalidRequestError):
    """A field of the body is wrong; `param` is where, `code` a word for programs."""

    def __init__(self, sentence: str, param: str | None, code: str | None = None) -> None:
        super().__init__(sentence, code, param)


class UnknownModelError(NotFoundError):
    """No model of this name answers here."""


def openai_error_response(error: ServingError) -> HttpResponse:
    """The answer to a request that failed: status and headers as in every protocol."""
    response = error_response(error)
    return HttpResponse(
        response.status,
        orjson.dumps(error_document(error)),
        headers=response.headers,
        close=response.close,
    )


def error_document(error: ServingError) -> dict[str, dict[str, str | None]]:
    """What a client is told, also within a stream."""
    status = mapping_of(error).status
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": str(error),
            "type": _TYPES_BY_STATUS.get(status, fallback),
            "param": _param(error),
            "code": _code(error),
        }
    }


def refusal_body(sentence: str) -> bytes:
    """What is told of a request that is none."""
    return orjson.dumps(
        {"error": {"message": sentence, "type": "invalid_request_error", "param": None, "code": None}}
    )


def _param(error: ServingError) -> str | None:
    if isinstance(error, InvalidRequestError):
        return error.param
    return "model" if isinstance(error, UnknownModelError) else None


def _code(error: ServingError) -> str | None:
    if isinstance(error, InvalidRequestError):
        return error.code
    return "model_not_found" if isinstance(error, UnknownModelError) else _CODES.get(type(error))
