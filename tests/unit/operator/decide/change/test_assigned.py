"""An image that a RuntimeRollout assigns: how a service takes it and gives it back, and that it keeps it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.builders import UID, World, make_runtime, model

from modelservice_operator.api import ModelServiceStatus
from modelservice_operator.facts.fleet import Assignment, request_of
from modelservice_operator.facts.labels import UPDATE_RUNTIME

if TYPE_CHECKING:
    from modelservice_operator.decide.decision import Decision

OLD, NEW, THIRD = (f"registry.example/onnx:{number}" for number in (1, 2, 3))
CANARY = {"strategy": "Canary", "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
GPUS = {
    "gpuImage": "registry.example/gpu:1",
    "gpuImages": {"amd.com": "registry.example/amd:1", "gpu.intel.com": "registry.example/intel:1"},
}


def world_at_rest(**spec: Any) -> World:
    world = World(make_runtime(default=True, image=OLD, **GPUS), **{"replicas": 2, **spec})
    world.settle()
    return world


def assign(
    world: World,
    image: str,
    *,
    is_back: bool = False,
    rollout: str = "may",
    runtime: dict[str, Any] | None = None,
) -> None:
    world.assignment = Assignment(
        rollout=rollout,
        request=request_of(rollout, UID, is_back=is_back),
        image=image,
        uid=UID[:8],
        is_back=is_back,
        runtime=runtime,
    )


def assigned(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.status["runtime"]["assigned"]
    return found


def stable(world: World) -> str:
    return str(world.status["stableRevision"])


def image(world: World) -> str:
    """What the pods of the stable revision run."""
    body = world.objects["Deployment", f"spam-{stable(world)}"]
    return str(body["spec"]["template"]["spec"]["containers"][0]["image"])


def arguments(world: World) -> list[str]:
    """What its server is started with."""
    body = world.objects["Deployment", f"spam-{stable(world)}"]
    found: list[str] = body["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def act(world: World, verb: str) -> None:
    annotations = world.service["metadata"].setdefault("annotations", {})
    annotations["modelservice.dev/rollout-action"] = f"{verb}@{world.status['targetRevision']}"


def test_service_takes_it_says_so_and_its_own_object_stays_as_it_was() -> None:
    world = world_at_rest()
    spec, metadata, before = (
        copy.deepcopy(one) for one in (world.service["spec"], world.service["metadata"], stable(world))
    )
    assign(world, NEW)
    world.settle()
    assert (image(world), stable(world) != before) == (NEW, True)
    assert assigned(world) == {
        "request": f"may@{UID[:8]}",
        "phase": "Complete",
        "message": f"Revision {stable(world)} has it.",
        "revision": stable(world),
    }
    assert (world.service["spec"], world.service["metadata"]) == (spec, metadata)
    ModelServiceStatus.model_validate(world.status, extra="forbid")
    world.reconcile()
    assert world.writes == []


def test_it_takes_the_runtime_that_the_run_began_with_whatever_became_of_it_since() -> None:
    world = world_at_rest()
    assign(world, NEW, runtime=make_runtime(image=NEW, intraOpThreads=2))
    world.runtimes = [make_runtime(default=True, image=THIRD, intraOpThreads=7)]
    world.settle()
    assert image(world) == NEW
    given = arguments(world)
    assert given[given.index("--intra-op-threads") + 1] == "2"
    assert "newerImage" in world.status["runtime"], "what came since is told as news"


def test_it_goes_by_the_steps_of_the_service_and_on_without_the_rollout() -> None:
    world = world_at_rest(rollout=CANARY)
    assign(world, NEW)
    world.settle()
    assert (assigned(world)["phase"], world.status["rollout"]["phase"]) == ("Progressing", "Paused")
    assert (world.status["runtime"]["image"], world.status["runtime"]["stableImage"]) == (NEW, OLD)
    world.assignment = None
    world.settle()
    assert world.status["runtime"]["image"] == NEW
    act(world, "promote")
    world.settle()
    assert (image(world), assigned(world)["phase"]) == (NEW, "Complete")
    assert "stableImage" not in world.status["runtime"]


def test_later_edit_never_falls_back_though_the_rollout_and_the_runtime_are_gone() -> None:
    world = world_at_rest()
    assign(world, NEW)
    world.settle()
    world.assignment, world.runtimes = None, []
    world.edit(model=model(2))
    world.settle()
    assert image(world) == NEW


def test_edit_in_the_middle_takes_the_image_along() -> None:
    world = world_at_rest(rollout=CANARY)
    assign(world, NEW)
    world.settle()
    first = world.status["targetRevision"]
    world.assignment = None
    world.edit(model=model(2))
    world.settle()
    assert world.status["targetRevision"] not in (first, stable(world))
    assert (world.status["runtime"]["image"], assigned(world)["phase"]) == (NEW, "Progressing")
    assert assigned(world)["revision"] == world.status["targetRevision"]


def test_image_that_is_given_up_leaves_the_one_from_before_and_is_told() -> None:
    world = world_at_rest(rollout=CANARY)
    before = stable(world)
    assign(world, NEW)
    world.settle()
    act(world, "abort")
    world.settle()
    assert (stable(world), image(world), assigned(world)["phase"]) == (before, OLD, "Failed")
    (outcome,) = (one for one in world.status["outcomes"] if one["outcome"] == "Aborted")
    assert outcome["message"]
    assert assigned(world)["message"].endswith(outcome["message"]), "why is told to whoever brings the image"
    assert world.condition("Ready")["status"] == "True"
    world.assignment = None
    world.edit(model=model(2))
    world.settle()
    assert image(world) == OLD


def test_it_is_taken_back_with_all_that_the_revision_before_had() -> None:
    world = World(make_runtime(default=True, image=OLD, intraOpThreads=3), replicas=2)
    world.settle()
    before = stable(world)
    world.runtimes = [make_runtime(default=True, image=NEW, intraOpThreads=7)]
    assign(world, NEW)
    world.settle()
    assert image(world) == NEW
    assign(world, OLD, is_back=True)
    world.settle()
    assert (stable(world), assigned(world)["phase"]) == (before, "Complete")
    assert assigned(world)["request"].endswith("@back")


def test_service_that_has_another_runtime_by_now_refuses_the_image() -> None:
    other = make_runtime("other", image=THIRD)
    world = World(make_runtime(default=True, image=OLD), other, replicas=2)
    world.settle()
    world.edit(runtime={"ref": "other"})
    world.settle()
    assign(world, OLD, is_back=True, runtime=world.runtimes[0])
    world.settle()
    assert (image(world), assigned(world)["phase"]) == (THIRD, "Refused")
    assert "it has ModelRuntime 'other' now" in assigned(world)["message"]


def test_it_is_taken_back_though_the_record_of_the_old_revision_is_gone() -> None:
    world = world_at_rest()
    assign(world, NEW)
    world.settle()
    world.edit(rollout={"revisionHistoryLimit": 0})
    world.settle()
    assign(world, OLD, is_back=True)
    world.settle()
    assert (image(world), assigned(world)["phase"]) == (OLD, "Complete")


def test_one_on_its_way_turns_round_at_once() -> None:
    world = world_at_rest(rollout=CANARY)
    before = stable(world)
    assign(world, NEW)
    world.settle()
    assert world.status["targetRevision"] != before
    assign(world, OLD, is_back=True)
    world.settle()
    assert (world.status["targetRevision"], stable(world)) == (before, before)
    assert (assigned(world)["phase"], world.condition("Ready")["status"]) == ("Complete", "True")


def test_pinned_service_is_left_alone_and_the_pin_makes_no_revision() -> None:
    world = world_at_rest()
    before = stable(world)
    world.edit(runtime={"pin": True})
    assign(world, NEW)
    world.settle()
    assert (stable(world), "assigned" in world.status["runtime"]) == (before, False)
    world.edit(runtime={})
    world.settle()
    assert image(world) == NEW


def test_pin_that_comes_in_the_middle_stops_nothing() -> None:
    world = world_at_rest(rollout=CANARY)
    assign(world, NEW)
    world.settle()
    target = world.status["targetRevision"]
    world.edit(runtime={"pin": True})
    world.settle()
    assert (world.status["targetRevision"], assigned(world)["phase"]) == (target, "Progressing")


def test_first_deployment_and_another_runtime_refuse_it() -> None:
    first = World(make_runtime(default=True, image=OLD))
    assign(first, NEW)
    first.settle()
    assert (assigned(first)["phase"], image(first)) == ("Refused", OLD)

    other = World(make_runtime(default=True, image=OLD), make_runtime("other", image=THIRD))
    other.settle()
    other.edit(runtime={"ref": "other"})
    assign(other, NEW)
    other.settle()
    assert (assigned(other)["phase"], image(other)) == ("Refused", THIRD)


@pytest.mark.parametrize(
    ("gpu", "had"),
    [
        ({"count": 1}, "registry.example/gpu:1"),
        ({"count": 1, "resource": "amd.com/gpu"}, "registry.example/amd:1"),
    ],
)
def test_service_with_a_gpu_takes_it_for_the_image_that_it_has(gpu: dict[str, Any], had: str) -> None:
    world = world_at_rest(gpu=gpu)
    assert image(world) == had
    assign(world, NEW)
    world.settle()
    assert image(world) == NEW


def test_old_annotation_does_not_bring_its_image_back_after_the_rollout() -> None:
    world = world_at_rest()
    world.runtimes = [make_runtime(default=True, image=NEW)]
    world.service["metadata"]["annotations"] = {UPDATE_RUNTIME: NEW}
    world.settle()
    assert image(world) == NEW
    assign(world, THIRD)
    world.settle()
    assert image(world) == THIRD
    world.assignment = None
    world.settle()
    assert (image(world), world.status["runtime"]["update"]["phase"]) == (THIRD, "Complete")


def test_what_a_person_asks_for_in_the_middle_goes_first() -> None:
    world = world_at_rest(rollout=CANARY)
    assign(world, NEW)
    world.settle()
    world.runtimes = [make_runtime(default=True, image=THIRD)]
    world.service["metadata"]["annotations"] = {UPDATE_RUNTIME: THIRD}
    world.settle()
    assert (world.status["runtime"]["image"], assigned(world)["phase"]) == (THIRD, "Refused")


def test_end_is_told_with_the_status_that_says_that_the_revision_is_stable() -> None:
    world = world_at_rest()
    before = stable(world)
    assign(world, NEW)
    decision: Decision | None = None
    for _ in range(40):
        decision = world.reconcile()
        if stable(world) != before:
            break
        world.run_controllers()
    assert decision is not None
    assert assigned(world)["phase"] == "Complete"
