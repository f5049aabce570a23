"""The page that a scrape gets of all services: from the leader, up to a number, for as long as they exist."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.operator.builders import make_model_service

from modelservice_operator import metrics
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.explain.states import FAMILIES
from modelservice_operator.process.states import PORTION, StatesPage


def store_of(*names: str) -> Store:
    store = Store()
    for name in names:
        put(store, name)
    return store


def put(store: Store, name: str, version: str = "1", **spec: object) -> None:
    service = make_model_service(name, **spec)
    service["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": version}
    store.put_service(service)


async def told(page: StatesPage) -> list[str]:
    """The services of the page, in its order; every family tells the same ones."""
    text = b"".join(await page()).decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) in (0, len(FAMILIES))
    seen = {
        family.name: [sample.labels["name"] for sample in family.samples]
        for family in families
        if family.name in ("modelservice_info", "modelservice_replicas_ready")
    }
    assert len({tuple(names) for names in seen.values()}) <= 1
    return next(iter(seen.values()), [])


def left_out() -> float:
    return metrics.REGISTRY.get_sample_value("modelservice_operator_unreported_services") or 0.0


async def test_page_tells_services_as_long_as_they_exist():
    store = store_of("ham", "spam")
    page = StatesPage(store, lambda: True, 10)
    assert await told(page) == ["ham", "spam"]
    store.remove_service(Key("mail", "ham"), "uid-ham", "2")
    assert await told(page) == ["spam"]
    assert left_out() == 0


async def test_page_of_a_standby_is_empty():
    leads = False
    page = StatesPage(store_of("spam"), lambda: leads, 10)
    assert await page() == []
    leads = True
    assert await told(page) == ["spam"]


async def test_page_beyond_its_limit_keeps_to_the_same_services_and_counts_the_others():
    store = store_of("a", "b", "c", "d")
    page = StatesPage(store, lambda: True, 3)
    assert await told(page) == ["a", "b", "c"]
    assert left_out() == 1
    put(store, "a", "2", replicas=3)  # news does not cost it its place
    assert await told(page) == ["a", "b", "c"]
    assert await told(StatesPage(store, lambda: True, 0)) == []
    assert left_out() == 4


async def test_page_leaves_out_what_cannot_be_read_and_tells_the_others():
    store = store_of("ham", "spam")
    put(store, "ham", "2", replicas="many")
    assert await told(StatesPage(store, lambda: True, 10)) == ["spam"]
    assert left_out() == 1


async def test_page_of_many_services_lets_others_have_their_turn():
    store = store_of(*(f"service-{number}" for number in range(3 * PORTION)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert len(await told(StatesPage(store, lambda: True, 10_000))) == 3 * PORTION
    counting.cancel()
    assert turns >= 3
