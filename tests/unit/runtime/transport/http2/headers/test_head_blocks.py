"""Blocks whose meaning is kept: clients of several people, such as proxies, must never be mixed up."""

import hpack
from hypothesis import given
from hypothesis.strategies import booleans, lists, sampled_from, tuples
from tests.unit.runtime.transport.http2 import raw_client as raw
from tests.unit.runtime.transport.http2.offline_connection import FakeLoop, FakeTransport

from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall
from modelservice_runtime.transport.http2.connection import Connection
from modelservice_runtime.transport.http2.limits import Http2Limits

# Without an index, so that nothing but the user's place in the table tells two blocks apart.
CALL = [
    hpack.NeverIndexedHeaderTuple(*header)
    for header in (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/t.T/Ask"),
        ("content-type", "application/grpc"),
    )
]
USERS = ("ann", "bob", "cid")


class Talk:
    """A client with so large a dynamic table, and what the service heard of its users."""

    def __init__(self, table_bytes: int = 4096) -> None:
        self.heard: list[str] = []
        self._loop = FakeLoop()
        server = GrpcServer({"/t.T/Ask": self._open}, Http2Limits(), self._loop)  # type: ignore[arg-type]
        self._connection = Connection(server)
        self._connection.connection_made(FakeTransport())  # type: ignore[arg-type]
        self._encoder = hpack.Encoder()
        self._encoder.header_table_size = table_bytes
        self._connection.data_received(raw.PREFACE + raw.settings())
        self._next_id = 1

    def _open(self, call: GrpcCall) -> CallHandler:
        self.heard.append(call.metadata[b"user"].decode())
        return Silent()

    def ask(self, user: str, *, wrongly: bool = False, trailers: str = "") -> None:
        """A call for a user; `wrongly` makes it no HTTP/2 request, `trailers` end it with such a header."""
        wrong = [hpack.NeverIndexedHeaderTuple("Upper", "case")] if wrongly else []
        self._send([*CALL, ("user", user), *wrong], ended=not trailers)
        if trailers:
            self._send([("user", trailers)], ended=True)
        self._next_id += 2

    def _send(self, headers: list[tuple[str, str]], *, ended: bool) -> None:
        flags = raw.END_HEADERS | (raw.END_STREAM if ended else 0)
        frame = raw.frame(raw.HEADERS, flags, self._next_id, self._encoder.encode(headers))
        self._connection.data_received(frame)
        self._loop.run()


class Silent:
    """Takes everything and answers nothing."""

    def on_message(self, message: bytes) -> None:
        return

    def on_end(self) -> None:
        return

    def on_cancel(self) -> None:
        return


@given(
    sampled_from((4096, 160)),
    lists(tuples(sampled_from(USERS), booleans(), sampled_from(("", "", *USERS))), max_size=30),
)
def test_every_call_is_its_own_users_whatever_came_before(
    table_bytes: int, calls: list[tuple[str, bool, str]]
) -> None:
    talk = Talk(table_bytes)
    for user, wrongly, trailers in calls:
        talk.ask(user, wrongly=wrongly, trailers="" if wrongly else trailers)
    assert talk.heard == [user for user, wrongly, _ in calls if not wrongly]


def test_trailers_that_move_the_table_end_what_is_known() -> None:
    talk = Talk()
    for _ in range(4):
        talk.ask("ann")
    talk.ask("ann", trailers="bob")
    talk.ask("bob")
    talk.ask("ann")
    assert talk.heard == [*["ann"] * 5, "bob", "ann"]


def test_malformed_request_that_moves_the_table_ends_what_is_known() -> None:
    talk = Talk()
    for _ in range(4):
        talk.ask("ann")
    talk.ask("bob", wrongly=True)
    talk.ask("bob")
    assert talk.heard == [*["ann"] * 4, "bob"]
