from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import pytest
from tests.unit.runtime.transport.http2.grpc_server_thread import GrpcServerThread, wait_until
from tests.unit.runtime.transport.http2.raw_client import PREFACE, RawClient, settings

from modelservice_runtime.transport.http2.limits import Http2Limits

# Small enough to be reached in a moment; times as they are, which no test comes near.
SMALL = Http2Limits(
    max_connections=8,
    max_streams=10,
    max_streams_in_all=16,
    max_message_bytes=200_000,
    max_buffered_bytes=600_000,
    max_header_block_bytes=20_000,
    max_frame_bytes=16_384,
    stream_window_bytes=65_535,
    connection_window_bytes=262_144,
    unsent_high_bytes=50_000,
    allowance_burst=400,
    allowance_per_second=50,
)
IMPATIENT = replace(
    SMALL,
    head_timeout_seconds=0.3,
    body_grace_seconds=0.3,
    min_body_bytes_per_second=1e9,
    write_stall_seconds=0.4,
    stream_stall_seconds=0.4,
    linger_seconds=0.3,
    leave_seconds=0.3,
)

Connect: TypeAlias = Callable[..., RawClient]


@pytest.fixture(scope="package")
def server() -> Iterator[GrpcServerThread]:
    """A server with the default limits."""
    with GrpcServerThread() as running:
        yield running


@pytest.fixture(scope="package")
def small() -> Iterator[GrpcServerThread]:
    """A server with small limits."""
    with GrpcServerThread(SMALL) as running:
        yield running


@pytest.fixture(scope="package")
def impatient() -> Iterator[GrpcServerThread]:
    """A server with small limits and short timeouts."""
    with GrpcServerThread(IMPATIENT) as running:
        yield running


def is_empty(server: GrpcServerThread) -> bool:
    """Whether nothing is left of any connection."""
    counts = server.server
    return not (counts.connections or counts.open_streams or counts.buffered_bytes)


def _connector(server: GrpcServerThread) -> Iterator[Connect]:
    opened: list[RawClient] = []

    def connect(greeting: bytes = PREFACE + settings()) -> RawClient:
        opened.append(RawClient(server.connect(), greeting))
        return opened[-1]

    yield connect
    for client in opened:
        client.socket.close()
    wait_until(lambda: is_empty(server))


@pytest.fixture
def connect(server: GrpcServerThread) -> Iterator[Connect]:
    """Makes connections; at the end nothing may be left of them."""
    yield from _connector(server)


@pytest.fixture
def connect_small(small: GrpcServerThread) -> Iterator[Connect]:
    """The same to the server with small limits."""
    yield from _connector(small)


@pytest.fixture
def connect_impatient(impatient: GrpcServerThread) -> Iterator[Connect]:
    """The same to the server with short timeouts."""
    yield from _connector(impatient)
