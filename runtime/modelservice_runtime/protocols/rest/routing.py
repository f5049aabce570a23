"""Paths and the templates they follow; pure.

A path is split first and each segment percent-decoded once, so an encoded slash or dot can never change
which route is meant; names are only looked up, never joined to file paths.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

Target = TypeVar("Target")

# A template's pieces begin behind a slash, or at the colon of a verb.
_PIECES = re.compile(r"/|(?=:)")


@dataclass(frozen=True, slots=True)
class Match(Generic[Target]):
    """What a path leads to, by which template, and the values of the template's parameters."""

    target: Target
    template: str
    parameters: Mapping[str, str]


class RouteTable(Generic[Target]):
    """Path templates such as `/v2/models/{model}/infer`; the first that fits a path wins.

    With `ignore_case` fixed words match in any case; parameters are always kept as they came.
    """

    def __init__(self, targets: Mapping[str, Target], *, ignore_case: bool = False) -> None:
        self._targets = targets
        self._ignore_case = ignore_case
        self._by_length: dict[int, list[tuple[tuple[str, ...], str, Target]]] = {}
        for template, target in targets.items():
            pieces = tuple(_PIECES.split(template[1:]))
            self._by_length.setdefault(len(pieces), []).append((pieces, template, target))

    def __iter__(self) -> Iterator[tuple[str, Target]]:
        """Every template with its target."""
        return iter(self._targets.items())

    def match(self, segments: Sequence[str]) -> Match[Target] | None:
        """Find the template of decoded segments."""
        for pieces, template, target in self._by_length.get(len(segments), ()):
            parameters = self._parameters(pieces, segments)
            if parameters is not None:
                return Match(target, template, parameters)
        return None

    def _parameters(self, pieces: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
        parameters: dict[str, str] = {}
        for piece, segment in zip(pieces, segments, strict=True):
            if piece.startswith("{"):
                parameters[piece[1:-1]] = segment
            elif piece != (segment.lower() if self._ignore_case else segment):
                return None
        return parameters


def split_target(target: bytes) -> tuple[bytes, ...] | None:
    """Segments, still encoded, of a request target (origin or absolute form) behind its first slash.

    None where it is not a path.
    """
    path = target.partition(b"?")[0].partition(b"#")[0]
    if path[:7].lower() == b"http://" or path[:8].lower() == b"https://":
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return tuple(path[1:].split(b"/")) if path.startswith(b"/") else None


def decode_segments(segments: Sequence[bytes]) -> tuple[str, ...] | None:
    """Percent-decode each segment; None where one is not UTF-8."""
    try:
        return tuple(unquote_to_bytes(segment).decode("utf-8") for segment in segments)
    except UnicodeDecodeError:
        return None
