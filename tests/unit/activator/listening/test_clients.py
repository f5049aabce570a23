"""How many clients there may be, and who has to go."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.activator import Rig, eventually, head_and_body, running_pod, running_rig

from modelservice_activator.settings import ConnectionLimits

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(rig: Rig, port: str = "http") -> Client:
    return await asyncio.open_connection("127.0.0.1", rig.ports[port])


async def is_cut_off(client: Client) -> bool:
    try:
        return await asyncio.wait_for(client[0].read(1), 120) == b""
    except ConnectionError:
        return True


@pytest.fixture(params=["in all", "of a service"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    limits = (
        ConnectionLimits(head_seconds=600, connections=3)
        if request.param == "in all"
        else ConnectionLimits(head_seconds=600, connections_per_service=3)
    )
    async with running_rig(connections=limits) as running:
        yield running


async def test_client_that_asks_for_nothing_makes_room_for_a_new_one(rig: Rig) -> None:
    waits = await connect(rig)
    waits[1].write(REQUEST)
    await eventually(lambda: rig.holder.room.requests == 1, "it waits")
    idle = [await connect(rig) for _ in range(2)]
    await eventually(lambda: len(rig.clients._visits) == 3, "all are there")
    new = await connect(rig)
    assert await is_cut_off(idle[0])
    new[1].write(REQUEST)
    await eventually(lambda: rig.holder.room.requests == 2, "the new one waits too")
    assert len(rig.clients._visits) == 3
    for _, writer in (waits, *idle, new):
        writer.close()


async def test_client_that_waits_is_not_cut_off_for_a_new_one(rig: Rig) -> None:
    waiting = [await connect(rig) for _ in range(3)]
    for _, writer in waiting:
        writer.write(REQUEST)
    await eventually(lambda: rig.holder.room.requests == 3, "all wait")
    new = await connect(rig)
    assert await is_cut_off(new)
    assert rig.holder.room.requests == 3
    for _, writer in (*waiting, new):
        writer.close()


async def test_clients_of_a_service_that_pods_lead_are_told_from_the_start() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with running_rig() as rig, running_pod(answer) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        rig.lead_here(False)
        reader, writer = await connect(rig)
        writer.write(REQUEST)
        assert b"Connection: close\r\n" in await reader.read()
        writer.close()


async def test_idle_connection_is_kept_for_as_long_as_it_may() -> None:
    limits = ConnectionLimits(head_seconds=600, idle_seconds=0.5)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with running_rig(connections=limits) as rig, running_pod(answer) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        client = await connect(rig)
        client[1].write(REQUEST)
        await client[0].readuntil(b"ok")
        assert await is_cut_off(client)
        client[1].close()


async def test_slow_reader_of_an_answer_gets_all_of_it_though_its_connection_is_overdue() -> None:
    size = 3 << 20

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_and_body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()

    limits = ConnectionLimits(idle_seconds=0.1)
    async with running_rig(connections=limits) as rig, running_pod(answer) as pod:
        rig.give_pods(["127.0.0.1"], http=pod.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"], limit=4096)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        received = 0
        while data := await reader.read(65536):
            received += len(data)
            await asyncio.sleep(0.02)
        assert (received, head[:15]) == (size, b"HTTP/1.1 200 OK")
        writer.close()
