"""The autoscaler is silent where its Lease stands still for a minute; no answer says nothing."""

from __future__ import annotations

import pytest
from aiohttp import web
from tests.support.operator_objects import make_model_service

from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import WorkQueue
from modelservice_operator.facts.kinds import MODEL_SERVICES
from modelservice_operator.sources.autoscaler import AutoscalerLook


class Watcher:
    """Looks at a Lease, by a clock that a test moves."""

    def __init__(self, api, server) -> None:
        self.server, self.now = server, 1000.0
        self.store, self.queue = Store(), WorkQueue()
        ingest = Ingest(self.store, self.queue)
        ingest.on_event(MODEL_SERVICES, None, make_model_service())
        self.look = AutoscalerLook(
            api=api, ingest=ingest, namespace="system", name="autoscaler", clock=lambda: self.now
        )

    async def sees(self, answer: str | int, after_seconds: float) -> bool:
        """Whether it says that nobody is heard, after a look at a Lease renewed then, or at a refusal."""
        self.now += after_seconds
        if isinstance(answer, int):
            self.server.answer(web.json_response({"message": "no"}, status=answer))
        else:
            self.server.answer(web.json_response({"spec": {"renewTime": answer}}))
        await self.look.look()
        return self.store.cluster.is_autoscaler_silent


@pytest.fixture
async def watcher(api, server) -> Watcher:
    return Watcher(api, server)


async def test_lease_that_is_renewed_is_heard_whatever_its_clock_says(watcher):
    for renewed in ("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2019-01-01T00:00:00Z"):
        assert not await watcher.sees(renewed, 50)


async def test_lease_that_stands_still_is_silent_until_it_moves(watcher):
    assert not await watcher.sees("2026-01-01T00:00:00Z", 0)
    assert not await watcher.sees("2026-01-01T00:00:00Z", 59)
    watcher.queue.done(await watcher.queue.get())  # the service is new
    assert await watcher.sees("2026-01-01T00:00:00Z", 2)
    # Every service is told.
    assert (await watcher.queue.get()).name == "spam"
    assert not await watcher.sees("2026-01-01T00:01:02Z", 20)


async def test_no_lease_is_silence_and_no_answer_is_none(watcher):
    assert not await watcher.sees(404, 30)
    assert not await watcher.sees(503, 40)
    assert not await watcher.sees(404, 59)
    assert await watcher.sees(404, 2)
    # Nobody knows: what was known holds, and the minute begins anew.
    assert await watcher.sees(503, 2)
    assert not await watcher.sees("2026-01-01T00:00:00Z", 0)
