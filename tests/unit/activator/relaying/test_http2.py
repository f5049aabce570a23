"""HTTP/2 and gRPC through the activator, frame by frame; `tests/integration/activator` has real clients."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    PingAckReceived,
    RequestReceived,
    ResponseReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from hyperframe.frame import GoAwayFrame
from tests.support.activator import Pod, Rig, eventually, running_pod, running_rig
from tests.support.h2_peer import H2Peer, ask, ask_grpc, h2_client

from modelservice_activator.settings import ConnectionLimits, HoldLimits

Serve = Callable[[H2Peer], Awaitable[None]]
OK = [(":status", "200"), ("content-type", "application/grpc")]
DONE = [("grpc-status", "0")]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_rig() as running:
        yield running


@contextlib.asynccontextmanager
async def h2_pod(serve: Serve) -> AsyncIterator[Pod]:
    """A pod that speaks HTTP/2; `serve` has each connection, of which each has one request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError):
            await serve(H2Peer(reader, writer, is_client=False))
            await writer.drain()
            while await reader.read(65536):
                pass

    async with running_pod(answer) as pod:
        yield pod


async def echo(peer: H2Peer) -> None:
    """Answer with what came, when all has come."""
    await peer.until(StreamEnded, 1)
    peer.send(1, OK)
    await peer.send_body(1, peer.data(1), end=False)
    peer.send(1, DONE, end=True)


def fields(event: ResponseReceived | TrailersReceived | RequestReceived) -> dict[str, str]:
    return {str(name): str(value) for name, value in event.headers}


async def test_calls_that_wait_are_answered_each_once_with_their_trailers(rig: Rig) -> None:
    async with h2_pod(echo) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.api.on_wake = lambda: rig.give_pods(["127.0.0.1"], grpc=pod.port)
        for number in range(1, 201, 2):
            client.send(number, ask_grpc())
            await client.send_body(number, b"call %d" % number)
        for number in range(1, 201, 2):
            trailers = await client.until(TrailersReceived, number)
            assert fields(trailers) == {"grpc-status": "0"}
            assert client.data(number) == b"call %d" % number
        assert pod.connections == 100
    assert len(rig.api.writes) == 1


async def test_head_trailers_and_hints_pass_as_they_are(rig: Rig) -> None:
    async def speak(peer: H2Peer) -> None:
        await peer.until(RequestReceived)
        peer.send(1, [(":status", "103"), ("link", "</a>")])
        await peer.until(StreamEnded, 1)
        peer.send(1, [(":status", "201"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])
        peer.send(1, [("x-sum", "9")], end=True)

    seen: list[H2Peer] = []

    async def serve(peer: H2Peer) -> None:
        seen.append(peer)
        await speak(peer)

    async with h2_pod(serve) as pod, h2_client(rig.ports["http"]) as client:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        head = ask("/a%2Fb?c=d", te="trailers", x_a="1", authorization="Bearer t")
        client.send(1, head)
        client.send(1, [("x-end", "yes")], end=True)
        assert fields(await client.until(InformationalResponseReceived)) == {":status": "103", "link": "</a>"}
        answer = await client.until(ResponseReceived)
        assert [(str(name), str(value)) for name, value in answer.headers] == [
            (":status", "201"), ("set-cookie", "a=1"), ("set-cookie", "b=2")
        ]  # fmt: skip
        assert fields(await client.until(TrailersReceived)) == {"x-sum": "9"}
        (peer,) = seen
        request = await peer.until(RequestReceived)
        assert [(str(name), str(value)) for name, value in request.headers] == head
        assert fields(await peer.until(TrailersReceived)) == {"x-end": "yes"}


async def test_streams_in_both_directions_at_once(rig: Rig) -> None:
    async def talk(peer: H2Peer) -> None:
        await peer.until(RequestReceived)
        peer.send(1, OK)
        for number in range(5):
            await peer.until_true(lambda number=number: len(peer.data(1)) == 3 * (number + 1))
            await peer.send_body(1, b"you", end=False)
        peer.send(1, DONE, end=True)

    async with h2_pod(talk) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc())
        for number in range(5):
            await client.send_body(1, b"hey", end=False)
            await client.until_true(lambda number=number: len(client.data(1)) == 3 * (number + 1))
        assert fields(await client.until(TrailersReceived)) == {"grpc-status": "0"}


