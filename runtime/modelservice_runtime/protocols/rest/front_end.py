"""What a protocol is to the dispatcher: something that binds paths to handlers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from modelservice_runtime.transport.http import HttpRequest, HttpResponse

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

    def bind(self, segments: tuple[bytes, ...]) -> Binding | None:
        """Return what answers the path of these segments, or None where it is not this protocol's.

        The segments are still percent-encoded.
        """
