"""An unmodified client of another implementation."""

import os
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from tests.unit.runtime.transport.http2.conftest import is_empty
from tests.unit.runtime.transport.http2.grpc_server_thread import GrpcServerThread, Never, wait_until

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture
def channel(server: GrpcServerThread) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=UNLIMITED) as opened:
        yield opened
    wait_until(lambda: is_empty(server))


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 1000, 16_384, 65_530, 65_536, 602_112, 5_000_000])
def test_unary_call_of_any_size_comes_back_whole(channel: grpc.Channel, size: int) -> None:
    assert channel.unary_unary("/test.Test/Echo")(pattern(size), timeout=120) == pattern(size)


def test_many_calls_at_once_are_all_answered(channel: grpc.Channel) -> None:
    echo = channel.unary_unary("/test.Test/Echo")
    later = channel.unary_unary("/test.Test/Later")
    messages = [pattern(size * 97) for size in range(300)]
    futures = [(echo if index % 2 else later).future(message) for index, message in enumerate(messages)]
    assert [future.result(timeout=120) for future in futures] == messages


def test_answers_over_all_windows_at_once_are_complete(channel: grpc.Channel) -> None:
    echo = channel.unary_unary("/test.Test/Echo")
    futures = [echo.future(b"size 602112") for _ in range(16)]
    assert {len(future.result(timeout=120)) for future in futures} == {602_112}


def test_streaming_call_answers_every_message(channel: grpc.Channel) -> None:
    chat = channel.stream_stream("/test.Test/Chat")
    messages = [pattern(size) for size in (0, 1, 70_000, 5)] + [b"size 600000"]
    answers = list(chat(iter(messages), timeout=120))
    assert answers[:-1] == messages[:-1]
    assert len(answers[-1]) == 600_000


def test_streaming_client_that_reads_late_gets_everything(channel: grpc.Channel) -> None:
    answers = channel.stream_stream("/test.Test/Chat")(iter([b"size 300000"] * 40), timeout=120)
    time.sleep(0.3)
    assert [len(answer) for answer in answers] == [300_000] * 40


def test_conversation_goes_back_and_forth(channel: grpc.Channel) -> None:
    turn = threading.Semaphore(1)

    def ask() -> Iterator[bytes]:
        for number in range(50):
            turn.acquire()
            yield b"%d" % number

    received = []
    for answer in channel.stream_stream("/test.Test/Chat")(ask(), timeout=120):
        received.append(answer)
        turn.release()
    assert received == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_large_messages_count_until_they_are_answered(
    small: GrpcServerThread, compression: grpc.Compression
) -> None:
    message = os.urandom(150_000)
    with grpc.insecure_channel(f"127.0.0.1:{small.port}", compression=compression) as channel:
        never = channel.unary_unary("/test.Test/Never")
        calls = [never.future(message) for _ in range(4)]
        wait_until(lambda: small.server.buffered_bytes == 4 * 150_000)
        with pytest.raises(grpc.RpcError) as caught:
            never(message, timeout=120)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in calls:
            call.cancel()
        wait_until(lambda: small.server.buffered_bytes == 0)
        chat = channel.stream_stream("/test.Test/Chat")
        assert list(chat(iter([message] * 10), timeout=120)) == [message] * 10
    wait_until(lambda: small.server.buffered_bytes == 0)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_call_is_answered_compressed(channel: grpc.Channel, compression: grpc.Compression) -> None:
    echo = channel.unary_unary("/test.Test/Echo")
    answer, call = echo.with_call(b"x" * 100_000, compression=compression, timeout=120)
    assert answer == b"x" * 100_000
    assert echo(b"short", compression=compression, timeout=120) == b"short"
    assert call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("method", "message", "code", "details"),
    [
        ("Failing", b"grpc", grpc.StatusCode.NOT_FOUND, "no such mödel: 100%"),
        ("Failing", b"", grpc.StatusCode.INTERNAL, "internal error; the server's log has the details"),
        ("Nope", b"", grpc.StatusCode.UNIMPLEMENTED, "there is no method '/test.Test/Nope'"),
    ],
)
def test_failed_call_has_status_and_sentence(
    channel: grpc.Channel, method: str, message: bytes, code: grpc.StatusCode, details: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/test.Test/{method}")(message, timeout=120)
    assert (caught.value.code(), caught.value.details()) == (code, details)


def test_deadline_cancels_the_handler(channel: grpc.Channel) -> None:
    cancelled = Never.cancelled

    def is_cancelled() -> bool:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test.Test/Never")(b"", timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return Never.cancelled > cancelled

    wait_until(is_cancelled)  # more than one call where a busy machine lets none begin in time


def test_cancelled_calls_leave_nothing_behind(channel: grpc.Channel, server: GrpcServerThread) -> None:
    cancelled = Never.cancelled
    never = channel.unary_unary("/test.Test/Never")
    futures = [never.future(b"") for _ in range(200)]
    wait_until(lambda: server.server.open_streams == 200)
    for future in futures:
        future.cancel()
    wait_until(lambda: Never.cancelled == cancelled + 200)
    wait_until(lambda: server.server.open_streams == 0)
    assert channel.unary_unary("/test.Test/Echo")(b"still here", timeout=120) == b"still here"


def test_thousands_of_cancelled_calls_leave_nothing_behind(
    channel: grpc.Channel, server: GrpcServerThread
) -> None:
    never, echo = channel.unary_unary("/test.Test/Never"), channel.unary_unary("/test.Test/Echo")
    for _ in range(15):
        futures = [never.future(b"") for _ in range(200)]
        for future in futures:
            future.cancel()
    assert echo(b"still here", timeout=120, wait_for_ready=True) == b"still here"
    wait_until(lambda: server.server.open_streams == 0)


def test_client_that_closes_cancels_its_calls(server: GrpcServerThread) -> None:
    cancelled = Never.cancelled
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        pending = channel.unary_unary("/test.Test/Never").future(b"")
        wait_until(lambda: server.server.open_streams == 1)
        assert not pending.done()
    wait_until(lambda: Never.cancelled == cancelled + 1)


def test_metadata_arrives(channel: grpc.Channel) -> None:
    metadata = (("a", "b"), ("a", "c"), ("x-bin", b"\x00\xff"))
    text = channel.unary_unary("/test.Test/Describe")(b"", timeout=120, metadata=metadata).decode()
    path, timeout, *lines = text.split("\n")
    assert path == "/test.Test/Describe"
    assert 60 < float(timeout) <= 120  # what is left of it
    assert {"a=b,c", "x-bin=AP8", "content-type=application/grpc"} <= set(lines)


def test_large_metadata_is_resource_exhausted(channel: grpc.Channel) -> None:
    metadata = [(f"x-{index}", "v" * 1000) for index in range(14)]
    assert channel.unary_unary("/test.Test/Echo")(b"fits", timeout=120, metadata=metadata) == b"fits"
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Test/Echo")(b"", timeout=120, metadata=metadata * 2)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