async def test_large_bodies_go_through_both_ways(rig: Rig) -> None:
    body = bytes(range(256)) * 4096 * 8
    async with h2_pod(echo) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc())
        await client.send_body(1, body)
        await client.until(TrailersReceived)
        assert client.data(1) == body


async def test_stream_that_is_not_read_stops_its_pod_and_no_other_stream(rig: Rig) -> None:
    sent = 0

    async def flood(peer: H2Peer) -> None:
        nonlocal sent
        request = await peer.until(RequestReceived)
        peer.send(1, OK)
        if ("x-flood", "1") in request.headers:
            for _ in range(4096):
                await peer.send_body(1, b"x" * 16384, end=False)
                sent += 16384
        peer.send(1, DONE, end=True)

    async with h2_pod(flood) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.gives_back = False
        client.http.increment_flow_control_window(1 << 20)
        client.send(1, ask_grpc(x_flood="1"), end=True)
        await client.until_true(lambda: len(client.data(1)) == 65535)
        client.send(3, ask_grpc(), end=True)
        assert fields(await client.until(TrailersReceived, 3)) == {"grpc-status": "0"}
        await asyncio.sleep(0.2)
        assert sent <= 3 * 65536
        client.http.reset_stream(1, ErrorCodes.CANCEL)
        client.flush()
        await eventually(lambda: pod.open_connections == 0, "the pod's work is cancelled")


async def test_body_that_waits_is_bounded_by_its_window(rig: Rig) -> None:
    async with h2_client(rig.ports["grpc"]) as client:
        await client.until(SettingsAcknowledged)
        for number in range(1, 11, 2):
            client.send(number, ask_grpc())
            room = client.http.local_flow_control_window(number)
            await client.send_body(number, b"x" * room, end=False)
        assert client.http.outbound_flow_control_window == 0
        await eventually(lambda: rig.holder.room.total_bytes > 256 * 1024, "as much as may has come")
        assert rig.holder.room.total_bytes < 256 * 1024 + 4096


async def test_bytes_beyond_the_bound_refuse_the_stream_that_sends_them() -> None:
    async with (
        running_rig(HoldLimits(bytes_per_service=20_000)) as rig,
        h2_client(rig.ports["grpc"]) as client,
    ):
        client.send(1, ask_grpc())
        client.send(3, ask_grpc())
        await client.send_body(1, b"x" * 10_000, end=False)
        await client.send_body(3, b"x" * 15_000, end=False)
        answer = fields(await client.until(ResponseReceived, 3))
        assert (answer["grpc-status"], "too many bytes" in answer["grpc-message"]) == ("14", True)
        assert rig.holder.room.requests == 1


async def test_refusal_of_a_call_says_when_to_come_again() -> None:
    async with running_rig(HoldLimits(wait_seconds=0.1)) as rig, h2_client(rig.ports["grpc"]) as client:
        client.send(1, ask_grpc())
        await client.send_body(1, b"not all of it", end=False)
        answer = fields(await client.until(ResponseReceived, 1))
        assert answer[":status"] == "200"
        assert answer["grpc-status"] == "14"
        assert "did not start in time" in answer["grpc-message"]
        assert int(answer["grpc-retry-pushback-ms"]) == 1000 * int(answer["retry-after"]) > 0
        # The rest of its body is not wanted, and that is no error.
        assert (await client.until(StreamReset, 1)).error_code == ErrorCodes.NO_ERROR
        client.send(3, ask())
        client.http.end_stream(3)
        client.flush()
        plain = fields(await client.until(ResponseReceived, 3))
        assert (plain[":status"], int(plain["retry-after"]) > 0) == ("503", True)
        await client.until(StreamEnded, 3)
        assert b"did not start in time" in client.data(3)


