"""The Open Inference Protocol's paths to routes; pure.

``/v2/models/stats`` is everyone's statistics, as in Triton: of a model of that name only the plain metadata
is out of reach.
"""

from dataclasses import dataclass
from enum import Enum, auto

from modelservice_runtime.server.front_end import READ, WRITE


class Endpoint(Enum):
    """What the server can be asked for."""

    SERVER_METADATA = auto()
    LIVE = auto()
    READY = auto()
    MODEL_METADATA = auto()
    MODEL_READY = auto()
    MODEL_CONFIG = auto()
    MODEL_STATISTICS = auto()
    INFER = auto()
    REPOSITORY_INDEX = auto()
    MODEL_CONTROL = auto()
    SHARED_MEMORY = auto()


METHODS: dict[Endpoint, tuple[bytes, ...]] = {
    Endpoint.SERVER_METADATA: READ,
    Endpoint.LIVE: READ,
    Endpoint.READY: READ,
    Endpoint.MODEL_METADATA: READ,
    Endpoint.MODEL_READY: READ,
    Endpoint.MODEL_CONFIG: READ,
    Endpoint.MODEL_STATISTICS: READ,
    Endpoint.INFER: WRITE,
    Endpoint.REPOSITORY_INDEX: WRITE,
    Endpoint.MODEL_CONTROL: WRITE,
    Endpoint.SHARED_MEMORY: (*READ, *WRITE),
}


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, and which model and version it is about (None: all, or the default version)."""

    endpoint: Endpoint
    model: str | None = None
    version: str | None = None


_FIXED: dict[tuple[str, ...], Route] = {
    (): Route(Endpoint.SERVER_METADATA),
    ("",): Route(Endpoint.SERVER_METADATA),
    ("health", "live"): Route(Endpoint.LIVE),
    ("health", "ready"): Route(Endpoint.READY),
    ("models", "stats"): Route(Endpoint.MODEL_STATISTICS),
    ("repository", "index"): Route(Endpoint.REPOSITORY_INDEX),
}
_MODEL_ENDPOINTS: dict[tuple[str, ...], Endpoint] = {
    (): Endpoint.MODEL_METADATA,
    ("ready",): Endpoint.MODEL_READY,
    ("config",): Endpoint.MODEL_CONFIG,
    ("stats",): Endpoint.MODEL_STATISTICS,
    ("infer",): Endpoint.INFER,
}


def match_route(segments: tuple[str, ...]) -> Route | None:
    """Find the route of a path's segments, or None."""
    if segments[0] != "v2":
        return None
    rest = segments[1:]
    fixed = _FIXED.get(rest)
    if fixed is not None:
        return fixed
    if rest[0] == "models":
        return _match_model(rest[1:])
    if rest[0] == "repository" and len(rest) == 4 and rest[1] == "models" and rest[3] in ("load", "unload"):
        return Route(Endpoint.MODEL_CONTROL, rest[2])
    if rest[0] in ("systemsharedmemory", "cudasharedmemory"):
        return Route(Endpoint.SHARED_MEMORY)
    return None


def _match_model(rest: tuple[str, ...]) -> Route | None:
    if not rest:
        return None
    model, rest = rest[0], rest[1:]
    version = None
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    endpoint = _MODEL_ENDPOINTS.get(rest)
    return None if endpoint is None else Route(endpoint, model, version)
