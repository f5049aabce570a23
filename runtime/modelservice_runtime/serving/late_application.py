"""An application that is made when somebody first asks it."""

from collections.abc import Callable

from modelservice_runtime.transport.http import HttpApplication, HttpRequest


class LateApplication:
    """Answers as what ``make`` returns, which is called with the first request: for what takes its time."""

    def __init__(self, make: Callable[[], HttpApplication]) -> None:
        self._make = make
        self._application: HttpApplication | None = None

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        if self._application is None:
            self._application = self._make()
        self._application(request)
