"""One request on its way to its pod, and the answer on its way back, both at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import h11

from modelservice_activator.relaying.hop_by_hop import end_to_end
from modelservice_activator.relaying.lost import LostPodError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.relaying.visit import Visit

MAX_HEAD_BYTES = 64 * 1024


class Exchange:
    """Passes one request on, byte by byte as it comes, and its answer back."""

    def __init__(
        self,
        client: h11.Connection,
        visit: Visit,
        next_event: Callable[[], Awaitable[h11.Event | type[h11.PAUSED]]],
    ) -> None:
        self._client = client
        self._visit = visit
        self._next_event = next_event
        self._pod = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._bad_body: h11.RemoteProtocolError | None = None

    async def run(self, request: h11.Request, pod: Channel) -> None:
        """Pass the request on; raises LostPodError, or what is wrong with the request's body."""
        upload = asyncio.create_task(self._upload(request, pod), name="upload")
        try:
            await self._download(pod, upload)
        except (ConnectionError, h11.RemoteProtocolError) as error:
            if self._bad_body is not None:
                raise self._bad_body from None
            raise LostPodError from error
        finally:
            upload.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await upload

    async def _upload(self, request: h11.Request, pod: Channel) -> None:
        """Pass the head and the body on, no faster than the pod takes them.

        A pod that ends early has perhaps answered before; whether it has, the download finds out.
        """
        try:
            pod.write(self._pod.send(self._passed_on(request)) or b"")
            while self._client.their_state is h11.SEND_BODY:
                event = await self._next_event()
                if not isinstance(event, h11.Data | h11.EndOfMessage):
                    return
                pod.write(self._pod.send(event) or b"")
                await pod.drain()
        except ConnectionError:
            return
        except h11.RemoteProtocolError as error:
            self._bad_body = error
            pod.abort()
        except BaseException:
            # Whatever it was: nobody may wait for the answer to half a request.
            pod.abort()
            raise

    async def _download(self, pod: Channel, upload: asyncio.Task[None]) -> None:
        """Pass the answer back, no faster than the client takes it."""
        while True:
            event = self._pod.next_event()
            if event is h11.NEED_DATA:
                self._pod.receive_data(await pod.read())
            elif isinstance(event, h11.InformationalResponse):
                self._write_informational(event)
            elif isinstance(event, h11.Response):
                self._write(self._passed_back(event, is_whole=upload.done()))
            elif isinstance(event, h11.Data):
                self._write(event)
                await self._visit.channel.drain()
            elif isinstance(event, h11.EndOfMessage):
                # Clients of HTTP/1.0 know no trailers.
                self._write(h11.EndOfMessage() if self._client.their_http_version == b"1.0" else event)
                return
            else:
                raise ConnectionResetError("the pod ended without an answer")

    def _passed_on(self, request: h11.Request) -> h11.Request:
        """The request's head, for a connection that serves it alone."""
        headers = end_to_end(request.headers.raw_items())
        names = {name for name, _ in request.headers}
        if b"host" not in names:  # it is of HTTP/1.0
            namespace, name = self._visit.key
            headers.append((b"Host", f"{name}.{namespace}".encode()))
        if b"transfer-encoding" in names:
            headers.append((b"Transfer-Encoding", b"chunked"))
        headers.append((b"Connection", b"close"))
        return h11.Request(method=request.method, target=request.target, headers=headers)

    def _write_informational(self, event: h11.InformationalResponse) -> None:
        """Clients of HTTP/1.0 know no answers before the answer."""
        if self._client.their_http_version != b"1.0":
            headers = end_to_end(event.headers.raw_items())
            self._write(
                h11.InformationalResponse(status_code=event.status_code, headers=headers, reason=event.reason)
            )

    def _passed_back(self, response: h11.Response, *, is_whole: bool) -> h11.Response:
        """The answer's head; it ends the connection where the client should go, or still sends."""
        headers = end_to_end(response.headers.raw_items())
        if any(name == b"transfer-encoding" for name, _ in response.headers):
            headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        if self._visit.is_retired or not is_whole:
            headers.append((b"Connection", b"close"))
        return h11.Response(status_code=response.status_code, headers=headers, reason=response.reason)

    def _write(self, event: h11.Event) -> None:
        self._visit.channel.write(self._client.send(event) or b"")
