"""What fake pods say when the operator asks them what they loaded: every address of theirs is answered here.

Without that a change waits for an answer that no fake pod gives. It needs root, for a route.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from aiohttp import web
from hack.cluster.components import KWOK_POD_CIDR

from modelservice_operator.facts.ports import METRICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
_MODEL = {"name": "m", "version": "1", "sha256": "0" * 64, "inputs": [_TENSOR], "outputs": [_TENSOR]}


@contextlib.contextmanager
def route_to_pods() -> Iterator[bool]:
    """Let the addresses of fake pods lead here; whether that can be done."""
    if os.geteuid() != 0:
        yield False
        return
    route = ["local", KWOK_POD_CIDR, "dev", "lo"]
    subprocess.run(["ip", "route", "replace", *route], check=True)
    try:
        yield True
    finally:
        subprocess.run(["ip", "route", "del", *route], check=True)


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Answer whoever asks a fake pod for its report."""

    async def report(_: web.Request) -> web.Response:
        return web.json_response({"digestsComplete": True, "models": [_MODEL]})

    application = web.Application()
    application.router.add_get("/report", report)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", METRICS).start()
        yield
    finally:
        await runner.cleanup()
