import asyncio

import pytest
from tests.unit.runtime.gated_model import FAST, SLOW, GatedModel, Results, make_request

from modelservice_runtime.errors import ModelUnavailableError, NotFoundError
from modelservice_runtime.health import Health
from modelservice_runtime.lane import Lane, LaneSettings
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.repository import ModelHandle, ModelTable
from modelservice_runtime.statistics import ModelStatistics


def make_handle(
    name: str, version: str, model: GatedModel | None = None, warm_up: object = FAST
) -> ModelHandle:
    statistics = ModelStatistics()
    loop = asyncio.get_running_loop()
    lane = Lane(model or GatedModel(), LaneSettings(), statistics, loop, warm_up)  # type: ignore[arg-type]
    return ModelHandle(ModelSpec(name, version, (), ()), lane, statistics)


async def test_find_returns_the_version_asked_for_or_the_latest() -> None:
    table = ModelTable()
    first, second = make_handle("m", "1"), make_handle("m", "2")
    table.publish(first)
    table.publish(second)
    assert table.find("m", "1") is first
    assert table.find("m", None) is second
    assert table.versions("m") == ["1", "2"]


async def test_find_of_a_loading_model_is_unavailable_and_of_an_unknown_one_not_found() -> None:
    table = ModelTable()
    table.declare("m", "1")
    for version in (None, "1"):
        with pytest.raises(ModelUnavailableError, match="loading"):
            table.find("m", version)
    with pytest.raises(NotFoundError, match="unknown"):
        table.find("q", None)
    with pytest.raises(NotFoundError, match="no version '9'"):
        table.find("m", "9")


async def test_readiness_needs_every_declared_model_and_ends_with_draining() -> None:
    table = ModelTable()
    health = Health(table)
    table.declare("a", "1")
    table.declare("b", "1")
    table.publish(make_handle("a", "1"))
    assert not health.ready
    table.publish(make_handle("b", "1"))
    assert health.ready
    health.start_draining()
    assert not health.ready


async def test_publish_of_the_same_version_lets_the_old_one_finish() -> None:
    table = ModelTable()
    model = GatedModel()
    old = make_handle("m", "1", model, SLOW)
    table.publish(old)
    results = Results()
    table.find("m", None).lane.submit(make_request(1), results.append)
    new = make_handle("m", "1")
    table.publish(new)
    assert table.find("m", None) is new
    assert old.lane.pending == 1
    model.gate.set()
    await results.wait(1)
    assert old.lane.pending == 0
