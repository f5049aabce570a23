"""HTTP/1.1 through the activator, with the clients that people use and with bytes written by hand."""

import asyncio
import contextlib
import hashlib
import http.client
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from tests.support.activator import Rig, eventually, head_and_body, running_pod, running_rig

from modelservice_activator.settings import ConnectionLimits, HoldLimits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_rig() as running:
        yield running


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head_and_body(reader)
    writer.write(OK)
    await writer.drain()


@contextlib.asynccontextmanager
async def web_pod(handler: Callable[[web.Request], object]) -> AsyncIterator[int]:
    """A pod with a server that many use; yields its port."""
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def say(rig: Rig, *parts: bytes, then_close: bool = False) -> tuple[bytes, asyncio.StreamWriter]:
    """Write these bytes one after the other and read to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
    for part in parts:
        writer.write(part)
        await writer.drain()
    if then_close:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 120), writer
    finally:
        writer.close()


async def test_two_hundred_requests_at_once_wake_it_once_and_are_each_answered_once(rig: Rig) -> None:
    served: list[str] = []

    async def echo(request: web.Request) -> web.Response:
        served.append(request.path)
        return web.Response(body=await request.read())

    async with web_pod(echo) as port, aiohttp.ClientSession() as session:
        rig.api.on_wake = lambda: rig.give_pods(["127.0.0.1"], http=port)

        async def ask(number: int) -> None:
            body = bytes([number % 251]) * (number * 700)
            async with session.post(f"{rig.http}/{number}", data=body) as answer:
                assert (answer.status, await answer.read()) == (200, body)

        await asyncio.gather(*map(ask, range(200)))
    assert sorted(served, key=lambda path: int(path[1:])) == [f"/{number}" for number in range(200)]
    assert rig.api.writes == [{"metadata": {"resourceVersion": "10"}, "spec": {"replicas": 1}}]


async def test_head_reaches_the_pod_as_it_was_but_for_what_is_between_neighbours(rig: Rig) -> None:
    heads: list[bytes] = []

    async def remember(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await head_and_body(reader))[0])
        writer.write(
            b"HTTP/1.1 201 Made Up\r\nX-Mixed-Case: a\r\nx-twice: 1\r\nx-twice: 2\r\n"
            b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n"
        )

    async with running_pod(remember) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        answer, _ = await say(
            rig,
            b"POST /a%2Fb?c=d%20e&f HTTP/1.1\r\nHost: spam.mail.svc:8080\r\nX-Mixed-Case: Value\r\n"
            b"X-Private: 1\r\nConnection: close, x-private, host, content-length, authorization\r\n"
            b"Authorization: Bearer t\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: websocket\r\n"
            b"Content-Length: 3\r\n\r\nabc",
        )
    (head,) = heads
    assert head == (
        b"POST /a%2Fb?c=d%20e&f HTTP/1.1\r\nHost: spam.mail.svc:8080\r\nX-Mixed-Case: Value\r\n"
        b"Authorization: Bearer t\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    )
    assert answer == (
        b"HTTP/1.1 201 Made Up\r\nX-Mixed-Case: a\r\nx-twice: 1\r\nx-twice: 2\r\n"
        b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\x00: 2\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT pod:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431),
    ],
)
async def test_what_could_be_understood_in_two_ways_reaches_no_pod(
    rig: Rig, request_bytes: bytes, status: int
) -> None:
    async with running_pod(answer_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        answer, _ = await say(rig, request_bytes)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer
        assert b"connection: close" in answer.lower()
        assert b"bytearray" not in answer
        assert pod.connections == 0
    assert rig.api.writes == []


async def test_body_that_breaks_the_rules_ends_the_request_at_the_pod(rig: Rig) -> None:
    ended = asyncio.Event()

    async def read_all(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    async with running_pod(read_all) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        answer, _ = await say(rig, head, b"not a size\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        await asyncio.wait_for(ended.wait(), 120)


async def test_chunks_and_trailers_go_both_ways(rig: Rig) -> None:
    received: list[bytes] = []

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"0\r\nX-Sum: 9\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 77\r\n\r\n")
        for part in (b"5\r\nhello\r\n", b"0\r\nX-Done: yes\r\n\r\n"):
            writer.write(part)
            await writer.drain()

    async with running_pod(stream) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        answer, _ = await say(
            rig,
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n",
            b"0\r\nX-Sum: 9\r\n\r\n",
        )
    assert received[0].endswith(b"3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n")
    assert b"content-length" not in answer.lower()
    assert answer.lower().endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nx-done: yes\r\n\r\n")


async def test_client_of_http_1_0_gets_a_body_that_ends_with_the_connection(rig: Rig) -> None:
    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        writer.write(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\nX-Done: yes\r\n\r\n"
        )

    async with running_pod(stream) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        answer, _ = await say(rig, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\nhello")


async def test_large_bodies_stream_both_ways_before_either_is_whole(rig: Rig) -> None:
    async def upper(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for part in request.content.iter_any():
            await response.write(part.upper())
        return response

    size, part = 24 << 20, b"abcdefgh" * 8192
    seen, digest = 0, hashlib.sha256()
    first_back = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield part
        await asyncio.wait_for(first_back.wait(), 120)
        for _ in range(size // len(part) - 1):
            yield part

    async with web_pod(upper) as port, aiohttp.ClientSession() as session:
        rig.give_pods(["127.0.0.1"], http=port)
        async with session.post(rig.http, data=body()) as answer:
            async for piece in answer.content.iter_any():
                first_back.set()
                seen += len(piece)
                digest.update(piece)
    assert seen == size
    assert digest.digest() == hashlib.sha256(part.upper() * (size // len(part))).digest()


async def test_client_that_does_not_read_stops_the_pod_and_not_the_activator(rig: Rig) -> None:
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await head_and_body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 << 20))
        for _ in range(256 * 16):
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    async with running_pod(flood) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        _, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"], limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: written > 0, "the answer has begun")
        before = -1
        while written != before:
            before = written
            await asyncio.sleep(0.3)
        assert written < 64 << 20
        (visit,) = rig.clients._visits
        assert visit.channel.transport.get_write_buffer_size() < 256 * 1024
        writer.transport.abort()
        await eventually(lambda: pod.open_connections == 0, "the pod's connection ends with the client's")


async def test_body_that_waits_stays_with_the_client(rig: Rig) -> None:
    async with running_pod(answer_ok) as pod:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        size = 32 << 20
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        await eventually(lambda: rig.holder.room.requests == 1, "the request is held")
        await asyncio.sleep(0.2)
        (visit,) = rig.clients._visits
        assert rig.holder.room.total_bytes <= 65536
        assert not visit.channel._unread
        rig.give_pods(["127.0.0.1"], http=pod.port)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 120)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_expectation_is_the_pods_to_answer(rig: Rig) -> None:
    async def continue_then_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"expect: 100-continue" in head.lower()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)

    async with running_pod(continue_then_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"data")
        assert (await reader.readuntil(b"data")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_pod_that_refuses_early_is_heard_by_a_client_that_still_sends(rig: Rig) -> None:
    async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        writer.write_eof()
        while await reader.read(65536):  # as the servers of pods do, so that the answer is not lost
            pass

    def post() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", rig.ports["http"], timeout=120)
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", str(8 << 20))
        connection.endheaders()
        with contextlib.suppress(ConnectionError):
            connection.send(b"x" * (2 << 20))
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    async with running_pod(too_large) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        assert await asyncio.to_thread(post) == (413, b"big")


async def test_head_has_no_body_and_keeps_its_length(rig: Rig) -> None:
    async with running_pod(answer_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)

        async def only_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await head_and_body(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")

        pod.answer = only_head
        answer, _ = await say(
            rig,
            b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
    assert answer.count(b"Content-Length: 1234\r\n") == 2
    assert answer.endswith(b"\r\n\r\n")


async def test_requests_in_a_pipeline_are_answered_in_order(rig: Rig) -> None:
    async def path(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await head_and_body(reader)
        name = head.split()[1]
        await asyncio.sleep(0.1 if name == b"/1" else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + name)

    async with running_pod(path) as pod:
        rig.api.on_wake = lambda: rig.give_pods(["127.0.0.1"], http=pod.port)
        requests = b"".join(
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" % number for number in range(1, 5)
        )
        answer, _ = await say(rig, requests + b"GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert [part[:2] for part in answer.split(b"\r\n\r\n")[1:]] == [b"/1", b"/2", b"/3", b"/4", b"/5"]


@pytest.mark.parametrize("cut", ["before", "head", "body", "chunks"])
async def test_pod_that_dies_in_the_middle_gets_no_second_request(rig: Rig, cut: str) -> None:
    parts = {
        "before": b"",
        "head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    }

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        writer.write(parts[cut])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with running_pod(die) as pod, aiohttp.ClientSession() as session:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        if cut in ("before", "head"):
            async with session.post(rig.http, data=b"abc") as answer:
                assert answer.status == 502
                assert "not known" in (await answer.json())["error"]
        else:
            with pytest.raises(aiohttp.ClientError):
                async with session.post(rig.http, data=b"abc") as answer:
                    await answer.read()
        assert pod.connections == 1


async def test_client_of_http_1_0_is_not_told_that_a_cut_answer_is_whole(rig: Rig) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with running_pod(die) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        with pytest.raises(ConnectionResetError):
            await say(rig, b"GET / HTTP/1.0\r\n\r\n")


async def test_pod_that_cannot_be_reached_has_got_nothing_so_another_one_gets_it(rig: Rig) -> None:
    with socket.socket() as full:
        # A pod that is gone swallows packets; here the kernel does, as its queue is full.
        full.bind(("127.0.0.2", 0))
        port = full.getsockname()[1]
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.2", port))

        async def give_both() -> None:
            rig.give_pods(["127.0.0.2"], http=port)

        async with running_pod(answer_ok) as pod, aiohttp.ClientSession() as session:
            await give_both()
            ask = asyncio.create_task(session.post(rig.http, data=b"abc"))
            await asyncio.sleep(0.2)
            rig._slice(
                "spam-second",
                "endpointslice-controller.k8s.io",
                [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
                {"http": pod.port},
            )
            answer = await asyncio.wait_for(ask, 120)
            assert (answer.status, await answer.text()) == (200, "ok")
            assert pod.connections == 1
        for filler in fillers:
            filler.close()


async def test_client_that_leaves_is_forgotten_while_its_body_waits_in_the_kernel(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
    # More than one read, less than the kernel's buffer: the end is behind what nobody reads.
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n" + b"x" * 120_000)
    await eventually(lambda: rig.holder.room.requests == 1, "the request is held")
    writer.close()
    await eventually(lambda: rig.holder.room.requests == 0, "it is forgotten")
    await eventually(lambda: not rig.clients._visits, "so is its client")
    async with running_pod(answer_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        await asyncio.sleep(0.1)
        assert pod.connections == 0


@pytest.mark.parametrize("phase", ["held", "passed"])
async def test_client_that_resets_ends_its_request_wherever_it_is(rig: Rig, phase: str) -> None:
    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with running_pod(never) as pod:
        if phase == "passed":
            rig.give_pods(["127.0.0.1"], http=pod.port)
        _, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        if phase == "passed":
            await eventually(lambda: pod.open_connections == 1, "the pod has it")
        else:
            await eventually(lambda: rig.holder.room.requests == 1, "it is held")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        await eventually(lambda: not rig.clients._visits and not pod.open_connections, "nothing is left")


async def test_switched_off_service_is_refused_at_once_and_not_woken(rig: Rig) -> None:
    rig.api.min_replicas = 1
    rig.api.scale(0)
    rig.lead_here(False)
    async with aiohttp.ClientSession() as session, session.get(rig.http) as answer:
        assert answer.status == 503
        assert "spec.replicas is 0" in (await answer.json())["error"]
        assert int(answer.headers["Retry-After"]) > 0
    assert rig.api.writes == []


async def test_what_waits_too_long_is_told_to_come_again() -> None:
    async with running_rig(HoldLimits(wait_seconds=0.2)) as rig, aiohttp.ClientSession() as session:
        for _ in range(2):  # on one connection, which stays usable
            async with session.post(rig.http, data=b"abc") as answer:
                assert answer.status == 503
                assert "did not start in time" in (await answer.json())["error"]
                assert int(answer.headers["Retry-After"]) > 0
        assert len(rig.clients._visits) == 1


@pytest.mark.parametrize(
    "limits",
    [
        HoldLimits(requests=3),
        HoldLimits(requests_per_service=3),
        HoldLimits(total_bytes=3500),
        HoldLimits(bytes_per_service=3500),
    ],
)
async def test_beyond_the_bounds_requests_are_refused_and_the_others_stay(limits: HoldLimits) -> None:
    async with running_rig(limits) as rig, running_pod(answer_ok) as pod, aiohttp.ClientSession() as session:

        async def ask() -> int:
            async with session.post(rig.http, data=b"x" * 800) as answer:
                return answer.status

        asked = [asyncio.create_task(ask()) for _ in range(8)]
        await eventually(lambda: sum(task.done() for task in asked) == 5, "five are refused")
        assert {task.result() for task in asked if task.done()} == {503}
        rig.give_pods(["127.0.0.1"], http=pod.port)
        statuses = await asyncio.gather(*asked)
        assert (statuses.count(200), statuses.count(503), pod.connections) == (3, 5, 3)


async def test_kept_connection_is_ended_by_an_answer_once_pods_lead(rig: Rig) -> None:
    async with running_pod(answer_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"close" not in await reader.readuntil(b"ok")
        rig.lead_here(False)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Connection: close\r\n" in await reader.readuntil(b"ok")
        assert await reader.read() == b""
        writer.close()


async def test_idle_connection_is_closed_once_pods_lead_and_kept_before() -> None:
    limits = ConnectionLimits(head_seconds=600, retired_idle_seconds=0.2)
    async with running_rig(connections=limits) as rig, running_pod(answer_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"ok")
        await asyncio.sleep(0.6)
        assert not reader.at_eof()
        rig.lead_here(False)
        assert await asyncio.wait_for(reader.read(), 120) == b""
        writer.close()


async def test_request_in_the_middle_of_the_switch_is_answered(rig: Rig) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        await release.wait()
        writer.write(OK)

    async with running_pod(slow) as pod, aiohttp.ClientSession() as session:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        ask = asyncio.create_task(session.get(rig.http))
        await eventually(lambda: pod.open_connections == 1, "the pod has it")
        rig.lead_here(False)
        await asyncio.sleep(1.5)
        release.set()
        answer = await ask
        assert (await answer.text(), answer.headers["Connection"]) == ("ok", "close")


async def test_slow_head_is_cut_off_and_holds_no_place() -> None:
    async with running_rig(connections=ConnectionLimits(head_seconds=0.3)) as rig:
        for first in (b"", b"G", b"PRI * HTT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "):
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
            writer.write(first)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 120) == b""
            writer.close()
        assert rig.holder.room.requests == 0


async def test_slow_head_on_a_kept_connection_is_cut_off_too() -> None:
    limits = ConnectionLimits(head_seconds=0.3, idle_seconds=600)
    async with running_rig(connections=limits) as rig, running_pod(answer_ok) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"ok")
        writer.write(b"GET / HT")
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 120)
        writer.close()
