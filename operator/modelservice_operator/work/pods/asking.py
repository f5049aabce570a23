"""How a pod, or anything else that is not the API server, is asked: where it listens, how much is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts import ports
from modelservice_operator.facts.names import SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp


def metrics_url(pod: Mapping[str, Any], path: str) -> str:
    """Address of a path on the metrics port of a pod that has an address."""
    address = str((pod.get("status") or {}).get("podIP") or "")
    host = f"[{address}]" if ":" in address else address
    listed = podlib.container_spec(pod, SERVER_CONTAINER).get("ports") or ()
    port = next(
        (one["containerPort"] for one in listed if one.get("name") == ports.METRICS_NAME), ports.METRICS
    )
    return f"http://{host}:{port}{path}"


async def read_body(content: aiohttp.StreamReader, limit_bytes: int) -> bytes:
    """A body of at most so many bytes; ValueError for a longer one."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > limit_bytes:
            raise ValueError(f"the answer is longer than {limit_bytes} bytes")
    return bytes(raw)
