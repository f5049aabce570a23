"""What each endpoint takes and answers, for the document; data only.

Endpoints that only refuse (loading by request, shared memory, stored responses) are not part of it.
"""

from dataclasses import dataclass

from modelservice_runtime.protocols.oip.routes import METHODS, ROUTES, Endpoint
from modelservice_runtime.protocols.openai.routes import OPENAI_METHODS, OPENAI_ROUTES, OpenAiEndpoint
from modelservice_runtime.protocols.rest.front_end import READ
from modelservice_runtime.protocols.tfs.routes import TFS_METHODS, TFS_ROUTES, TfsEndpoint

DOCUMENT_PATH = "/openapi.json"
REFUSING = frozenset(
    {Endpoint.MODEL_CONTROL, Endpoint.SHARED_MEMORY, OpenAiEndpoint.STORED_RESPONSE},
)

_ABOUT_A_MODEL = (404, 503)
_RUNS_A_MODEL = (400, 404, 413, 415, 429, 500, 501, 503, 504, 507)


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint.

    `answer` and `body` name schemas. `statuses` are those beside 200 that are answered with an error,
    `not_ready` one that is answered like 200. `error` names the response of what is refused. `binary`:
    tensors may be outside the JSON. `streamed`: the answer may be events.
    """

    summary: str
    answer: str
    body: str | None = None
    statuses: tuple[int, ...] = ()
    not_ready: int | None = None
    binary: bool = False
    body_required: bool = True
    error: str = "Error"
    streamed: bool = False


_DOCUMENT = Operation("This document", "Document")
_OIP: dict[Endpoint, Operation] = {
    Endpoint.ALIVE: Operation("Whether the process lives, for load balancers", "Alive", not_ready=503),
    Endpoint.SERVER_METADATA: Operation("Name, version and extensions of the server", "ServerMetadata"),
    Endpoint.LIVE: Operation("Whether the process lives", "ServerLive", not_ready=503),
    Endpoint.READY: Operation("Whether every model answers", "ServerReady", not_ready=503),
    Endpoint.MODEL_LIST: Operation("Names of the models that answer", "ModelList"),
    Endpoint.MODEL_METADATA: Operation("Inputs and outputs", "ModelMetadata", statuses=_ABOUT_A_MODEL),
    Endpoint.MODEL_READY: Operation(
        "Whether the model answers", "ModelReady", statuses=(404,), not_ready=503
    ),
    Endpoint.MODEL_CONFIG: Operation("Batching and signature", "ModelConfig", statuses=_ABOUT_A_MODEL),
    Endpoint.MODEL_STATISTICS: Operation("Counts and times", "ModelStatistics", statuses=_ABOUT_A_MODEL),
    Endpoint.INFER: Operation(
        "A prediction", "InferResponse", body="InferRequest", statuses=_RUNS_A_MODEL, binary=True
    ),
    Endpoint.GENERATE: Operation(
        "How a text goes on, by a model that generates texts",
        "GenerateResponse",
        body="GenerateRequest",
        statuses=_RUNS_A_MODEL,
        streamed=True,
    ),
    Endpoint.REPOSITORY_INDEX: Operation(
        "Models, versions and their states",
        "RepositoryIndex",
        body="RepositoryIndexRequest",
        statuses=(400, 413, 415),
        body_required=False,
    ),
}

_TFS: dict[TfsEndpoint, Operation] = {
    TfsEndpoint.MODEL_LIST: Operation(
        "The models that answer, in KServe's and in OpenAI's words", "AllModels"
    ),
    TfsEndpoint.STATUS: Operation(
        "Versions and their states; of a model that generates text what OpenAI tells",
        "ModelStatusOrModel",
        statuses=_ABOUT_A_MODEL,
    ),
    TfsEndpoint.METADATA: Operation(
        "Inputs and outputs in TensorFlow's words", "SignatureMetadata", statuses=_ABOUT_A_MODEL
    ),
    TfsEndpoint.PREDICT: Operation(
        "A prediction in row or column format",
        "PredictResponse",
        body="PredictRequest",
        statuses=_RUNS_A_MODEL,
    ),
    TfsEndpoint.CLASSIFY: Operation(
        "Labels and scores of examples", "ClassifyResponse", body="ExamplesRequest", statuses=_RUNS_A_MODEL
    ),
    TfsEndpoint.REGRESS: Operation(
        "A number for each example", "RegressResponse", body="ExamplesRequest", statuses=_RUNS_A_MODEL
    ),
}


_GENERATES = (400, 404, 413, 415, 429, 500, 503, 504)
_OPENAI: dict[OpenAiEndpoint, Operation] = {
    OpenAiEndpoint.CHAT: Operation(
        "The next message of a conversation",
        "ChatCompletion",
        body="ChatRequest",
        statuses=_GENERATES,
        error="OpenAiError",
        streamed=True,
    ),
    OpenAiEndpoint.COMPLETION: Operation(
        "How texts go on",
        "Completion",
        body="CompletionRequest",
        statuses=_GENERATES,
        error="OpenAiError",
        streamed=True,
    ),
    OpenAiEndpoint.RESPONSE: Operation(
        "The next items of a conversation; nothing is stored",
        "Response",
        body="ResponseRequest",
        statuses=_GENERATES,
        error="OpenAiError",
        streamed=True,
    ),
    OpenAiEndpoint.EMBEDDINGS: Operation(
        "Vectors of texts",
        "EmbeddingList",
        body="EmbeddingRequest",
        statuses=_RUNS_A_MODEL,
        error="OpenAiError",
    ),
    OpenAiEndpoint.RERANK: Operation(
        "Documents by how well they answer a query",
        "Ranking",
        body="RerankRequest",
        statuses=_RUNS_A_MODEL,
        error="OpenAiError",
    ),
    OpenAiEndpoint.MODEL_LIST: Operation("The models that answer", "AllModels", error="OpenAiError"),
    OpenAiEndpoint.MODEL: Operation(
        "A model that generates text", "OpenAiModel", statuses=_ABOUT_A_MODEL, error="OpenAiError"
    ),
}


@dataclass(frozen=True, slots=True)
class PathOperation:
    """An operation at one path template, and the methods it takes there."""

    path: str
    name: str
    tag: str
    methods: tuple[bytes, ...]
    operation: Operation


def path_operations() -> list[PathOperation]:
    """Every path of the front ends' route tables that does more than refuse, and the document's own."""
    oip = [
        PathOperation(path, endpoint.name, "Open Inference Protocol", METHODS[endpoint], _OIP[endpoint])
        for path, endpoint in ROUTES
        if endpoint not in REFUSING
    ]
    tfs = [
        PathOperation(path, endpoint.name, "TensorFlow Serving", TFS_METHODS[endpoint], _TFS[endpoint])
        for path, endpoint in TFS_ROUTES
    ]
    shared = {entry.path for entry in tfs}
    openai = [
        PathOperation(path, endpoint.name, "OpenAI", OPENAI_METHODS[endpoint], _OPENAI[endpoint])
        for path, endpoint in OPENAI_ROUTES
        if path not in shared and endpoint not in REFUSING
    ]
    return [PathOperation(DOCUMENT_PATH, "DOCUMENT", "Server", READ, _DOCUMENT), *oip, *tfs, *openai]
