"""OpenAI's paths, at the root and below `/openai`, where KServe has them; pure.

`/v1/models` and what is below it is TensorFlow Serving's too: what answers depends on the model.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from modelservice_runtime.protocols.rest.front_end import READ, WRITE
from modelservice_runtime.protocols.rest.routing import Match, RouteTable, decode_segments

PREFIX = "/openai"
# A verb of TensorFlow Serving behind a model's name, with which it is no name.
_PREDICTS = re.compile(rb"(?::|%3a)(?:predict|classify|regress)$", re.IGNORECASE)


class OpenAiEndpoint(Enum):
    """What the server can be asked for."""

    CHAT = auto()
    COMPLETION = auto()
    RESPONSE = auto()
    STORED_RESPONSE = auto()
    EMBEDDINGS = auto()
    RERANK = auto()
    MODEL_LIST = auto()
    MODEL = auto()


OPENAI_METHODS: dict[OpenAiEndpoint, tuple[bytes, ...]] = {
    OpenAiEndpoint.CHAT: WRITE,
    OpenAiEndpoint.COMPLETION: WRITE,
    OpenAiEndpoint.RESPONSE: WRITE,
    OpenAiEndpoint.STORED_RESPONSE: (*READ, b"DELETE"),
    OpenAiEndpoint.EMBEDDINGS: WRITE,
    OpenAiEndpoint.RERANK: WRITE,
    OpenAiEndpoint.MODEL_LIST: READ,
    OpenAiEndpoint.MODEL: READ,
}
# Where the second version of Cohere's clients asks, and vLLM answers.
_COHERE_RERANK = "/v2/rerank"
_PATHS = {
    "/v1/chat/completions": OpenAiEndpoint.CHAT,
    "/v1/completions": OpenAiEndpoint.COMPLETION,
    "/v1/responses": OpenAiEndpoint.RESPONSE,
    "/v1/responses/{response}": OpenAiEndpoint.STORED_RESPONSE,
    "/v1/embeddings": OpenAiEndpoint.EMBEDDINGS,
    "/v1/rerank": OpenAiEndpoint.RERANK,
    _COHERE_RERANK: OpenAiEndpoint.RERANK,
    "/v1/models": OpenAiEndpoint.MODEL_LIST,
    "/v1/models/{model}": OpenAiEndpoint.MODEL,
}
OPENAI_ROUTES: RouteTable[OpenAiEndpoint] = RouteTable(
    {**_PATHS, **{f"{PREFIX}{path}": endpoint for path, endpoint in _PATHS.items()}}
)


@dataclass(frozen=True, slots=True)
class OpenAiRoute:
    """An endpoint, what the path names, and whether other protocols have this path too."""

    endpoint: OpenAiEndpoint
    model: str
    response: str
    is_shared: bool


def match_openai_template(segments: tuple[bytes, ...]) -> Match[OpenAiEndpoint] | None:
    """Find the template of a path's segments, or None."""
    is_ours = segments[0] in (b"v1", b"openai") or segments == (b"v2", b"rerank")
    if not is_ours or _PREDICTS.search(segments[-1]):
        return None
    decoded = decode_segments(segments)
    return None if decoded is None else OPENAI_ROUTES.match(decoded)


def match_openai_route(segments: tuple[bytes, ...]) -> OpenAiRoute | None:
    """Find the route of a path's segments, or None."""
    match = match_openai_template(segments)
    if match is None:
        return None
    is_about_models = match.target in (OpenAiEndpoint.MODEL_LIST, OpenAiEndpoint.MODEL)
    named = match.parameters
    return OpenAiRoute(
        match.target,
        named.get("model", ""),
        named.get("response", ""),
        is_about_models and segments[0] == b"v1",
    )
