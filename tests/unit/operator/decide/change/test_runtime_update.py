"""A newer runtime by an annotation: who gets it, by which steps, what takes it back; and it is asked once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.unit.operator.builders import World, make_runtime, model

from modelservice_operator.api import ModelServiceStatus
from modelservice_operator.facts.labels import UPDATE_RUNTIME

OLD, NEW = "registry.example/onnx:1", "registry.example/onnx:2"
CANARY = {"strategy": "Canary", "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}


def newer_world(**spec: Any) -> World:
    """A service at rest whose ModelRuntime has got a newer image since."""
    world = World(make_runtime(default=True), **{"replicas": 2, **spec})
    world.settle()
    change_runtime(world, NEW)
    world.settle()
    return world


def change_runtime(world: World, image: str) -> None:
    world.runtimes = [make_runtime(default=True, image=image)]


def ask(world: World, request: str | None) -> None:
    annotations = world.service["metadata"].setdefault("annotations", {})
    if request is None:
        annotations.pop(UPDATE_RUNTIME, None)
    else:
        annotations[UPDATE_RUNTIME] = request


def update(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.status["runtime"]["update"]
    return found


def stable(world: World) -> str:
    return str(world.status["stableRevision"])


def image(world: World) -> str:
    """What the pods of the stable revision run."""
    body = world.objects["Deployment", f"spam-{stable(world)}"]
    return str(body["spec"]["template"]["spec"]["containers"][0]["image"])


def test_nothing_moves_until_somebody_asks_for_that_image() -> None:
    world = newer_world()
    before, children = stable(world), copy.deepcopy(world.objects)
    world.edit(replicas=2)
    world.settle()
    assert (stable(world), image(world), world.objects) == (before, OLD, children)

    ask(world, NEW)
    world.settle()
    assert (image(world), stable(world) != before) == (NEW, True)
    assert update(world) == {
        "request": NEW,
        "phase": "Complete",
        "message": f"Revision {stable(world)} has it.",
        "revision": stable(world),
    }
    assert "newerImage" not in world.status["runtime"]
    ModelServiceStatus.model_validate(world.status, extra="forbid")
    world.reconcile()
    assert world.writes == []


def test_it_goes_by_the_steps_of_the_service_and_lives_on_without_the_annotation() -> None:
    world = newer_world(rollout=CANARY)
    before = stable(world)
    ask(world, NEW)
    world.settle()
    assert (update(world)["phase"], stable(world)) == ("Progressing", before)
    assert world.status["rollout"]["phase"] == "Paused"

    # A tool that knows the annotation from nowhere takes it away: that is no answer.
    ask(world, None)
    world.settle()
    assert (update(world)["phase"], stable(world)) == ("Progressing", before)
    world.service["metadata"]["annotations"]["modelservice.dev/rollout-action"] = (
        f"promote@{world.status['targetRevision']}"
    )
    world.settle()
    assert image(world) == NEW
    assert "update" not in world.status["runtime"]


def test_runtime_that_changes_once_more_in_the_middle_changes_nothing() -> None:
    world = newer_world(rollout=CANARY)
    ask(world, NEW)
    world.settle()
    target = world.status["targetRevision"]
    change_runtime(world, "registry.example/onnx:3")
    world.settle()
    assert world.status["targetRevision"] == target
    assert world.status["runtime"]["newerImage"] == "registry.example/onnx:3"


def test_edit_in_the_middle_takes_the_newer_runtime_along() -> None:
    world = newer_world(rollout=CANARY)
    ask(world, NEW)
    world.settle()
    first = world.status["targetRevision"]
    world.edit(model=model(2))
    world.settle()
    assert world.status["targetRevision"] != first
    assert update(world)["revision"] == world.status["targetRevision"]
    assert world.status["runtime"]["image"] == NEW


def test_update_that_is_aborted_leaves_the_runtime_from_before_and_is_not_tried_again() -> None:
    world = newer_world(rollout=CANARY)
    before = stable(world)
    ask(world, NEW)
    world.settle()
    tried = world.status["targetRevision"]
    world.service["metadata"]["annotations"]["modelservice.dev/rollout-action"] = f"abort@{tried}"
    world.settle()
    assert (stable(world), world.status["targetRevision"], image(world)) == (before, before, OLD)
    assert (update(world)["phase"], update(world)["revision"]) == ("Failed", tried)
    assert world.condition("Ready")["status"] == "True"

    # A new model goes on with the runtime from before: never do two things change at once.
    world.edit(model=model(2))
    world.settle()
    assert world.status["runtime"]["image"] == OLD
    assert update(world)["phase"] == "Failed"


def test_asked_once_more_it_is_tried_again() -> None:
    world = newer_world()
    ask(world, NEW)
    decision = world.reconcile()
    assert decision.target is not None
    tried = decision.target.name
    world.broken = {tried}
    world.run_controllers()
    world.wait(3600)
    world.settle()
    assert update(world)["phase"] == "Failed"
    assert image(world) == OLD

    world.broken = set()
    ask(world, f"{NEW} again")
    world.settle()
    assert (update(world)["phase"], image(world), stable(world)) == ("Complete", NEW, tried)


@pytest.mark.parametrize(
    ("spec", "request_", "why"),
    [
        ({}, "registry.example/onnx:9", f"the image of ModelRuntime 'onnx' is {NEW} now"),
        ({}, OLD, f"the image of ModelRuntime 'onnx' is {NEW} now"),
        ({"gpu": {"count": 1}}, NEW, "the image of ModelRuntime 'onnx' is registry.example/gpu:1 now"),
    ],
)
def test_request_that_means_something_else_is_refused(spec: dict[str, Any], request_: str, why: str) -> None:
    world = World(make_runtime(default=True, gpuImage="registry.example/gpu:1"), replicas=2, **spec)
    world.settle()
    before = stable(world)
    world.runtimes = [make_runtime(default=True, image=NEW, gpuImage="registry.example/gpu:1")]
    ask(world, request_)
    world.settle()
    assert update(world) == {"request": request_, "phase": "Refused", "message": f"Nothing was done: {why}."}
    assert stable(world) == before
    ask(world, None)
    world.settle()
    assert "update" not in world.status["runtime"]


def test_request_of_what_is_there_of_a_first_deployment_and_of_no_runtime_is_refused() -> None:
    world = newer_world()
    ask(world, NEW)
    world.settle()
    ask(world, f"{NEW} again")
    world.settle()
    assert update(world)["message"] == f"Nothing was done: revision {stable(world)} has it."
    world.runtimes = []
    ask(world, f"{NEW} once more")
    world.settle()
    assert update(world)["phase"] == "Refused"
    assert "No ModelRuntime is the default" in update(world)["message"]

    first = World(make_runtime(default=True))
    ask(first, OLD)
    first.settle()
    assert update(first)["phase"] == "Refused"
    assert first.condition("Ready")["status"] == "True"


def test_invalid_spec_in_the_middle_forgets_nothing() -> None:
    world = newer_world(rollout=CANARY)
    ask(world, NEW)
    world.settle()
    before = update(world)
    good = world.service["spec"]["model"]
    world.edit(model={"storageUri": "ftp://x/y"})
    world.settle()
    assert update(world) == before
    world.edit(model=good)
    world.settle()
    assert update(world) == before


def test_end_is_told_with_the_status_that_says_that_the_revision_is_stable() -> None:
    """Nothing may happen after it that would have the operator look once more."""
    world = newer_world()
    ask(world, NEW)
    before = stable(world)
    for _ in range(40):
        world.reconcile()
        if stable(world) != before:
            break
        assert update(world)["phase"] == "Progressing"
        world.run_controllers()
    assert update(world)["phase"] == "Complete"


def test_operator_looks_again_by_itself_after_an_abort() -> None:
    world = newer_world(rollout=CANARY)
    ask(world, NEW)
    world.settle()
    tried = world.status["targetRevision"]
    world.service["metadata"]["annotations"]["modelservice.dev/rollout-action"] = f"abort@{tried}"
    decision = world._reconcile_once()
    assert world.status["rollout"]["phase"] == "Aborted"
    assert decision.requeue_after_seconds is not None


def test_answer_fits_into_the_status_however_long_the_names_are() -> None:
    world = newer_world()
    world.runtimes = [make_runtime(f"{'a' * 240}{number}", default=True) for number in range(8)]
    ask(world, "registry.example/onnx:9")
    world.settle()
    assert update(world)["phase"] == "Refused"
    ModelServiceStatus.model_validate(world.status, extra="forbid")
