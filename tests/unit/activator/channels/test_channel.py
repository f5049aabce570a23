"""What a connection holds in memory, and how it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.support.activator import eventually

from modelservice_activator.channels.channel import READ_BYTES, Channel, connect
from modelservice_activator.channels.departures import Departures


class Ends:
    """A channel, and the socket at its other end."""

    def __init__(self, channel: Channel, peer: socket.socket) -> None:
        self.channel = channel
        self.peer = peer


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        channel = await connect(*server.getsockname()[:2], 5.0)
        peer, _ = server.accept()
    with peer:
        peer.settimeout(120)
        yield Ends(channel, peer)
    channel.abort()
    await asyncio.sleep(0)


async def test_what_nobody_reads_stays_in_the_kernel(ends: Ends) -> None:
    sending = asyncio.create_task(asyncio.to_thread(ends.peer.sendall, b"x" * (16 << 20)))
    await eventually(lambda: ends.channel._unread, "something has come")
    await asyncio.sleep(0.2)
    assert len(ends.channel._unread) <= READ_BYTES
    assert not sending.done()
    received = 0
    while received < 16 << 20:
        data = await ends.channel.read()
        assert 0 < len(data) <= 2 * READ_BYTES
        received += len(data)
    await sending


async def test_end_of_the_peer_is_read_behind_its_last_words(ends: Ends) -> None:
    ends.peer.sendall(b"last words")
    ends.peer.shutdown(socket.SHUT_WR)
    assert await ends.channel.read() == b"last words"
    assert await ends.channel.read() == b""
    ends.channel.write(b"answer")
    await ends.channel.drain()
    assert await asyncio.to_thread(ends.peer.recv, 100) == b"answer"


async def test_reset_is_an_error_for_who_reads_and_who_writes(ends: Ends) -> None:
    reading = asyncio.create_task(ends.channel.read())
    await asyncio.sleep(0)
    ends.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    ends.peer.close()
    with pytest.raises(ConnectionError):
        await reading
    with pytest.raises(ConnectionError):
        await ends.channel.drain()
    ends.channel.write(b"for nobody")


async def test_peer_that_reads_nothing_is_cut_off_unless_it_is_a_pod(ends: Ends) -> None:
    assert ends.channel._stall_seconds is None  # as it was made by `connect`
    ends.channel._stall_seconds = 0.2
    ends.channel.write(b"x" * (64 << 20))
    with pytest.raises(ConnectionAbortedError):
        await ends.channel.drain()
    assert ends.channel.transport.is_closing()


async def test_gentle_end_waits_until_a_slow_peer_has_read_all(ends: Ends) -> None:
    size = 8 << 20
    ends.channel.write(b"x" * size)
    ends.peer.sendall(b"what nobody reads any more")
    closing = asyncio.create_task(ends.channel.close_gently())
    received = 0

    def read_slowly() -> int:
        nonlocal received
        while data := ends.peer.recv(1 << 20):
            received += len(data)
        return received

    assert await asyncio.to_thread(read_slowly) == size
    ends.peer.close()
    await closing


async def test_last_bytes_do_not_wait_for_the_peer_to_confirm_the_first(ends: Ends) -> None:
    assert ends.channel.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("how", ["end", "reset", "close"])
async def test_departure_is_seen_behind_what_nobody_reads(ends: Ends, how: str) -> None:
    departures, seen = Departures(), asyncio.Event()
    ends.peer.sendall(b"x" * 100_000)
    await eventually(lambda: ends.channel._unread, "something has come")
    with departures.watching(ends.channel, seen.set):
        await asyncio.sleep(0.05)
        assert not seen.is_set()
        if how == "end":
            ends.peer.shutdown(socket.SHUT_WR)
        else:
            if how == "reset":
                ends.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            ends.peer.close()
        await asyncio.wait_for(seen.wait(), 120)
    departures.close()


async def test_departure_after_the_watch_is_nobodys_business(ends: Ends) -> None:
    departures, seen = Departures(), asyncio.Event()
    with departures.watching(ends.channel, seen.set):
        pass
    ends.peer.close()
    await asyncio.sleep(0.05)
    assert not seen.is_set()
    assert not departures._told
    departures.close()


async def test_departure_before_the_watch_is_told_at_once(ends: Ends) -> None:
    departures, seen = Departures(), asyncio.Event()
    ends.channel.abort()
    await asyncio.sleep(0.01)
    with departures.watching(ends.channel, seen.set):
        assert seen.is_set()
    departures.close()
