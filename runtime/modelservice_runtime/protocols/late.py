"""Parts of the server that are made when somebody first asks for them, each by a function.

What a part needs is imported by that function, for it would take longer than a small model's load. Its first
user waits for that, where `serve` has not done it meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from modelservice_runtime.protocols.rest.front_end import Binding, FrontEnd
from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.http import HttpApplication, HttpRequest


class LateApplication:
    """Answers as what `make` returns."""

    def __init__(self, make: Callable[[], HttpApplication]) -> None:
        self._application = cache(make)

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        self._application()(request)


class LateFrontEnd:
    """Binds as what `make` returns; see `FrontEnd`."""

    def __init__(self, make: Callable[[], FrontEnd]) -> None:
        self._front_end = cache(make)

    def bind(self, segments: tuple[bytes, ...]) -> Binding | None:
        """See `FrontEnd.bind`."""
        return self._front_end().bind(segments)


class LateServices(Mapping[str, Service]):
    """The services that `make` returns."""

    def __init__(self, make: Callable[[], Mapping[str, Service]]) -> None:
        self._services = cache(make)

    def __getitem__(self, path: str) -> Service:
        return self._services()[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._services())

    def __len__(self) -> int:
        return len(self._services())
