"""Reads the body of a request about texts."""

from modelservice_runtime.errors import PayloadTooLargeError
from modelservice_runtime.protocols.openai.asking.fields import Fields, parse_object
from modelservice_runtime.protocols.rest.answers import decoded_body
from modelservice_runtime.transport.http import HttpRequest

# Prompts of a million tokens; more would take the event loop from others while it is parsed.
MAX_TEXT_BODY_BYTES = 4 * 1024 * 1024


def read_body(request: HttpRequest) -> Fields:
    """The body's fields. Raises InvalidRequestError, PayloadTooLargeError and UnsupportedEncodingError."""
    if len(request.body) > MAX_TEXT_BODY_BYTES:
        raise PayloadTooLargeError(f"the body exceeds this path's limit of {MAX_TEXT_BODY_BYTES} bytes")
    return Fields(parse_object(decoded_body(request, MAX_TEXT_BODY_BYTES)))
