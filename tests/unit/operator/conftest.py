"""A loopback server with prepared answers: for faults that a real API server cannot be asked to make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from modelservice_operator.client.credentials import Credentials
from modelservice_operator.client.kubeapi import ApiClient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedServer:
    """Answers the requests to a path (or to any path) by the handlers given, the last one for ever."""

    handlers: list[Handler] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return await handler(request)

    def answer(self, *answers: web.Response | Handler) -> None:
        """What to answer, in this order."""
        self.handlers = [one if callable(one) else _always(one) for one in answers]


def _always(response: web.Response) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=response.body, status=response.status, headers=response.headers)

    return handler


class FakeTokens:
    """Tokens that change when they are refreshed."""

    def __init__(self) -> None:
        self.number = 1

    def authorization(self) -> str:
        return f"Bearer token-{self.number}"

    def refresh(self) -> None:
        self.number += 1


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def api(server: ScriptedServer) -> AsyncIterator[ApiClient]:
    credentials = Credentials(server=server.url, ssl_context=None, tokens=FakeTokens())
    async with ApiClient(credentials) as client:
        yield client