@pytest.mark.parametrize(("said", "grpc_status"), [("150m", "4"), ("1x", None), ("999999999S", None)])
async def test_deadline_ends_the_wait(rig: Rig, said: str, grpc_status: str | None) -> None:
    async with h2_client(rig.ports["grpc"]) as client:
        client.send(1, ask_grpc(grpc_timeout=said), end=True)
        if grpc_status is not None:
            assert fields(await client.until(ResponseReceived, 1))["grpc-status"] == grpc_status
        else:  # what cannot be read says nothing
            await eventually(lambda: rig.holder.room.requests == 1, "it waits")
            await asyncio.sleep(0.2)
            assert rig.holder.room.requests == 1


async def test_pod_is_told_what_is_left_of_the_deadline(rig: Rig) -> None:
    told: list[str] = []

    async def remember(peer: H2Peer) -> None:
        told.append(fields(await peer.until(RequestReceived))["grpc-timeout"])
        peer.send(1, [*OK, *DONE], end=True)

    async with h2_pod(remember) as pod, h2_client(rig.ports["grpc"]) as client:
        client.send(1, ask_grpc(grpc_timeout="1H"), end=True)
        await asyncio.sleep(0.2)
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        await client.until(StreamEnded, 1)
    assert told[0].endswith("m")
    assert 3_500_000 < int(told[0][:-1]) < 3_599_900


@pytest.mark.parametrize("cut", ["before", "head", "body"])
@pytest.mark.parametrize("is_grpc", [True, False])
async def test_pod_that_dies_in_the_middle_gets_no_second_request(rig: Rig, cut: str, is_grpc: bool) -> None:
    async def die(peer: H2Peer) -> None:
        await peer.until(StreamEnded, 1)
        if cut != "before":
            peer.send(1, OK)
        if cut == "body":
            await peer.send_body(1, b"half", end=False)
        await peer.writer.drain()
        await asyncio.sleep(0.05)
        peer.writer.transport.abort()

    async with h2_pod(die) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc() if is_grpc else ask())
        await client.send_body(1, b"abc")
        if is_grpc:
            last = await client.until(ResponseReceived if cut == "before" else TrailersReceived, 1)
            assert fields(last)["grpc-status"] == "14"
            assert "grpc-retry-pushback-ms" not in fields(last)
        elif cut == "before":
            assert fields(await client.until(ResponseReceived, 1))[":status"] == "502"
        else:
            assert (await client.until(StreamReset, 1)).error_code == ErrorCodes.INTERNAL_ERROR
        assert pod.connections == 1


async def test_reset_of_the_pod_is_the_clients_to_understand(rig: Rig) -> None:
    async def refuse(peer: H2Peer) -> None:
        await peer.until(RequestReceived)
        peer.http.reset_stream(1, ErrorCodes.ENHANCE_YOUR_CALM)
        peer.flush()

    async with h2_pod(refuse) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc(), end=True)
        assert (await client.until(StreamReset, 1)).error_code == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(("last_stream", "is_answered"), [(1, True), (0, False)])
async def test_pod_that_drains_answers_what_it_has_begun(
    rig: Rig, last_stream: int, is_answered: bool
) -> None:
    async def drain(peer: H2Peer) -> None:
        await peer.until(StreamEnded, 1)
        peer.writer.write(GoAwayFrame(0, last_stream_id=last_stream).serialize())
        if is_answered:
            peer.send(1, OK)
            await peer.send_body(1, b"all of it", end=False)
            peer.send(1, DONE, end=True)

    async with h2_pod(drain) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc(), end=True)
        if is_answered:
            assert fields(await client.until(TrailersReceived, 1)) == {"grpc-status": "0"}
            assert client.data(1) == b"all of it"
        else:  # gRPC's clients try again by themselves what is refused so
            assert (await client.until(StreamReset, 1)).error_code == ErrorCodes.REFUSED_STREAM


