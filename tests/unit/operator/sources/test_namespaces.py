"""A namespace that we may not read holds nobody up, and is served as soon as we may."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from modelservice_operator.facts.errors import ApiError, OperatorError
from modelservice_operator.sources import namespaces
from modelservice_operator.sources.namespaces import find_readable, guard_rights, wait_for_readable


class Rights:
    """Lets some namespaces be listed; `codes` says how others are refused."""

    def __init__(self, **codes: int) -> None:
        self.codes = codes
        self.asked: list[str] = []
        self._news: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, request: web.Request) -> web.Response:
        namespace = request.path.split("/")[5]
        self.asked.append(namespace)
        self._news.put_nowait(namespace)
        code = self.codes.get(namespace, 200)
        body = {"metadata": {"resourceVersion": "1"}, "items": []} if code == 200 else {"message": "refused"}
        return web.json_response(body, status=code)

    async def answered(self, more: int) -> None:
        """Wait for so many answers from now on."""
        while not self._news.empty():
            self._news.get_nowait()
        for _ in range(more):
            await self._news.get()


async def test_find_readable_leaves_out_what_is_forbidden(api, server) -> None:
    rights = Rights(shop=403)
    server.answer(rights)
    assert await find_readable(api, ("mail", "shop", "web")) == ("mail", "web")
    assert rights.asked == ["mail", "shop", "web"]


async def test_find_readable_of_the_whole_cluster_asks_nothing(api, server) -> None:
    assert await find_readable(api, (None,)) == (None,)
    assert server.requests == []


@pytest.mark.parametrize("codes", [{"mail": 403, "shop": 403}, {"shop": 500}, {"mail": 404}])
async def test_find_readable_that_says_nothing_of_rights_is_an_error(api, server, codes) -> None:
    server.answer(Rights(**codes))
    with pytest.raises(ApiError):
        await find_readable(api, ("mail", "shop"))


async def test_wait_for_readable_waits_until_one_answers(api, server, monkeypatch) -> None:
    monkeypatch.setattr(namespaces, "WAIT_SECONDS", 0.001)
    rights = Rights(mail=403, shop=404)
    server.answer(rights)
    waiting = asyncio.create_task(wait_for_readable(api, ("mail", "shop")))
    await rights.answered(4)
    assert not waiting.done()
    rights.codes = {"mail": 403}
    assert await waiting == ("shop",)


async def test_guard_rights_ends_the_process_only_for_lasting_news(api, server) -> None:
    rights = Rights(shop=403)
    server.answer(rights)
    guard = asyncio.create_task(
        guard_rights(api, ("mail", "shop"), ("mail",), look_seconds=0.001, confirm_seconds=0)
    )
    for codes in ({"shop": 403}, {"mail": 403, "shop": 403}, {"mail": 500}):
        rights.codes = codes
        await rights.answered(6)
        assert not guard.done(), codes
    rights.codes = {}
    with pytest.raises(OperatorError, match=r"\(mail, shop\): starting over"):
        await guard
