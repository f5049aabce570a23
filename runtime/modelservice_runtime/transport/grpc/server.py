"""The gRPC port: services by path over HTTP/2."""

import asyncio
from collections.abc import Collection, Mapping

from modelservice_runtime.transport.grpc.call import ServerCall
from modelservice_runtime.transport.grpc.head import TOO_MANY_CONNECTIONS, CallHead, HeadParser
from modelservice_runtime.transport.grpc.stream import Admission, Service
from modelservice_runtime.transport.http2.headers.hpack import Header
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.http2.server import Http2Server
from modelservice_runtime.transport.http2.stream import StreamOwner


class GrpcServer(Http2Server):
    """Serves `services`, a function for each full method path such as `/package.Service/Method`.

    `admit`, if set, is asked before any service, for every call. Calls to the paths in `probes` are
    answered also where there are too many connections; those to `open_paths`, which everybody may call, take
    messages of 1 KiB at most.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        limits: Http2Limits,
        loop: asyncio.AbstractEventLoop,
        admit: Admission | None = None,
        probes: Collection[str] = (),
        open_paths: Collection[str] = (),
    ) -> None:
        super().__init__(limits, loop)
        self._probes = probes
        self.admit = admit
        self._parser = HeadParser(services, open_paths)

    def parse_head(self, headers: list[Header] | None) -> CallHead:
        """See `Http2Port`."""
        return self._parser.parse(headers)

    def open_stream(self, session: StreamOwner, stream_id: int, head: CallHead) -> ServerCall:
        """See `Http2Port`."""
        return ServerCall(self, session, stream_id, head)

    def open_probe(self, session: StreamOwner, stream_id: int, head: CallHead) -> ServerCall:
        """See `Http2Port`."""
        return self.open_stream(
            session, stream_id, head if head.path in self._probes else TOO_MANY_CONNECTIONS
        )
