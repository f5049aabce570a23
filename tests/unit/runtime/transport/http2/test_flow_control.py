"""Windows in both directions, slow readers, and an independent HTTP/2 implementation as the client."""

import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.unit.runtime.transport.http2.conftest import SMALL, Connect
from tests.unit.runtime.transport.http2.grpc_server_thread import GrpcServerThread, wait_until
from tests.unit.runtime.transport.http2.raw_client import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    RawClient,
    block,
    call,
    frame,
    prefixed,
    settings,
    window_update,
)

from modelservice_runtime.transport.http2.framing.errors import ErrorCode


def read_data(client: RawClient, size: int) -> int:
    """Read DATA frames until `size` bytes have come; returns how many have."""
    received = 0
    while received < size:
        received += len(client.next(DATA).payload)
    return received


def assert_silent(client: RawClient) -> None:
    """Nothing but the answer to a PING comes."""
    client.send(frame(6, payload=b"sequence"))
    item = next(client.frames())
    assert item.payload == b"sequence", item


def test_large_answer_waits_for_both_windows(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 100)))
    client.send(call(1, b"size 602112"))
    assert read_data(client, 100) == 100
    assert_silent(client)
    client.send(window_update(1, 100_000))
    assert read_data(client, 65_435) == 65_435
    assert_silent(client)
    client.send(window_update(0, 1_000_000))
    assert read_data(client, 34_565) == 34_565
    client.send(window_update(1, 1_000_000))
    _, rest = client.answer(1)
    assert len(rest) == 602_117 - 100_100


def test_smaller_initial_window_makes_open_windows_negative(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 1000)))
    client.send(call(1, b"size 3000"))
    assert read_data(client, 1000) == 1000
    client.send(settings((0x4, 200)))
    client.next(SETTINGS)
    client.send(window_update(1, 800))
    assert_silent(client)
    client.send(window_update(1, 1))
    assert len(client.next(DATA).payload) == 1
    client.send(settings((0x4, 65_535)))
    _, rest = client.answer(1)
    assert len(rest) == 3005 - 1001


def test_settings_are_acknowledged_before_the_data_that_they_allow(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 0)))
    client.send(call(1, b"size 5000"))
    client.next(HEADERS)
    client.send(settings((0x4, 100)))
    kinds = [item.kind for _, item in zip(range(2), client.frames(), strict=False)]
    assert kinds == [SETTINGS, DATA]
    client.socket.close()


def test_small_answers_go_past_one_that_waits(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 100)))
    client.send(call(1, b"size 5000") + call(3))
    assert client.answer(3)[1] == prefixed(b"hi")
    client.send(window_update(1, 10_000))
    client.answer(1)


def test_answers_take_turns(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 10_000_000)))
    client.send(call(1, b"size 600000") + call(3, b"size 600000") + window_update(0, 10_000_000))
    order = []
    ended = 0
    for item in client.frames():
        if item.kind == DATA:
            order.append(item.stream_id)
        elif item.kind == HEADERS and item.flags & END_STREAM:
            ended += 1
            if ended == 2:
                break
    assert 3 in order[: len(order) // 2]


def test_client_frame_size_is_kept(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 10_000_000)) + window_update(0, 10_000_000))
    client.send(call(1, b"size 100000"))
    sizes = []
    for item in client.frames():
        if item.kind == DATA:
            sizes.append(len(item.payload))
            if item.flags & END_STREAM:
                break
        if item.kind == HEADERS and item.flags & END_STREAM:
            break
    assert max(sizes) == 16_384


def test_header_table_of_a_client_that_wants_none_is_emptied_first(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x1, 0)))
    client.decoder.max_allowed_table_size = 0
    client.send(call(1) + call(3))
    assert client.answer(1)[0]["grpc-status"] == "0"
    assert client.answer(3)[1] == prefixed(b"hi")


def test_more_data_than_the_stream_window_is_a_flow_control_error(connect_small: Connect) -> None:
    client = connect_small(PREFACE + settings((0x4, 0)))
    client.send(call(1, None, "/test.Test/Chat") + frame(DATA, 0, 1, prefixed(b"size 60000")))
    client.send(frame(DATA, 0, 1, bytes(16_000)) * 5)
    assert client.reset_code(1) is ErrorCode.FLOW_CONTROL_ERROR
    client.ping()


def test_windows_are_given_back_for_what_is_received(connect_small: Connect) -> None:
    client = connect_small()
    head = frame(HEADERS, END_HEADERS, 1, block())
    message = prefixed(bytes(190_000))
    client.send(head)
    window = SMALL.stream_window_bytes
    while message:
        part, message = (
            message[: min(window, 16_384)],
            message[16_384:] if window >= 16_384 else message[window:],
        )
        window -= len(part)
        client.send(frame(DATA, 0 if message else END_STREAM, 1, part))
        while message and not window:
            window += int.from_bytes(client.next(WINDOW_UPDATE, 1).payload)
    client.send(window_update(0, 10**6) + window_update(1, 10**6))
    assert len(client.answer(1)[1]) == 190_005


def test_client_that_grants_no_window_loses_its_call_only(connect_impatient: Connect) -> None:
    client = connect_impatient(PREFACE + settings((0x4, 0)))
    client.send(call(1, b"size 1000"))
    assert client.reset_code(1) is ErrorCode.ENHANCE_YOUR_CALM
    client.ping()


