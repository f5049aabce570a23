"""How a request is turned away before any protocol sees it: in the words of the one that it meant."""

from modelservice_runtime.errors import ServingError
from modelservice_runtime.transport.http import HttpResponse
from modelservice_runtime.transport.status import error_response

# Below these paths everything is OpenAI's, but for the models of TensorFlow Serving.
_OPENAI_PATHS, _SHARED_PATH = (b"/v1/", b"/v2/rerank", b"/openai/"), b"/v1/models/"


def refusal_response(target: bytes, error: ServingError) -> HttpResponse:
    """The answer to a request for `target` that nobody is to see."""
    if not target.startswith(_OPENAI_PATHS) or target.startswith(_SHARED_PATH):
        return error_response(error)
    # Imported here: most servers have no such requests.
    from modelservice_runtime.protocols.openai.errors import openai_error_response

    return openai_error_response(error)
