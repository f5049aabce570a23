from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import World, make_runtime

from modelservice_operator.api import RuntimeRolloutSpec, parse_runtime_rollout
from modelservice_operator.decide.fleet.choosing import Choice, ChoiceProblem, choose_members
from modelservice_operator.decide.fleet.seeing import read_seen

Object = dict[str, Any]
CPU, GPU = "registry.example/onnx:2", "registry.example/onnx-gpu:2"
RUNTIME = make_runtime("onnx", image=CPU, gpuImage=GPU)
UID = "0123456789abcdef"


def service(
    name: str = "mail/spam",
    *,
    ref: str = "onnx",
    image: str = "registry.example/onnx:1",
    gpu: Object | None = None,
    **labels: str,
) -> Object:
    namespace, _, own = name.partition("/")
    return {
        "metadata": {"name": own, "namespace": namespace, "uid": UID, "labels": labels, "generation": 1},
        "spec": {"gpu": gpu} if gpu else {},
        "status": {
            "runtime": {"ref": ref, "image": image},
            "stableRevision": "abc",
            "observedGeneration": 1,
        },
    }


def spec(**fields: Any) -> RuntimeRolloutSpec:
    target = {"runtime": "onnx", **fields.pop("target", {})}
    manifest = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "cve"},
        "spec": {"target": target, **fields},
    }
    return parse_runtime_rollout(manifest, strict=True).spec


def chosen(
    rollout: RuntimeRolloutSpec, *services: Object, runtimes: tuple[Object, ...] = (RUNTIME,)
) -> Choice:
    found = choose_members(rollout, services, runtimes)
    assert isinstance(found, Choice), found
    return found


def names(rollout: RuntimeRolloutSpec, *services: Object) -> list[str]:
    return [one.name for one in chosen(rollout, *services).members]


def test_choose_members_takes_services_that_were_made_with_the_runtime():
    new, first, leaving = service("mail/new"), service("mail/first"), service("mail/leaving")
    del new["status"]
    del first["status"]["stableRevision"]
    leaving["metadata"]["deletionTimestamp"] = "2026-11-29T12:00:00Z"
    other = service("mail/other", ref="triton")
    assert names(spec(), service(), other, new, first, leaving) == ["mail/spam"]


def test_choose_members_gives_each_the_image_that_it_takes():
    found = chosen(spec(), service("a/cpu"), service("a/gpu", gpu={"count": 1}))
    assert [(one.gets, one.had, one.uid) for one in found.members] == [
        (CPU, "registry.example/onnx:1", UID[:8]),
        (GPU, "registry.example/onnx:1", UID[:8]),
    ]


def test_choose_members_leaves_out_a_gpu_for_which_there_is_no_image():
    amd = {"resource": "amd.com/gpu", "count": 1}
    services = (service("a/cpu"), service("a/nvidia", gpu={"count": 1}), service("a/amd", gpu=amd))
    without = chosen(spec(), *services, runtimes=(make_runtime("onnx", image=CPU),))
    assert [one.name for one in without.members] == ["a/cpu"]
    assert names(spec(), *services) == ["a/cpu", "a/nvidia"], "an image for NVIDIA's is none for AMD's"


def test_choose_members_with_an_image_takes_those_that_get_it():
    both = (service("a/cpu"), service("a/gpu", gpu={"count": 1}))
    assert names(spec(target={"image": GPU}), *both) == ["a/gpu"]


@pytest.mark.parametrize(
    ("target", "runtimes", "reason"),
    [
        ({}, (), "RuntimeNotFound"),
        ({"runtime": "other"}, (RUNTIME,), "RuntimeNotFound"),
        ({}, (make_runtime("onnx", image="a b"),), "RuntimeInvalid"),
        ({"image": "registry.example/onnx:3"}, (RUNTIME,), "ImageNotNamed"),
    ],
)
def test_choose_members_chooses_nobody_without_the_image(target: Object, runtimes: Any, reason: str):
    found = choose_members(spec(target=target), [service()], runtimes)
    assert isinstance(found, ChoiceProblem)
    assert found.reason == reason


