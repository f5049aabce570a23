"""A proxy in front of the real API server that loses, delays, refuses and cuts what a test tells it to.

It speaks plain HTTP on loopback to the operator and TLS with the cluster's credentials to the API server.
It runs in a thread with its own event loop, so tests may block.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectionError, ClientSession, ClientTimeout, TCPConnector, web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

HOP_HEADERS = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


@dataclass(frozen=True)
class Request:
    """What a rule may look at."""

    method: str
    path: str
    query: dict[str, str]
    number: int
    """Of all writes so far, counting this one; 0 for a read."""
    body: str = ""
    """What a write says: a write that should not have been is explained by it."""

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def is_write(self) -> bool:
        """A write to anything but the leader election's Lease and Kubernetes events."""
        return self.method != "GET" and "/leases" not in self.path and "/events" not in self.path


@dataclass
class Rule:
    """What happens to the requests that `matches` chooses, at most `times` times."""

    matches: Callable[[Request], bool]
    action: str
    """`lose` (not forwarded, connection cut), `lose-answer` (forwarded, then cut), `refuse` (see status),
    `events` (a watch: these lines, then the end), `hold` (a watch that stays open and silent)."""
    times: int = 1_000_000
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    lines: tuple[dict[str, Any], ...] = ()
    used: int = 0
    callback: Callable[[], None] | None = None
    """Called when the rule strikes, before the operator can see anything of it."""


class FaultProxy:
    """Start it with `with`; the operator's kubeconfig names `url`."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._writes = 0
        self._watches: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self.url = ""
        self.requests: list[Request] = []

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(120)
        self._loop.close()

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force; the first one that matches is used."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forward everything again."""
        with self._lock:
            self._rules.clear()

    def forget(self) -> None:
        """Start counting writes and noting requests anew."""
        with self._lock:
            self._writes = 0
            self.requests.clear()

    def cut_watches(self) -> None:
        """Cut every open watch in the middle."""
        self._call(self._cut_watches())

    def writes(self) -> list[Request]:
        """The writes that arrived here since `forget`."""
        with self._lock:
            return [request for request in self.requests if request.is_write]

    async def _start(self) -> None:
        connector = TCPConnector(ssl=self._context, limit=0)
        self._session = ClientSession(connector=connector, auto_decompress=False)
        application = web.Application(client_max_size=8 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._cut_watches()
        await self._runner.cleanup()
        await self._session.close()
        # Transports of cut requests close in the background; nothing tells when the last one has.
        await asyncio.sleep(0.3)

    async def _cut_watches(self) -> None:
        tasks = list(self._watches)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, request: web.Request, body: str) -> tuple[Request, Rule | None]:
        with self._lock:
            query = dict(request.query)
            seen = Request(request.method, request.path, query, 0, body)
            if seen.is_write:
                self._writes += 1
                seen = replace(seen, number=self._writes)
            self.requests.append(seen)
            for rule in self._rules:
                if rule.used < rule.times and rule.matches(seen):
                    rule.used += 1
                    return seen, rule
        return seen, None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen, rule = self._note(request, await request.text())
        action = rule.action if rule else "forward"
        if rule and action == "lose":
            return await self._cut(request, rule)
        if rule and action == "refuse":
            return web.json_response(
                {"kind": "Status", **rule.body}, status=rule.status, headers=rule.headers
            )
        if rule and action == "events":
            return web.Response(text="".join(json.dumps(line) + "\n" for line in rule.lines))
        if rule and action == "hold":
            return await self._hold(request)
        if seen.is_watch:
            return await self._forward_watch(request)
        response = await self._forward(request)
        if rule and action == "lose-answer":
            return await self._cut(request, rule)
        return response

    @staticmethod
    async def _cut(request: web.Request, rule: Rule) -> web.Response:
        if rule.callback is not None:
            rule.callback()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _hold(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            await asyncio.Event().wait()
        finally:
            self._watches.discard(task)
        return response

    def _upstream(self, request: web.Request, data: bytes | None) -> Any:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_HEADERS}
        return self._session.request(
            request.method,
            self._server + request.raw_path,
            data=data,
            headers=headers,
            skip_auto_headers=("Content-Type",),
            timeout=ClientTimeout(total=None),
        )

    async def _forward(self, request: web.Request) -> web.Response:
        async with self._upstream(request, await request.read() or None) as answer:
            headers = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_HEADERS}
            return web.Response(body=await answer.read(), status=answer.status, headers=headers)

    async def _forward_watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        task = asyncio.current_task()
        assert task is not None
        async with self._upstream(request, None) as answer:
            response.set_status(answer.status)
            await response.prepare(request)
            self._watches.add(task)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except (asyncio.CancelledError, ClientConnectionError):
                if request.transport is not None:
                    request.transport.abort()
            finally:
                self._watches.discard(task)
        return response
