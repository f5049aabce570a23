"""Leader election against a Lease that behaves like the API server's: created once, guarded by versions."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.virtual_time import in_virtual_time

from modelservice_operator.facts.errors import (
    ConflictError,
    LeadershipLostError,
    NotFoundError,
    TransportError,
)
from modelservice_operator.process import leader
from modelservice_operator.process.leader import LeaderElector
from modelservice_operator.settings import LeaseSettings


class LeaseServer:
    """The three calls that the elector makes, on one Lease in memory."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.is_down = False

    async def get(self, *_: object) -> dict[str, Any]:
        self._check()
        if self.lease is None:
            raise NotFoundError("no lease", status=404)
        return self.lease

    async def create(self, _resource: object, _namespace: str, body: dict[str, Any], _timeout: float) -> Any:
        self._check()
        if self.lease is not None:
            raise ConflictError("exists", status=409)
        return self._keep(body)

    async def replace(self, _resource: object, body: dict[str, Any], _timeout: float) -> Any:
        self._check()
        if self.lease is None:
            raise NotFoundError("no lease", status=404)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("modified", status=409)
        return self._keep(body)

    def _check(self) -> None:
        if self.is_down:
            raise TransportError("down")

    def _keep(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**body, "metadata": metadata}
        return self.lease

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


DURATION_SECONDS = 15.0
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0


def make_elector(server: LeaseServer, identity: str = "a") -> LeaderElector:
    settings = LeaseSettings(
        namespace="system",
        identity=identity,
        duration_seconds=DURATION_SECONDS,
        renew_deadline_seconds=RENEW_DEADLINE_SECONDS,
        retry_seconds=RETRY_SECONDS,
    )
    return LeaderElector(server, settings)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def time_of_the_loop(monkeypatch):
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    monkeypatch.setattr(leader, "time", SimpleNamespace(monotonic=monotonic))


def run(elector: LeaderElector) -> asyncio.Task[None]:
    return asyncio.create_task(elector.run())


async def lead(elector: LeaderElector, within_seconds: float = 0.1) -> None:
    await asyncio.wait_for(elector.acquired.wait(), within_seconds)


@in_virtual_time
async def test_first_replica_leads_and_second_waits():
    server = LeaseServer()
    first, second = make_elector(server, "a"), make_elector(server, "b")
    run(first)
    await lead(first)
    run(second)
    await asyncio.sleep(1.2 * DURATION_SECONDS)  # longer than the Lease lasts: it is renewed
    assert server.holder == "a"
    assert not second.acquired.is_set()
    first.require()
    with pytest.raises(LeadershipLostError):
        second.require()


@in_virtual_time
async def test_released_lease_is_free_at_once():
    server = LeaseServer()
    first, second = make_elector(server, "a"), make_elector(server, "b")
    task = run(first)
    await lead(first)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await first.release()
    assert server.holder == ""
    assert not first.is_leading
    run(second)
    await lead(second)
    assert server.lease["spec"]["leaseTransitions"] == 1


@in_virtual_time
async def test_dead_leaders_lease_is_taken_over_after_its_duration():
    server = LeaseServer()
    first, second = make_elector(server, "a"), make_elector(server, "b")
    task = run(first)
    await lead(first)
    task.cancel()
    started = asyncio.get_running_loop().time()
    run(second)
    await lead(second, DURATION_SECONDS + 2 * RETRY_SECONDS)
    assert asyncio.get_running_loop().time() - started >= DURATION_SECONDS
    assert server.holder == "b"


@in_virtual_time
async def test_leader_that_cannot_renew_must_not_write_and_ends():
    server = LeaseServer()
    elector = make_elector(server)
    task = run(elector)
    await lead(elector)
    server.is_down = True
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(task, RENEW_DEADLINE_SECONDS + RETRY_SECONDS)
    with pytest.raises(LeadershipLostError):
        elector.require()


@in_virtual_time
async def test_leader_whose_lease_was_taken_ends_at_once():
    server = LeaseServer()
    elector = make_elector(server)
    task = run(elector)
    await lead(elector)
    server.lease["spec"]["holderIdentity"] = "somebody-else"
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(task, RETRY_SECONDS + 0.1)


@in_virtual_time
async def test_deleted_lease_is_made_again_by_its_holder():
    server = LeaseServer()
    elector = make_elector(server)
    run(elector)
    await lead(elector)
    server.lease = None
    await asyncio.sleep(RETRY_SECONDS + 0.1)
    assert server.holder == "a"
    assert elector.is_leading


@in_virtual_time
async def test_restarted_process_of_the_same_pod_takes_its_lease_back_at_once():
    server = LeaseServer()
    task = run(make_elector(server, "pod-1"))
    await asyncio.sleep(0.05)
    task.cancel()
    again = make_elector(server, "pod-1")
    run(again)
    await lead(again)