def test_choose_members_are_no_more_than_fit_into_a_status():
    many = [service(f"mail/s{number}") for number in range(5001)]
    found = choose_members(spec(), many, [RUNTIME])
    assert isinstance(found, ChoiceProblem)
    assert found.reason == "TooManyMembers"
    assert len(chosen(spec(), *many[1:]).members) == 5000
    images = [service(f"mail/s{number}", image=f"registry.example/onnx:0.{number}") for number in range(200)]
    found = choose_members(spec(), images, [RUNTIME])
    assert isinstance(found, ChoiceProblem)
    assert "201 different images" in found.message
    assert len(chosen(spec(), *images[1:]).members) == 199


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, "a/1 a/2 b/3"),
        ({"namespaces": ["a"]}, "a/1 a/2"),
        ({"namespaces": []}, ""),
        ({"matchLabels": {"tier": "gold"}}, "a/1 b/3"),
        ({"matchLabels": {"tier": "gold"}, "namespaces": ["b"]}, "b/3"),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}, "a/2"),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "x"]}]}, "a/1 b/3"),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, "a/1 b/3"),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, "a/2"),
    ],
)
def test_choose_members_goes_by_namespaces_and_labels(selector: Object, expected: str):
    services = (service("b/3", tier="gold"), service("a/1", tier="gold"), service("a/2"))
    assert " ".join(names(spec(selector=selector), *services)) == expected


STAGES = st.sampled_from(["one", "two", "three"])
SERVICES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 30), STAGES), unique_by=lambda one: one[:2]
)


@settings(max_examples=60)
@given(SERVICES, st.lists(STAGES, unique=True, max_size=3), st.lists(st.sampled_from(["a", "b"]), max_size=2))
def test_choose_members_puts_everybody_into_the_first_wave_that_takes_it(
    found: list[tuple[str, int, str]], stages: list[str], namespaces: list[str]
):
    waves: list[Object] = [{"name": one, "selector": {"matchLabels": {"stage": one}}} for one in stages]
    waves += [{"name": f"ns-{n}", "selector": {"namespaces": [one]}} for n, one in enumerate(namespaces)]
    waves.append({"name": "rest", "rest": True, "approval": True})

    choice = chosen(spec(waves=waves), *(service(f"{ns}/{n}", stage=stage) for ns, n, stage in found))

    assert sum(one.members for one in choice.waves) == len(choice.members) == len(found)
    assert [one.needs_approval for one in choice.waves] == [False] * len(waves[:-1]) + [True]
    stage_of = {f"{ns}/{n}": stage for ns, n, stage in found}
    rest = list(choice.members)
    for wave in choice.waves:
        mine, rest = [one.name for one in rest[: wave.members]], rest[wave.members :]
        assert mine == sorted(mine)
        for name in mine:
            first = next((one for one in stages if stage_of[name] == one), None)
            where = next(
                (f"ns-{n}" for n, one in enumerate(namespaces) if name.startswith(f"{one}/")), "rest"
            )
            assert wave.name == (first or where)


def test_choose_members_takes_the_image_of_the_stable_revision_for_the_one_from_before():
    changing = service("mail/changing", image=CPU)
    changing["status"]["runtime"]["stableImage"] = "registry.example/onnx:0"
    assert [one.had for one in chosen(spec(), changing).members] == ["registry.example/onnx:0"]


def test_read_seen_reads_what_the_operator_writes():
    world = World(make_runtime(default=True), replicas=1)
    world.reconcile()
    assert not read_seen(world.service).is_ready
    world.settle()

    seen = read_seen(world.service)

    assert (seen.is_ready, seen.is_available, seen.is_current, seen.is_pinned) == (True, True, True, False)
    assert seen.has(world.status["runtime"]["image"])
    assert seen.runtime == world.status["runtime"]["ref"]
    assert seen.ready_since is not None
    world.edit(runtime={"pin": True})
    assert read_seen(world.service).is_pinned
    assert not read_seen(world.service).is_current


def test_read_seen_of_a_service_that_wants_no_pod_is_available():
    world = World(make_runtime(default=True), replicas=0)
    world.settle()
    assert read_seen(world.service).is_available


def test_read_seen_of_a_service_that_nobody_has_looked_at():
    seen = read_seen(World().service)
    assert (seen.is_ready, seen.is_current, seen.runtime) == (False, False, "")