def test_requests_of_a_call_wait_while_its_answers_do(connect: Connect, server: GrpcServerThread) -> None:
    client = connect(PREFACE + settings((0x4, 1000)))
    client.send(call(1, None, "/test.Test/Chat") + frame(DATA, 0, 1, prefixed(b"size 50000") * 200))
    client.ping()
    # 200 answers would be 10 MB; a few were made before the rest had to wait.
    assert server.server.buffered_bytes < 500_000
    client.send(frame(DATA, END_STREAM, 1, prefixed(b"last")))
    client.send(window_update(0, 2**30) + window_update(1, 2**30))
    _, data = client.answer(1)
    assert len(data) == 200 * 50_005 + 9 - 1000  # the window that was there came before the PING
    assert data.endswith(b"last")


def test_answers_over_the_servers_buffers_are_refused(connect_small: Connect) -> None:
    client = connect_small(PREFACE + settings((0x4, 1)))
    client.send(b"".join([call(stream_id, b"size 190000") for stream_id in range(1, 9, 2)]))
    headers, _ = client.answer(7)
    assert headers["grpc-status"] == "8"
    client.socket.close()


def test_client_that_does_not_read_is_cut_off(
    connect_impatient: Connect, impatient: GrpcServerThread
) -> None:
    client = connect_impatient(PREFACE + settings((0x4, 2**31 - 1)) + window_update(0, 2**30))
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(call(1, None, "/test.Test/Chat"))
    client.socket.settimeout(0.2)
    for _ in range(10_000):
        try:
            client.send(frame(DATA, 0, 1, prefixed(b"size 190000")))
        except OSError:
            break
    wait_until(lambda: not impatient.server.connections)


def test_slow_reader_gets_everything(connect: Connect) -> None:
    client = connect(PREFACE + settings((0x4, 2**31 - 1)) + window_update(0, 2**30))
    client.send(b"".join([call(stream_id, b"size 3000000") for stream_id in range(1, 9, 2)]))
    time.sleep(0.2)
    received = 0
    ended = 0
    for item in client.frames():
        received += len(item.payload) if item.kind == DATA else 0
        ended += item.kind == HEADERS and item.flags & END_STREAM
        if ended == 4:
            break
    assert received == 4 * 3_000_005


class Peer:
    """An HTTP/2 client by the h2 library, which checks everything the server sends."""

    def __init__(self, connection: socket.socket, window: int, frame_bytes: int) -> None:
        self.socket = connection
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        codes = h2.settings.SettingCodes
        changes = {
            codes.INITIAL_WINDOW_SIZE: window,
            codes.MAX_FRAME_SIZE: frame_bytes,
            codes.HEADER_TABLE_SIZE: 0,
        }
        self.h2.update_settings(changes)
        self.socket.sendall(self.h2.data_to_send())
        self.answers: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.statuses: set[bytes] = set()
        self.acknowledged = 0
        while self.acknowledged < 2:
            self.receive()

    def exchange(self, messages: list[bytes]) -> list[bytes]:
        pending: dict[int, bytes] = {}
        for message in messages:
            stream_id = self.h2.get_next_available_stream_id()
            headers = [(":method", "POST"), (":scheme", "http"), (":path", "/test.Test/Echo")]
            headers += [(":authority", "a"), ("content-type", "application/grpc"), ("te", "trailers")]
            self.h2.send_headers(stream_id, headers)
            pending[stream_id] = prefixed(message)
            self.answers[stream_id] = b""
        while len(self.ended) < len(messages):
            for stream_id in list(pending):
                self.send(stream_id, pending)
            self.socket.sendall(self.h2.data_to_send())
            self.receive()
        return [self.answers[stream_id] for stream_id in sorted(self.answers)]

    def send(self, stream_id: int, pending: dict[int, bytes]) -> None:
        data = pending[stream_id]
        size = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(data))
        if size:
            self.h2.send_data(stream_id, data[:size], end_stream=size == len(data))
            pending[stream_id] = data[size:]
        if not pending[stream_id]:
            del pending[stream_id]

    def receive(self) -> None:
        for event in self.h2.receive_data(self.socket.recv(65_536)):
            if isinstance(event, h2.events.DataReceived):
                self.answers[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.TrailersReceived):
                self.statuses.add(dict(event.headers)[b"grpc-status"])
            elif isinstance(event, h2.events.SettingsAcknowledged):
                self.acknowledged += 1
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated)


@given(
    sizes=st.lists(st.integers(0, 100_000), min_size=1, max_size=6),
    window=st.sampled_from([300, 16_384, 65_535, 1_000_000]),
    frame_bytes=st.sampled_from([16_384, 100_000]),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_echo_to_another_implementation_is_whole_whatever_its_windows(
    server: GrpcServerThread, sizes: list[int], window: int, frame_bytes: int
) -> None:
    messages = [bytes([size % 251]) * (size if window > 300 else size // 20) for size in sizes]
    with server.connect() as connection:
        peer = Peer(connection, window, frame_bytes)
        assert peer.exchange(messages) == [prefixed(message) for message in messages]
    assert peer.statuses == {b"0"}