async def test_connection_is_asked_to_end_once_pods_lead_and_its_streams_go_on(rig: Rig) -> None:
    release = asyncio.Event()

    async def slow(peer: H2Peer) -> None:
        await peer.until(StreamEnded, 1)
        await release.wait()
        peer.send(1, [*OK, *DONE], end=True)

    async with h2_pod(slow) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc(), end=True)
        await eventually(lambda: pod.connections == 1, "the pod has it")
        rig.lead_here(False)
        # h2 takes a GOAWAY for the end, so it does not get to see it.
        goodbye = GoAwayFrame(0, last_stream_id=2**31 - 1).serialize()
        before = await asyncio.wait_for(client.reader.readuntil(goodbye), 120)
        release.set()
        client.http.receive_data(before.removesuffix(goodbye))
        assert fields(await client.until(ResponseReceived))["grpc-status"] == "0"
        assert not await client.read()
        assert pod.connections == 1


async def test_idle_connection_is_closed_once_pods_lead() -> None:
    limits = ConnectionLimits(head_seconds=600, retired_idle_seconds=0.2)
    async with running_rig(connections=limits) as rig, h2_client(rig.ports["grpc"]) as client:
        client.http.ping(b"12345678")
        client.flush()
        await client.until(PingAckReceived)
        rig.lead_here(False)
        await client.until(ConnectionTerminated)
        assert await asyncio.wait_for(client.reader.read(), 120) == b""


async def test_client_that_leaves_takes_all_its_requests_with_it(rig: Rig) -> None:
    async with h2_client(rig.ports["grpc"]) as client:
        for number in range(1, 41, 2):
            client.send(number, ask_grpc(), end=True)
        await eventually(lambda: rig.holder.room.requests == 20, "all wait")
        for number in range(1, 11, 2):
            client.http.reset_stream(number, ErrorCodes.CANCEL)
        client.flush()
        await eventually(lambda: rig.holder.room.requests == 15, "those that are cancelled are forgotten")
    await eventually(lambda: rig.holder.room.requests == 0, "all are forgotten")
    await eventually(lambda: not rig.clients._visits, "so is the client")


async def test_request_that_is_taken_back_in_the_same_breath_leaves_nothing_behind(rig: Rig) -> None:
    async with h2_client(rig.ports["grpc"]) as client:
        await client.until(SettingsAcknowledged)
        (visit,) = rig.clients._visits
        for number in range(1, 200, 2):
            client.http.send_headers(number, ask_grpc(), end_stream=True)
            client.http.reset_stream(number, ErrorCodes.CANCEL)
        client.http.ping(b"12345678")
        client.flush()
        await client.until(PingAckReceived)
        await eventually(lambda: visit.is_resting, "the client asks for nothing")
        assert rig.holder.room.requests == 0


async def reset_at_once(client: H2Peer, number: int) -> None:
    client.send(2 * number + 1, ask_grpc(), end=True)
    client.http.reset_stream(2 * number + 1, ErrorCodes.CANCEL)


async def ping(client: H2Peer, _: int) -> None:
    client.http.ping(b"12345678")


async def set_the_same(client: H2Peer, _: int) -> None:
    client.http.update_settings({})


async def empty_data(client: H2Peer, number: int) -> None:
    if number == 0:
        client.send(1, ask_grpc())
    client.http.send_data(1, b"")


@pytest.mark.parametrize("flood", [reset_at_once, ping, set_the_same, empty_data])
async def test_floods_of_frames_that_ask_for_nothing_end_their_connection(
    rig: Rig, flood: Callable[[H2Peer, int], Awaitable[None]]
) -> None:
    async with h2_client(rig.ports["grpc"]) as client:

        async def go_on() -> None:
            for number in range(100_000):
                await flood(client, number)
                client.flush()
                if number % 50 == 0:
                    await client.writer.drain()
                    await asyncio.sleep(0)

        flooding = asyncio.create_task(go_on())
        with contextlib.suppress(ConnectionError, EOFError):
            ended = await client.until(ConnectionTerminated)
            assert ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    await eventually(lambda: not rig.clients._visits, "the client is gone")
    assert rig.holder.room.requests == 0


