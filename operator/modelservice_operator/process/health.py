"""The operator's own HTTP: `/healthz`, `/readyz` and `/metrics`. Served by us: a probe must never wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from prometheus_client import CollectorRegistry


class HealthServer:
    """Answers probes from two functions, metrics from `registry` and `more`, and `routes` as they say."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        alive: Callable[[], bool],
        ready: Callable[[], bool],
        registry: CollectorRegistry,
        more: Callable[[], Awaitable[Sequence[bytes | bytearray]]] | None = None,
        routes: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] | None = None,
    ) -> None:
        # asyncio would take :: for IPv6 alone; for None it opens those of both families that the kernel has.
        self._host = None if host == "::" else host
        self._port = port
        self._checks = {"/healthz": alive, "/readyz": ready}
        self._registry = registry
        self._more = more
        self._routes = {**(routes or {}), "/metrics": self._metrics}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises OSError where the port is taken."""
        application = web.Application()
        for path in self._checks:
            application.router.add_get(path, self._probe)
        for path, handler in self._routes.items():
            application.router.add_get(path, handler)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _probe(self, request: web.Request) -> web.Response:
        good = self._checks[request.path]()
        return web.Response(text="ok" if good else "not ready", status=200 if good else 503)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        # What there is more is read first: the registry says how much was left out of it.
        parts = await self._more() if self._more is not None else ()
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE_LATEST})
        await response.prepare(request)
        await response.write(generate_latest(self._registry))
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response
