"""What a protocol is to the dispatcher: something that binds paths to handlers.

A path is split first and each segment percent-decoded once, so an encoded slash or dot can never change
which route is meant; names are only looked up, never joined to file paths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from modelservice_runtime.server.http import HttpRequest, HttpResponse

# Returns the response, or None when it replies later.
Handler: TypeAlias = Callable[[HttpRequest], HttpResponse | None]

READ = (b"GET", b"HEAD")
WRITE = (b"POST",)


@dataclass(frozen=True, slots=True)
class Binding:
    """What answers one path, and the methods it takes."""

    methods: tuple[bytes, ...]
    handler: Handler


class FrontEnd(Protocol):
    """One protocol's paths."""

    def bind(self, segments: tuple[str, ...]) -> Binding | None:
        """Return what answers the path of these segments, or None where it is not this protocol's."""


def split_target(target: bytes) -> tuple[str, ...] | None:
    """Decoded segments of a request target (origin or absolute form) behind the path's first slash.

    None where it is not a path in UTF-8.
    """
    path = target.partition(b"?")[0].partition(b"#")[0]
    if path[:7].lower() == b"http://" or path[:8].lower() == b"https://":
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    if not path.startswith(b"/"):
        return None
    try:
        return tuple(unquote_to_bytes(segment).decode("utf-8") for segment in path[1:].split(b"/"))
    except UnicodeDecodeError:
        return None
