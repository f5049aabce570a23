"""Paths to routes; pure.

A path is split first and each segment percent-decoded once, so an encoded slash or dot can never change
which route is meant; names are only looked up, never joined to file paths. ``/v2/models/stats`` is everyone's
statistics, as in Triton: of a model of that name only the plain metadata is out of reach.
"""

from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import unquote_to_bytes


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
    Endpoint.SERVER_METADATA: (b"GET", b"HEAD"),
    Endpoint.LIVE: (b"GET", b"HEAD"),
    Endpoint.READY: (b"GET", b"HEAD"),
    Endpoint.MODEL_METADATA: (b"GET", b"HEAD"),
    Endpoint.MODEL_READY: (b"GET", b"HEAD"),
    Endpoint.MODEL_CONFIG: (b"GET", b"HEAD"),
    Endpoint.MODEL_STATISTICS: (b"GET", b"HEAD"),
    Endpoint.INFER: (b"POST",),
    Endpoint.REPOSITORY_INDEX: (b"POST",),
    Endpoint.MODEL_CONTROL: (b"POST",),
    Endpoint.SHARED_MEMORY: (b"GET", b"HEAD", b"POST"),
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


def match_route(target: bytes) -> Route | None:
    """Find the route of a request target (origin or absolute form), or None."""
    segments = _split_target(target)
    if segments is None or segments[0] != "v2":
        return None
    rest = tuple(segments[1:])
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


def _split_target(target: bytes) -> list[str] | None:
    """Decoded segments of the path behind its first slash; None where it is not a path in UTF-8."""
    path = target.partition(b"?")[0].partition(b"#")[0]
    if path[:7].lower() == b"http://" or path[:8].lower() == b"https://":
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    if not path.startswith(b"/"):
        return None
    try:
        return [unquote_to_bytes(segment).decode("utf-8") for segment in path[1:].split(b"/")]
    except UnicodeDecodeError:
        return None
