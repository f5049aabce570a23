"""Answers as every front end gives them: JSON documents, compression, and results that come later."""

import asyncio
import logging
from functools import partial

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.offload import LARGE_BYTES, offload
from modelservice_runtime.transport.content_encoding import (
    MIN_COMPRESSED_BYTES,
    choose_encoding,
    decode_body,
    encode_body,
)
from modelservice_runtime.transport.http import Buffer, HttpRequest, HttpResponse
from modelservice_runtime.transport.status import error_response

log = logging.getLogger(__name__)


def decoded_body(request: HttpRequest, max_body_bytes: int) -> bytes | bytearray:
    """The body without its Content-Encoding.

    Raises UnsupportedEncodingError, InvalidRequestError and PayloadTooLargeError.
    """
    # A view is what a large body with binary tensors comes as; only their decoder can do something with it.
    body = bytes(request.body) if isinstance(request.body, memoryview) else request.body
    encoding = request.headers.get(b"content-encoding")
    return body if encoding is None else decode_body(body, encoding, max_body_bytes)


def reply(request: HttpRequest, answer: HttpResponse | ServingError) -> None:
    """Answer later: with a response, or with an error."""
    send(request, error_response(answer) if isinstance(answer, ServingError) else answer)


def send(request: HttpRequest, response: HttpResponse) -> None:
    """Reply; a larger answer is compressed where the client accepts it, a large one on a thread."""
    accepted = request.headers.get(b"accept-encoding")
    encoding = None
    if accepted is not None and response.content_length >= MIN_COMPRESSED_BYTES:
        encoding = choose_encoding(accepted)
    if encoding is None:
        request.source.reply(request, response)
    elif response.content_length < LARGE_BYTES:
        request.reply(_compressed(response, encoding))
    else:
        offload(partial(_compressed, response, encoding), partial(_reply_compressed, request))


def _reply_compressed(request: HttpRequest, finished: asyncio.Future[HttpResponse]) -> None:
    request.reply(finished.result())


def _compressed(response: HttpResponse, encoding: bytes) -> HttpResponse:
    """The response as it is where it cannot be compressed: that memory is there. Never raises."""
    buffers: list[Buffer] = [response.body] if isinstance(response.body, bytes) else list(response.body)
    try:
        body = encode_body(buffers, encoding)
    except Exception:
        log.exception("an answer could not be compressed")
        return response
    return HttpResponse(
        response.status,
        body,
        response.content_type,
        (*response.headers, (b"Content-Encoding", encoding), (b"Vary", b"Accept-Encoding")),
        response.close,
    )
