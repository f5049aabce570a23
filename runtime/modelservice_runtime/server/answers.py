"""Answers as every front end gives them: JSON documents, compression, and results that come later."""

from modelservice_runtime.errors import ServingError
from modelservice_runtime.server.content_encoding import (
    MIN_COMPRESSED_BYTES,
    choose_encoding,
    decode_body,
    encode_body,
)
from modelservice_runtime.server.http import Buffer, HttpRequest, HttpResponse
from modelservice_runtime.server.status import error_response


def decoded_body(request: HttpRequest, max_body_bytes: int) -> bytes | bytearray:
    """The body without its Content-Encoding.

    Raises UnsupportedEncodingError, InvalidRequestError and PayloadTooLargeError.
    """
    # A view is what a large body with binary tensors comes as; only their decoder can do something with it.
    body = bytes(request.body) if isinstance(request.body, memoryview) else request.body
    encoding = request.headers.get(b"content-encoding")
    return body if encoding is None else decode_body(body, encoding, max_body_bytes)


def reply(request: HttpRequest, answer: HttpResponse | ServingError) -> None:
    """Answer later: with a response that is compressed already, or with an error."""
    if isinstance(answer, ServingError):
        answer = compressed(request, error_response(answer))
    request.reply(answer)


def compressed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
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
