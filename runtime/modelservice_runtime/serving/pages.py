"""What the metrics port answers without Prometheus: pages by their path.

Light on purpose, so that whoever asks a pod that has just started, or asks it every second, delays nobody.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from modelservice_runtime.transport.http import HttpApplication, HttpRequest, HttpResponse
from modelservice_runtime.transport.status import error_body

Page: TypeAlias = Callable[[HttpRequest], None]
"""Answers a GET or HEAD, now or later."""


class PagesApplication:
    """Answers with the page of the request's path; every other path is for `others`."""

    def __init__(self, pages: Mapping[bytes, Page], others: HttpApplication) -> None:
        self._pages = pages
        self._others = others

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        page = self._pages.get(request.target.partition(b"?")[0])
        if page is None:
            self._others(request)
        elif request.method not in (b"GET", b"HEAD"):
            allow = ((b"Allow", b"GET, HEAD"),)
            request.reply(HttpResponse(405, error_body("this path takes GET, HEAD"), headers=allow))
        else:
            page(request)
