"""How a request is turned away before any protocol sees it: in the words of the one that it meant."""

from modelservice_runtime.errors import ServingError
from modelservice_runtime.transport.http import HttpResponse
from modelservice_runtime.transport.status import error_response

# Below these paths everything is OpenAI's; `/v1/models` is TensorFlow Serving's too.
_OPENAI_PATHS = (b"/v1/chat/", b"/v1/completions", b"/v1/embeddings", b"/v1/rerank", b"/openai/")


def refusal_response(target: bytes, error: ServingError) -> HttpResponse:
    """The answer to a request for `target` that nobody is to see."""
    if not target.startswith(_OPENAI_PATHS):
        return error_response(error)
    # Imported here: most servers have no such requests.
    from modelservice_runtime.protocols.openai.errors import openai_error_response

    return openai_error_response(error)
