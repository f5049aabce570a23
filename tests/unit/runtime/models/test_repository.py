import asyncio
from unittest.mock import Mock

import pytest
from tests.unit.runtime.gated_model import FAST, SLOW, GatedModel, Results, make_request

from modelservice_runtime.errors import InvalidRequestError, ModelUnavailableError, NotFoundError
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.generation.values import GenerationLane, GenerativeModel, TextModel
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelHandle, ModelState, ModelTable
from modelservice_runtime.settings.lanes import LaneSettings


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


@pytest.mark.parametrize(
    ("published", "default"),
    [(["2", "10", "9"], "10"), (["10", "b", "a"], "10"), (["a", "b"], "b"), (["b", "1", "c"], "1")],
)
async def test_find_without_a_version_takes_the_highest_number_or_the_last(
    published: list[str], default: str
) -> None:
    table = ModelTable()
    for version in published:
        table.publish(make_handle("m", version))
    assert table.find("m", None).spec.version == default


async def test_label_leads_to_an_available_version_and_moves() -> None:
    table = ModelTable()
    table.declare("m", "1")
    with pytest.raises(ModelUnavailableError, match="loading"):
        table.set_label("m", "stable", "1")
    with pytest.raises(ModelUnavailableError, match="loading"):
        table.find_label("m", "stable")
    first, second = make_handle("m", "1"), make_handle("m", "2")
    table.publish(first)
    table.publish(second)
    table.set_label("m", "stable", "1")
    assert table.find_label("m", "stable") is first
    table.set_label("m", "stable", "2")
    assert table.find_label("m", "stable") is second
    with pytest.raises(NotFoundError, match=r"no version label 'canary'; it has \['stable'\]"):
        table.find_label("m", "canary")
    with pytest.raises(NotFoundError, match="no version '3'"):
        table.set_label("m", "stable", "3")
    with pytest.raises(NotFoundError, match="'q' is unknown"):
        table.find_label("q", "stable")


async def test_retire_drains_the_version_and_leaves_the_others() -> None:
    table = ModelTable()
    model = GatedModel()
    old, new = make_handle("m", "2", model, SLOW), make_handle("m", "1")
    table.publish(old)
    table.publish(new)
    table.set_label("m", "stable", "2")
    results = Results()
    table.find("m", None).lane.submit(make_request(1), results.append)
    closed: list[bool] = []
    table.retire("m", "2", lambda: closed.append(True))
    assert table.find("m", None) is new
    assert [entry.state for entry in table.entries("m")] == [ModelState.UNLOADING, ModelState.AVAILABLE]
    with pytest.raises(NotFoundError, match="no version label 'stable'"):
        table.find_label("m", "stable")
    with pytest.raises(ModelUnavailableError, match="unloaded"):
        table.find("m", "2")
    model.gate.set()
    await results.wait(1)
    assert closed == [True]
    assert table.entries("m")[0].state is ModelState.END
    assert table.all_ready
    with pytest.raises(NotFoundError, match="to retire"):
        table.retire("m", "2")


async def test_retire_of_the_only_version_makes_the_model_unavailable() -> None:
    table = ModelTable()
    table.publish(make_handle("m", "1"))
    table.retire("m", "1")
    with pytest.raises(ModelUnavailableError, match="unloaded"):
        table.find("m", None)


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


def test_a_generative_model_makes_ready_and_takes_no_tensors() -> None:
    table = ModelTable()
    table.declare("chat", "1")
    assert table.find_generative("chat") is None
    with pytest.raises(ModelUnavailableError, match="loading"):
        table.find("chat", None)
    model = GenerativeModel("chat", "1", 0, Mock(spec=TextModel), Mock(spec=GenerationLane), ("law", "poet"))
    table.publish_generative(model)
    assert table.all_ready
    assert [table.find_generative(name) for name in ("chat", "poet")] == [model, model]
    assert (table.generative(), table.names()) == ([model], ["chat", "law", "poet"])
    with pytest.raises(InvalidRequestError, match="takes no tensors"):
        table.find("chat", None)
    table.retire_generative("chat")
    assert (table.generative(), table.names()) == ([], [])
    assert [entry.state for entry in table.index()] == [ModelState.END]
    with pytest.raises(ModelUnavailableError, match="unloaded"):
        table.find("chat", None)
