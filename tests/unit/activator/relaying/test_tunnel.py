"""TLS through the activator: bytes whose meaning is between a client and its pod."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.activator import Pod, Rig, eventually, running_rig
from tests.unit.runtime.certificates import Authority

from modelservice_activator.settings import ConnectionLimits, HoldLimits

HELLO = b"\x16\x03\x01\x00\x05hello"
"""How TLS begins, and not how it goes on."""


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_rig() as running:
        yield running


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()


@contextlib.asynccontextmanager
async def tls_pod(authority: Authority, directory: Path) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("pod").write(directory, "pod"))
    server = await asyncio.start_server(Pod(shout).serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@contextlib.asynccontextmanager
async def plain_pod(pod: Pod) -> AsyncIterator[Pod]:
    server = await asyncio.start_server(pod.serve, "127.0.0.1", 0)
    pod.port = server.sockets[0].getsockname()[1]
    yield pod
    server.close()


@pytest.mark.parametrize("port", ["http", "grpc"])
async def test_client_and_pod_shake_hands_with_each_other(rig: Rig, port: str, tmp_path: Path) -> None:
    authority = Authority()
    async with tls_pod(authority, tmp_path) as number:
        rig.api.on_wake = lambda: rig.give_pods(["127.0.0.1"], **{port: number})
        trusted = ssl.create_default_context(cadata=authority.certificate.decode())
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports[port], ssl=trusted)
        body = b"abc" * 300_000
        writer.write(body)
        assert await asyncio.wait_for(reader.readexactly(len(body)), 120) == body.upper()
        writer.close()
        await writer.wait_closed()
    assert len(rig.api.writes) == 1


async def test_end_of_one_side_is_passed_on_and_the_other_goes_on(rig: Rig) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read()
        writer.write(b"%d bytes" % len(received))

    async with plain_pod(Pod(answer_at_the_end)) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(HELLO)
        await eventually(lambda: pod.connections == 1, "it is passed on")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 120) == b"10 bytes"
        writer.close()


async def test_end_while_it_waits_is_the_end(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
    writer.write(HELLO)
    await eventually(lambda: rig.holder.room.requests == 1, "it waits")
    writer.close()
    await eventually(lambda: rig.holder.room.requests == 0, "it is forgotten")


async def test_what_waits_too_long_is_cut_off() -> None:
    async with running_rig(HoldLimits(wait_seconds=0.2)) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(HELLO)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 120)
        writer.close()


async def test_unused_connection_is_cut_once_pods_lead_and_a_used_one_is_not() -> None:
    limits = ConnectionLimits(retired_idle_seconds=0.1, tunnel_idle_seconds=60.0)
    now = asyncio.get_running_loop().time
    async with running_rig(connections=limits) as rig, plain_pod(Pod(shout)) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO)) == HELLO.upper()
        await asyncio.sleep(0.8)  # not retired: as long as it likes
        rig.lead_here(False)
        retired, (visit,) = now(), rig.clients._visits
        for _ in range(8):
            await asyncio.sleep(0.1)
            writer.write(b"used")
            assert await reader.readexactly(4) == b"USED"
        # It has a minute, from its last use on.
        assert not visit.is_overdue(retired + 60.5)
        assert visit.is_overdue(now() + 60.5)
        visit._retired_seconds = 0.1
        assert await asyncio.wait_for(reader.read(), 120) == b""
        writer.close()


async def test_pod_that_dies_cuts_its_client_off(rig: Rig) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    async with plain_pod(Pod(die)) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
        writer.write(HELLO + b"more")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 120) == b""
        writer.close()
        assert pod.connections == 1
