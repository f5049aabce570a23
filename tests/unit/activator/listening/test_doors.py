"""Which ports are open for which service, and what is said of those that are not."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from prometheus_client import generate_latest
from tests.support.activator import KEY, Rig, eventually, running_rig
from tests.support.ports import free_port

from modelservice_activator.listening import doors
from modelservice_activator.metrics import REGISTRY
from modelservice_operator.facts.endpoints import Endpoint, Slice

OTHER = ("mail", "ham")


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(doors, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(doors, "LEAVE_SECONDS", 0.2)
    async with running_rig() as running:
        keeping = asyncio.create_task(running.doors.keep_open())
        yield running
        keeping.cancel()


def ask_for(rig: Rig, key: tuple[str, str], **ports: int) -> None:
    ends = (Endpoint(address="10.0.0.9"),)
    rig.services.set_standby(
        key, f"{key[1]}-activator", Slice(address_type="IPv4", endpoints=ends, ports=ports)
    )


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_nothing_is_said_of_what_no_slice_asks_for() -> None:
    async def look() -> None:
        async with running_rig() as rig:
            assert rig.doors.ports_of(KEY) == rig.ports
            assert rig.doors.ports_of(OTHER) == "no EndpointSlice asks for this service"

    asyncio.run(look())


async def test_port_that_is_taken_is_reported_and_taken_as_soon_as_it_is_free(rig: Rig) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        free = free_port()
        ask_for(rig, OTHER, http=free, grpc=number)
        said = f"port {number} (grpc): somebody else has it"
        await eventually(lambda: rig.doors.ports_of(OTHER) == said, "it is said")
        await asyncio.sleep(0.15)  # it is tried again
        assert rig.doors.ports_of(OTHER) == said
        series = f'modelservice_activator_taken_ports{{name="ham",namespace="mail",port="{number}"}} 1.0'
        assert series in generate_latest(REGISTRY).decode()
    await eventually(lambda: not isinstance(rig.doors.ports_of(OTHER), str), "the port is ours")
    assert rig.doors.ports_of(OTHER) == {"http": free, "grpc": number}
    assert f'port="{number}"' not in generate_latest(REGISTRY).decode()


async def test_second_service_that_asks_for_a_port_does_not_get_it_from_the_first(rig: Rig) -> None:
    ask_for(rig, OTHER, http=rig.ports["http"])
    await eventually(lambda: "somebody else has it" in rig.doors.ports_of(OTHER), "it is said")
    await asyncio.sleep(0.15)  # it is tried again
    assert "somebody else has it" in rig.doors.ports_of(OTHER)
    assert rig.doors.ports_of(KEY) == rig.ports


async def test_ports_are_given_up_a_while_after_the_slice_asks_for_them_no_more(rig: Rig) -> None:
    before, now = rig.ports["http"], free_port()
    rig.ports = {"http": now, "grpc": rig.ports["grpc"]}
    rig.lead_here()
    changed = asyncio.get_running_loop().time()
    assert can_connect(before)
    await eventually(lambda: not can_connect(before), "the old one is closed")
    assert asyncio.get_running_loop().time() - changed > 0.9 * doors.LEAVE_SECONDS
    await eventually(lambda: rig.doors.ports_of(KEY) == rig.ports, "the new port is open")
    assert can_connect(now)


async def test_port_that_is_asked_for_again_stays_open(rig: Rig) -> None:
    rig.services.set_standby(KEY, "spam-activator", None)
    await asyncio.sleep(0.05)
    rig.lead_here()
    await asyncio.sleep(0.3)
    assert can_connect(rig.ports["http"])
    assert rig.doors.ports_of(KEY) == rig.ports


async def test_no_port_is_open_at_the_end(rig: Rig) -> None:
    rig.doors.close()
    await eventually(lambda: not can_connect(rig.ports["http"]), "it is closed")
    assert rig.doors.ports_of(KEY) == "this activator ends"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
async def test_every_address_is_listened_on_in_both_families() -> None:
    async with running_rig(host="::") as rig:
        for address in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(address, rig.ports["http"])
            writer.close()
        await eventually(lambda: not rig.clients._visits, "both were served")
