"""`GET /services/NAMESPACE/NAME`: whether clients of a service may be led here. The operator asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from modelservice_activator.listening.doors import Doors

PATH = "/services/{namespace}/{name}"


def services_handler(doors: Doors) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler: 200 with the ports on which clients are awaited, or 404 and why not."""

    async def handle(request: web.Request) -> web.Response:
        ports = doors.ports_of((request.match_info["namespace"], request.match_info["name"]))
        if isinstance(ports, str):
            return web.json_response({"error": ports}, status=404)
        return web.json_response({"ports": dict(ports)})

    return handle
