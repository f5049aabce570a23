"""The Open Inference Protocol's paths; pure.

`/` is what KServe's servers answer too: its client, and load balancers without settings, ask there.
`/v2/models/stats` is everyone's statistics, as in Triton: of a model of that name only the plain metadata
is out of reach.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from modelservice_runtime.protocols.rest.front_end import READ, WRITE
from modelservice_runtime.protocols.rest.routing import Match, RouteTable, decode_segments


class Endpoint(Enum):
    """What the server can be asked for."""

    ALIVE = auto()
    SERVER_METADATA = auto()
    LIVE = auto()
    READY = auto()
    MODEL_LIST = auto()
    MODEL_METADATA = auto()
    MODEL_READY = auto()
    MODEL_CONFIG = auto()
    MODEL_STATISTICS = auto()
    INFER = auto()
    GENERATE = auto()
    REPOSITORY_INDEX = auto()
    MODEL_CONTROL = auto()
    SHARED_MEMORY = auto()


METHODS: dict[Endpoint, tuple[bytes, ...]] = {
    Endpoint.ALIVE: READ,
    Endpoint.SERVER_METADATA: READ,
    Endpoint.LIVE: READ,
    Endpoint.READY: READ,
    Endpoint.MODEL_LIST: READ,
    Endpoint.MODEL_METADATA: READ,
    Endpoint.MODEL_READY: READ,
    Endpoint.MODEL_CONFIG: READ,
    Endpoint.MODEL_STATISTICS: READ,
    Endpoint.INFER: WRITE,
    Endpoint.GENERATE: WRITE,
    Endpoint.REPOSITORY_INDEX: WRITE,
    Endpoint.MODEL_CONTROL: WRITE,
    Endpoint.SHARED_MEMORY: (*READ, *WRITE),
}

_MODEL_ENDPOINTS = {
    "": Endpoint.MODEL_METADATA,
    "/ready": Endpoint.MODEL_READY,
    "/config": Endpoint.MODEL_CONFIG,
    "/stats": Endpoint.MODEL_STATISTICS,
    "/infer": Endpoint.INFER,
    "/generate": Endpoint.GENERATE,
    "/generate_stream": Endpoint.GENERATE,
}


def _model_routes() -> Iterator[tuple[str, Endpoint]]:
    for path, endpoint in _MODEL_ENDPOINTS.items():
        yield f"/v2/models/{{model}}{path}", endpoint
        yield f"/v2/models/{{model}}/versions/{{version}}{path}", endpoint


ROUTES: RouteTable[Endpoint] = RouteTable(
    {
        "/": Endpoint.ALIVE,
        "/v2": Endpoint.SERVER_METADATA,
        "/v2/health/live": Endpoint.LIVE,
        "/v2/health/ready": Endpoint.READY,
        "/v2/models": Endpoint.MODEL_LIST,
        "/v2/models/stats": Endpoint.MODEL_STATISTICS,
        **dict(_model_routes()),
        "/v2/repository/index": Endpoint.REPOSITORY_INDEX,
        "/v2/repository/models/{model}/load": Endpoint.MODEL_CONTROL,
        "/v2/repository/models/{model}/unload": Endpoint.MODEL_CONTROL,
        "/v2/systemsharedmemory/{action}": Endpoint.SHARED_MEMORY,
        "/v2/systemsharedmemory/region/{region}/{action}": Endpoint.SHARED_MEMORY,
        "/v2/cudasharedmemory/{action}": Endpoint.SHARED_MEMORY,
        "/v2/cudasharedmemory/region/{region}/{action}": Endpoint.SHARED_MEMORY,
    }
)


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, and which model and version it is about (None: all, or the default version)."""

    endpoint: Endpoint
    model: str | None = None
    version: str | None = None


def match_template(segments: tuple[bytes, ...]) -> Match[Endpoint] | None:
    """Find the template of a path's segments, or None."""
    decoded = decode_segments(segments)
    if decoded is None or decoded[0] not in ("v2", ""):
        return None
    return ROUTES.match(decoded[:1] if decoded == ("v2", "") else decoded)


def match_route(segments: tuple[bytes, ...]) -> Route | None:
    """Find the route of a path's segments, or None."""
    match = match_template(segments)
    if match is None:
        return None
    return Route(match.target, match.parameters.get("model"), match.parameters.get("version"))
