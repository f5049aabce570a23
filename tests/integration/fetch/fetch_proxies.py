"""A forwarding proxy on loopback."""

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """A proxy on loopback: CONNECT, and plain requests that it answers itself."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    answer: bytes = b""
    """Sent instead of a tunnel, if given."""

    def environment(self, user: str = "") -> dict[str, str]:
        return {"HTTPS_PROXY": f"http://{user}127.0.0.1:{self.port}", "http_proxy": f"127.0.0.1:{self.port}"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target = head.split(" ", 2)[:2]
        if self.answer or method != "CONNECT":
            writer.write(self.answer)
        else:
            host, _, port = target.rpartition(":")
            upstream, down = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(copy(reader, down), copy(upstream, writer))
        writer.close()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