async def test_head_that_is_begun_and_not_ended_is_cut_off_and_counted() -> None:
    limits = ConnectionLimits(head_seconds=1.5, head_bytes=40_000)
    begun = b"\0\x40\0\x01\0\0\0\0\x01" + b"\0" * 16384
    async with running_rig(connections=limits) as rig:
        async with h2_client(rig.ports["grpc"]) as patient:
            await patient.until(SettingsAcknowledged)
            patient.writer.write(begun)
            with contextlib.suppress(ConnectionError, EOFError):
                await patient.until(ConnectionTerminated)
        async with h2_client(rig.ports["grpc"]) as one, h2_client(rig.ports["grpc"]) as two:
            one.writer.write(begun)
            two.writer.write(begun)
            await eventually(lambda: rig.means.unfinished.total_bytes > 32_000, "both have begun")
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 120) == b""
            writer.close()
        await eventually(lambda: not rig.clients._visits, "all are gone")
        assert rig.means.unfinished.total_bytes == 0


async def test_silent_connection_may_wait_with_its_first_request() -> None:
    async with (
        running_rig(connections=ConnectionLimits(head_seconds=1.0)) as rig,
        h2_client(rig.ports["grpc"]) as client,
    ):
        await client.until(SettingsAcknowledged)
        await asyncio.sleep(1.5)
        assert not rig.api.writes, "nobody has asked for anything"
        client.send(1, ask_grpc(), end=True)
        await eventually(lambda: rig.holder.room.requests == 1, "it is held")


async def test_client_that_takes_no_answers_to_its_pings_is_not_read_any_more(rig: Rig) -> None:
    async with h2_client(rig.ports["grpc"]) as client:
        client.writer.write(b"\0\0\x08\x06\0\0\0\0\0abcdefgh" * 900)
        await asyncio.sleep(0.1)
        (visit,) = rig.clients._visits
        assert visit.channel.transport.get_write_buffer_size() <= 128 * 1024


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\x05\x01\x05\0\0\0\x01\xff\xff\xff\xff\xff",  # a header block that is none
        b"\0\0\x01\0\0\0\0\0\x01x",  # data of a stream that is not open
        b"\xff\xff\xff\0\0\0\0\0\x01" + b"x" * 40_000,  # a frame beyond all bounds
        b"".join(b"\0\x40\0%c\0\0\0\0\x01" % kind + b"\0" * 16384 for kind in (1, 9, 9, 9, 9)),  # a head
        b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0",  # a window that grows by nothing
        b"\0\0\0\x09\0\0\0\0\x01",  # a continuation of nothing
    ],
)
async def test_what_is_not_http2_ends_the_connection_alone(rig: Rig, garbage: bytes) -> None:
    async with h2_client(rig.ports["grpc"]) as other:
        other.send(1, ask_grpc(), end=True)
        await eventually(lambda: rig.holder.room.requests == 1, "the other one waits")
        async with h2_client(rig.ports["grpc"]) as client:
            client.writer.write(garbage)
            with contextlib.suppress(ConnectionError):
                await client.until(ConnectionTerminated)
        await eventually(lambda: len(rig.clients._visits) == 1, "the client is gone")
        assert rig.holder.room.requests == 1


async def test_tunnel_by_connect_is_refused(rig: Rig) -> None:
    async with h2_client(rig.ports["http"]) as client:
        client.send(1, [(":method", "CONNECT"), (":authority", "pod:443")])
        assert fields(await client.until(ResponseReceived, 1))[":status"] == "501"
    assert rig.api.writes == []


async def test_data_is_counted_where_the_window_is(rig: Rig) -> None:
    """Padding takes room in the window too: what is not given back would stop a stream for ever."""
    async with h2_pod(echo) as pod, h2_client(rig.ports["grpc"]) as client:
        rig.give_pods(["127.0.0.1"], grpc=pod.port)
        client.send(1, ask_grpc())
        for _ in range(1000):
            while client.http.local_flow_control_window(1) < 256:
                await client.read()
            client.http.send_data(1, b"x", pad_length=200)
            client.flush()
        client.http.end_stream(1)
        client.flush()
        await client.until(TrailersReceived, 1)
        assert client.data(1) == b"x" * 1000
        assert any(isinstance(event, DataReceived) for event in client.events)
