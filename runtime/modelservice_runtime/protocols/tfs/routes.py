"""TensorFlow Serving's paths; pure.

Source: tensorflow/serving `model_servers/http_rest_api_util.cc`. Fixed words match in any case, as there.
The list of models is KServe's, whose first protocol has the same paths.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from modelservice_runtime.protocols.rest.front_end import READ, WRITE
from modelservice_runtime.protocols.rest.routing import Match, RouteTable, decode_segments


class TfsEndpoint(Enum):
    """What the server can be asked for."""

    MODEL_LIST = auto()
    STATUS = auto()
    METADATA = auto()
    PREDICT = auto()
    CLASSIFY = auto()
    REGRESS = auto()


TFS_METHODS: dict[TfsEndpoint, tuple[bytes, ...]] = {
    TfsEndpoint.MODEL_LIST: READ,
    TfsEndpoint.STATUS: READ,
    TfsEndpoint.METADATA: READ,
    TfsEndpoint.PREDICT: WRITE,
    TfsEndpoint.CLASSIFY: WRITE,
    TfsEndpoint.REGRESS: WRITE,
}

_MODEL_ENDPOINTS = {
    "": TfsEndpoint.STATUS,
    "/metadata": TfsEndpoint.METADATA,
    ":predict": TfsEndpoint.PREDICT,
    ":classify": TfsEndpoint.CLASSIFY,
    ":regress": TfsEndpoint.REGRESS,
}


# Some clients encode whatever they put into a path.
_ENCODED_COLON = re.compile(rb"%3a(?=(?:predict|classify|regress)$)", re.IGNORECASE)


def _model_routes() -> Iterator[tuple[str, TfsEndpoint]]:
    for path, endpoint in _MODEL_ENDPOINTS.items():
        for which in ("", "/versions/{version}", "/labels/{label}"):
            yield f"/v1/models/{{model}}{which}{path}", endpoint


TFS_ROUTES: RouteTable[TfsEndpoint] = RouteTable(
    {"/v1/models": TfsEndpoint.MODEL_LIST, **dict(_model_routes())}, ignore_case=True
)


@dataclass(frozen=True, slots=True)
class TfsRoute:
    """An endpoint, its model ('': all), and a version or a label of it (neither: the default version)."""

    endpoint: TfsEndpoint
    model: str
    version: str | None = None
    label: str | None = None


def match_tfs_template(segments: tuple[bytes, ...]) -> Match[TfsEndpoint] | None:
    """Find the template of a path's segments, or None."""
    name, colon, verb = _ENCODED_COLON.sub(b":", segments[-1]).partition(b":")
    decoded = decode_segments((*segments[:-1], name, colon + verb) if colon else segments)
    return None if decoded is None else TFS_ROUTES.match(decoded)


def match_tfs_route(segments: tuple[bytes, ...]) -> TfsRoute | None:
    """Find the route of a path's segments, or None."""
    match = match_tfs_template(segments)
    if match is None:
        return None
    found = match.parameters
    return TfsRoute(match.target, found.get("model", ""), _version(found.get("version")), found.get("label"))


def _version(text: str | None) -> str | None:
    """Versions are numbers there: 007 is 7."""
    if text is not None and text.isascii() and text.isdigit():
        return text.lstrip("0") or "0"
    return text
