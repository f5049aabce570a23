"""How many writes are under way: after a start a thousand services have something to tell."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.autoscaler.objects import make_service

from modelservice_autoscaler.watching.services import Key, Services
from modelservice_autoscaler.writing.writer import PARALLEL_TELLS, Refusal, Writer
from modelservice_operator.facts.errors import ApiError, ConflictError, NotFoundError, TransportError


class SlowApi:
    """Takes writes and answers none of them before it is told to."""

    def __init__(self) -> None:
        self.under_way: list[str] = []
        self.answers = asyncio.Event()

    async def patch_subresource(self, _resource, _namespace, _name, subresource, _patch) -> dict[str, Any]:
        self.under_way.append(subresource)
        await self.answers.wait()
        return {"metadata": {"resourceVersion": "7"}}


async def test_what_is_told_waits_and_what_is_scaled_does_not_wait_for_it() -> None:
    services = Services()
    services.on_object(None, make_service())
    service = services.get(Key("mail", "spam"))
    assert service is not None
    api = SlowApi()
    writer = Writer(api, services)  # type: ignore[arg-type]
    writes = []
    while writer.has_room_to_tell:
        writes.append(asyncio.create_task(writer.tell(service, {})))
        await asyncio.sleep(0)
    assert api.under_way == ["status"] * PARALLEL_TELLS
    writes.append(asyncio.create_task(writer.scale(service, 3)))
    await asyncio.sleep(0)
    assert api.under_way[-1] == "scale"
    api.answers.set()
    assert all(await asyncio.gather(*writes))
    assert writer.has_room_to_tell


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ApiError("at most 3 pods", status=422), Refusal("at most 3 pods")),
        (ApiError("no right", status=403), Refusal("no right")),
        (ApiError("calling webhook: refused", status=500), Refusal("calling webhook: refused")),
        (ApiError("too much to do", status=429), None),
        (TransportError("timed out"), None),
        (ConflictError("changed", status=409), False),
        (NotFoundError("gone", status=404), False),
    ],
    ids=str,
)
async def test_what_the_api_server_says_no_to_is_told_from_what_it_does_not_answer(error, outcome) -> None:
    class Refusing:
        async def patch_subresource(self, *_: Any) -> dict[str, Any]:
            raise error

    services = Services()
    services.on_object(None, make_service())
    service = services.get(Key("mail", "spam"))
    assert service is not None
    assert await Writer(Refusing(), services).scale(service, 3) == outcome  # type: ignore[arg-type]
