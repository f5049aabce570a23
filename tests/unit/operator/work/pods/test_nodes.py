"""Nodes are listed for those who wait, once for all of them, and nobody asks again where that is refused."""

from __future__ import annotations

import asyncio

import pytest

from modelservice_operator.client.answers import ListMeta, Page
from modelservice_operator.facts.errors import ApiError, TransportError
from modelservice_operator.facts.kinds import NODES
from modelservice_operator.facts.nodes import Node, Taint
from modelservice_operator.work.pods import nodes as module
from modelservice_operator.work.pods.nodes import FRESH_SECONDS, REFUSED_SECONDS, NodeReader

GPU = {
    "metadata": {"name": "a", "labels": {"zone": "b"}, "managedFields": [{}]},
    "spec": {
        "unschedulable": True,
        "taints": [
            {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
            {"key": "dedicated", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"},
        ],
    },
    "status": {"allocatable": {"cpu": "8", "nvidia.com/gpu": "1"}, "images": [{"names": ["large"]}]},
}


class Api:
    """Two pages of nodes, or an error."""

    def __init__(self, error: ApiError | None = None) -> None:
        self.error = error
        self.lists = 0

    async def list_pages(self, resource, namespace):
        assert (resource, namespace) == (NODES, None)
        self.lists += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        yield Page(ListMeta(resource_version="1"), [GPU])
        yield Page(ListMeta(resource_version="1"), [{"metadata": {"name": "b"}}])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_reader(error: ApiError | None = None) -> tuple[Api, Clock, NodeReader]:
    api, clock = Api(error), Clock()
    return api, clock, NodeReader(api, clock)  # type: ignore[arg-type]


async def test_read_keeps_what_decides_and_follows_pages() -> None:
    _, _, reader = make_reader()

    assert await reader.read() == (
        Node(
            name="a",
            labels={"zone": "b"},
            taints=(Taint("nvidia.com/gpu", "present", "NoSchedule"), Taint("dedicated", "", "NoExecute")),
            is_cordoned=True,
            allocatable={"cpu": "8", "nvidia.com/gpu": "1"},
        ),
        Node(name="b"),
    )


async def test_read_by_many_lists_once_until_it_is_old() -> None:
    api, clock, reader = make_reader()

    await asyncio.gather(*(reader.read() for _ in range(20)))
    clock.now = FRESH_SECONDS - 1
    await reader.read()
    assert api.lists == 1
    clock.now = FRESH_SECONDS
    await reader.read()
    assert api.lists == 2


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(ApiError("no", status=403), REFUSED_SECONDS), (TransportError("broken"), FRESH_SECONDS)],
)
async def test_read_refused_is_none_and_not_asked_again_soon(error: ApiError, seconds: float) -> None:
    api, clock, reader = make_reader(error)

    assert await reader.read() is None
    clock.now = seconds - 1
    assert await reader.read() is None
    assert api.lists == 1
    clock.now, api.error = seconds, None
    assert await reader.read() is not None


async def test_read_too_many_nodes_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NODES", 1)
    _, _, reader = make_reader()

    assert await reader.read() is None
