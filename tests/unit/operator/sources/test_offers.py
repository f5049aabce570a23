"""Waiting for kinds that are not there: one look for all who wait, and no look where nobody does."""

from __future__ import annotations

import asyncio

import pytest

from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import GATEWAYS, HTTP_ROUTES, SCALED_OBJECTS
from modelservice_operator.sources import offers as offers_module
from modelservice_operator.sources.offers import Offers


class Cluster:
    """Serves `versions`; counts the looks."""

    def __init__(self) -> None:
        self.versions: frozenset[str] | None = frozenset({"apps/v1"})
        self.looks = 0
        self.looked = asyncio.Event()

    async def served_versions(self) -> frozenset[str]:
        self.looks += 1
        self.looked.set()
        if self.versions is None:
            raise ApiError("no", status=403)
        return self.versions


@pytest.fixture
def cluster(monkeypatch) -> Cluster:
    monkeypatch.setattr(offers_module, "LOOK_SECONDS", 0.001)
    return Cluster()


async def test_whoever_waits_goes_on_when_its_version_is_served(cluster):
    offers = Offers(cluster)
    waiting = asyncio.create_task(offers.wait(HTTP_ROUTES))
    await cluster.looked.wait()
    assert not waiting.done()
    cluster.versions = frozenset({HTTP_ROUTES.api_version})
    await asyncio.wait_for(waiting, 60)


async def test_all_who_wait_share_one_look(cluster):
    cluster.versions = frozenset({one.api_version for one in (HTTP_ROUTES, GATEWAYS, SCALED_OBJECTS)})
    offers = Offers(cluster)
    await asyncio.gather(*(offers.wait(one) for one in (HTTP_ROUTES, GATEWAYS, SCALED_OBJECTS)))
    assert cluster.looks == 1


async def test_whoever_waits_goes_on_where_nobody_can_tell(cluster):
    cluster.versions = None
    await asyncio.wait_for(Offers(cluster).wait(HTTP_ROUTES), 60)


async def test_one_that_waits_no_more_ends_nobody_elses_look(cluster, monkeypatch):
    monkeypatch.setattr(offers_module, "LOOK_SECONDS", 0.05)
    offers = Offers(cluster)
    first, second = (asyncio.create_task(offers.wait(HTTP_ROUTES)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    cluster.versions = frozenset({HTTP_ROUTES.api_version})
    await asyncio.wait_for(second, 60)
