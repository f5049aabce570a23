"""Who wakes a service, how often, and who does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.activator import KEY, PlayedApi, eventually

from modelservice_activator.waking import waker as waking
from modelservice_activator.waking.waker import Waker
from modelservice_activator.watching.listeners import WishListener
from modelservice_activator.watching.services import Services
from modelservice_operator.facts.endpoints import Endpoint, Slice
from modelservice_operator.facts.errors import ApiError


class Bench:
    """A waker, the API server it writes to, and whether anybody waits."""

    def __init__(self) -> None:
        self.services = Services()
        ends = (Endpoint(address="10.0.0.9"),)
        standby = Slice(address_type="IPv4", endpoints=ends, ports={"http": 20000})
        self.services.set_standby(KEY, "spam-activator", standby)
        self.api = PlayedApi(WishListener(self.services))
        self.waker = Waker(self.api, self.services)  # type: ignore[arg-type]
        self.is_waited_for = True

    def wake(self) -> None:
        self.waker.wake(KEY, lambda: self.is_waited_for)

    async def settle(self) -> None:
        """Long enough for all that would be written by mistake."""
        await asyncio.sleep(0.3)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(waking, "QUIET_SECONDS", 0.05)
    made = Bench()
    yield made
    made.is_waited_for = False
    await made.waker.close()


async def test_many_who_wait_wake_it_once_under_the_precondition_of_what_was_seen(bench: Bench) -> None:
    bench.api.tell("ADDED")
    for _ in range(50):
        bench.wake()
    await bench.settle()
    assert bench.api.writes == [{"metadata": {"resourceVersion": "10"}, "spec": {"replicas": 1}}]


async def test_status_written_meanwhile_is_no_new_sleep(bench: Bench) -> None:
    bench.api.tell("ADDED")
    bench.wake()
    await eventually(lambda: bench.api.writes, "it is woken")
    # The watch is slow: what it brings was so before the wake.
    bench.api.replicas, bench.api.version = 0, 10
    bench.api.tell()
    bench.api.version = 11
    await bench.settle()
    assert len(bench.api.writes) == 1


async def test_service_that_is_put_to_sleep_while_somebody_waits_is_woken_again(bench: Bench) -> None:
    bench.api.tell("ADDED")
    bench.wake()
    await eventually(lambda: len(bench.api.writes) == 1, "it is woken")
    await bench.settle()
    bench.api.scale(0)
    await eventually(lambda: len(bench.api.writes) == 2, "it is woken again")


async def test_write_of_somebody_else_is_looked_at_and_not_overwritten(bench: Bench) -> None:
    bench.api.tell("ADDED")
    # The other activator was first; our watch has not said so yet.
    bench.api.replicas, bench.api.version = 1, 12
    bench.wake()
    await eventually(lambda: bench.api.conflicts, "it has tried")
    await bench.settle()
    assert (bench.api.writes, bench.api.conflicts) == ([], 1)


async def test_conflict_with_a_write_that_changed_nothing_is_tried_again(bench: Bench) -> None:
    bench.api.tell("ADDED")
    bench.api.version = 12  # a status was written; it still sleeps
    bench.wake()
    await eventually(lambda: len(bench.api.writes) == 1, "it is woken")
    assert bench.api.writes[0]["metadata"] == {"resourceVersion": "12"}


async def test_failure_is_tried_again_until_nobody_waits(bench: Bench) -> None:
    calls = 0

    async def fail(*_: object) -> dict[str, object]:
        nonlocal calls
        calls += 1
        raise ApiError("down", status=503)

    bench.api.tell("ADDED")
    bench.api.patch_subresource = fail  # type: ignore[method-assign,assignment]
    bench.wake()
    await eventually(lambda: calls >= 3, "it is tried again")
    bench.is_waited_for = False
    await eventually(lambda: not bench.waker._tasks, "it stops")
    assert bench.api.writes == []


@pytest.mark.parametrize(("replicas", "least"), [(0, 1), (1, 0), (3, 0)])
async def test_service_that_is_switched_off_or_awake_is_left_alone(
    bench: Bench, replicas: int, least: int
) -> None:
    bench.api.replicas, bench.api.min_replicas = replicas, least
    bench.api.tell("ADDED")
    bench.wake()
    await bench.settle()
    assert (bench.api.writes, bench.api.conflicts) == ([], 0)


async def test_service_that_is_not_autoscaled_any_more_is_left_alone(bench: Bench) -> None:
    bench.api.tell("ADDED")
    metadata = {"namespace": KEY[0], "name": KEY[1], "resourceVersion": "11"}
    bench.api.listener.on_object("MODIFIED", {"metadata": metadata, "spec": {"replicas": 0}})
    bench.wake()
    await bench.settle()
    assert bench.api.writes == []


async def test_who_waits_after_the_last_one_left_is_seen(bench: Bench) -> None:
    bench.is_waited_for = False
    bench.api.tell("ADDED")
    bench.wake()
    await eventually(lambda: not bench.waker._tasks, "nobody waits")
    bench.is_waited_for = True
    bench.wake()
    await eventually(lambda: len(bench.api.writes) == 1, "it is woken")


async def test_deleted_service_is_left_alone(bench: Bench) -> None:
    bench.api.tell("ADDED")
    bench.api.tell("DELETED")
    bench.wake()
    await bench.settle()
    assert bench.api.writes == []
