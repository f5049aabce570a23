"""The questions to pods: short, few at once, and of no more bytes than an answer has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import aiohttp

from modelservice_autoscaler import metrics
from modelservice_autoscaler.looking.answer import parse_answer
from modelservice_operator.client.answers import read_body
from modelservice_operator.facts import ports

if TYPE_CHECKING:
    from modelservice_autoscaler.looking.answer import Answer

PATH = "/load"
TIMEOUT = aiohttp.ClientTimeout(total=1.0)
"""A pod that takes longer is missing data until the next look, a second later."""
LARGEST_ANSWER_BYTES = 64 * 1024
"""Of a server with 16 GPUs it is 3 KiB."""
AT_ONCE = 256
"""Questions under way. At 90 us each the loop never has more to do; addresses that swallow packets, a node's
worth of them, leave room for the others."""


class PodClient:
    """Asks pods how busy they are. Open it with `async with`."""

    def __init__(self, port: int = ports.METRICS) -> None:
        self._port = port
        self._places = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # A connection for each pod is kept: they are asked again in a second.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, address: str) -> Answer | None:
        """What the pod at this address says; None where it says nothing that can be used."""
        try:
            async with (
                self._places,
                self._session.get(self._url(address), allow_redirects=False, timeout=TIMEOUT) as response,
            ):
                if response.status != 200:
                    raise ValueError(f"it answers {response.status}")
                raw = await read_body(response.content, LARGEST_ANSWER_BYTES)
            answer = parse_answer(raw)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            metrics.LOOKS.labels("silent").inc()
            return None
        metrics.LOOKS.labels("ok").inc()
        return answer

    def _url(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self._port}{PATH}"
