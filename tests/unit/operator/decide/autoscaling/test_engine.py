"""Which engine steers, what it is told, and how one follows another."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.builders import World, make_runtime

from modelservice_operator.facts.observed import ClusterFacts
from modelservice_operator.facts.standby import Activators, Surroundings

ADDRESS = "modelservice-autoscaler.system.svc:9090"
BARE = ClusterFacts()
OURS = ClusterFacts(scaler_address=ADDRESS)
KEDA = ClusterFacts(scaler_address=ADDRESS, kinds=frozenset({"ScaledObject"}))
WITH_ACTIVATOR = Surroundings(activators=Activators(namespace="system"), ports={"http": 20000, "grpc": 20001})
HPA_KIND, KEDA_KIND = "HorizontalPodAutoscaler", "ScaledObject"

RUNTIME = make_runtime(default=True, gpuImage="registry.example/gpu:1")

CPU = {"type": "CPU", "target": {"averageUtilization": 70}}
MEMORY = {"type": "Memory", "target": {"averageValue": "1Gi"}}
CONCURRENCY = {"type": "Concurrency", "target": {"averageValue": "8"}}
RATE = {"type": "RequestRate", "target": {"averageValue": "50"}}
QUEUE = {"type": "QueueTime", "target": {"value": "50m"}}
GPU = {"type": "GPU", "target": {"averageUtilization": 80}}
GPU_MEMORY = {"type": "GPU", "target": {"averageUtilization": 90}, "gpu": "Memory"}
TOKENS = {"type": "TokensInFlight", "target": {"averageValue": "20k"}}
CACHE = {"type": "KVCache", "target": {"averageUtilization": 80}}
WAITING = {"type": "WaitingRequests", "target": {"averageValue": "2"}}
EXTERNAL = {
    "type": "External",
    "metric": {"name": "waiting", "selector": {"matchLabels": {"queue": "mail"}}},
    "target": {"averageValue": "30"},
}


def scaling(*metrics: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"maxReplicas": 9, **({"metrics": list(metrics)} if metrics else {}), **fields}


def world_of(cluster: ClusterFacts, *metrics: dict[str, Any], **fields: Any) -> World:
    world = World(
        RUNTIME, replicas=1, gpu={"count": 1}, generation={}, autoscaling=scaling(*metrics, **fields)
    )
    world.cluster = cluster
    world.surroundings = WITH_ACTIVATOR
    world.settle()
    return world


def engine(world: World) -> str | None:
    found = world.status.get("autoscaling")
    return found and found["engine"]


def objects(world: World) -> set[str]:
    return {kind for kind in (HPA_KIND, KEDA_KIND) if world.names(kind)}


@pytest.mark.parametrize(
    ("cluster", "metrics", "expected"),
    [
        (BARE, (), "HPA"),
        (KEDA, (CPU, MEMORY, EXTERNAL), "HPA"),
        (BARE, (CONCURRENCY,), "Builtin"),
        (OURS, (CONCURRENCY, CPU), "Builtin"),
        (KEDA, (CONCURRENCY, CPU), "Keda"),
        (KEDA, (GPU,), "Keda"),
        (KEDA, (TOKENS,), "Keda"),
        (OURS, (CACHE, WAITING), "Builtin"),
        # Nobody would answer KEDA.
        (ClusterFacts(kinds=frozenset({"ScaledObject"})), (QUEUE,), "Builtin"),
    ],
)
def test_decide_auto_takes_what_can_read_the_signals(cluster, metrics, expected) -> None:
    world = world_of(cluster, *metrics)
    assert engine(world) == expected
    kinds = {"HPA": {HPA_KIND}, "Keda": {KEDA_KIND}, "Builtin": set()}
    assert objects(world) == kinds[expected]


@pytest.mark.parametrize("provider", ["HPA", "Builtin", "Keda"])
def test_decide_named_provider_is_taken_whatever_there_is(provider: str) -> None:
    assert engine(world_of(BARE, CONCURRENCY, provider=provider)) == provider


def test_decide_auto_keeps_what_it_chose_until_that_is_gone() -> None:
    world = world_of(OURS, CONCURRENCY)
    world.cluster = KEDA
    world.reconcile()
    assert (engine(world), world.writes) == ("Builtin", [])

    # Another target is nothing else.
    world.edit(autoscaling=scaling({**CONCURRENCY, "target": {"averageValue": "2"}}, RATE))
    world.settle()
    assert engine(world) == "Builtin"

    other = world_of(KEDA, CONCURRENCY)
    other.cluster = OURS
    del other.children[KEDA_KIND, "spam"]  # as the cache forgets what is not served
    other.settle()
    assert engine(other) == "Builtin"
    other.cluster = KEDA
    other.settle()
    assert engine(other) == "Builtin"


def test_decide_auto_goes_by_the_signals_again_where_they_ask_for_another_engine() -> None:
    world = world_of(KEDA, CPU)
    world.edit(autoscaling=scaling(CPU, CONCURRENCY))
    world.settle()
    assert (engine(world), objects(world)) == ("Keda", {KEDA_KIND})
    world.edit(autoscaling=scaling(CPU))
    world.settle()
    assert (engine(world), objects(world)) == ("HPA", {HPA_KIND})


def test_decide_change_of_engine_never_has_two_at_once_and_keeps_the_pods() -> None:
    world = world_of(KEDA, CONCURRENCY)
    world.scale(5)
    world.settle()
    for provider in ("HPA", "Builtin", "Keda", "HPA", "Keda"):
        world.edit(autoscaling=scaling(CONCURRENCY, provider=provider))
        for _ in range(6):
            world.reconcile()
            assert len(objects(world)) <= 1
            assert list(world.replicas().values()) == [5]
        world.settle()
        assert engine(world) == provider
        assert list(world.replicas().values()) == [5]


def test_decide_engine_that_is_on_its_way_out_holds_up_nobody() -> None:
    world = world_of(KEDA, CONCURRENCY)
    place = KEDA_KIND, "spam"
    world.children[place] = msgspec.structs.replace(world.children[place], deleting=True)
    world.edit(autoscaling=scaling(CONCURRENCY, provider="HPA"))
    assert (HPA_KIND, "spam") in {(one["kind"], one["metadata"]["name"]) for one in world.reconcile().desired}


def test_decide_autoscaling_removed_retires_what_steered() -> None:
    world = world_of(KEDA, CONCURRENCY)
    world.edit(autoscaling=None)
    world.settle()
    assert (objects(world), engine(world)) == (set(), None)
    assert "AutoscalingActive" not in {one["type"] for one in world.status["conditions"]}


def test_decide_spec_that_cannot_be_read_leaves_the_engine_alone() -> None:
    world = world_of(KEDA, CONCURRENCY)
    world.edit(autoscaling={"maxReplicas": "many"})
    world.settle()
    assert (engine(world), objects(world)) == ("Keda", {KEDA_KIND})


def test_decide_keda_that_is_named_and_missing_is_waited_for() -> None:
    world = world_of(OURS, CONCURRENCY, provider="Keda")
    assert objects(world) == set()
    world.cluster = KEDA
    world.settle()
    assert objects(world) == {KEDA_KIND}


@pytest.mark.parametrize("recorded", ["Builtin", "Keda"])
def test_decide_number_that_an_engine_wrote_untold_is_obeyed(recorded: str) -> None:
    world = world_of(KEDA, CONCURRENCY, provider=recorded)
    world.scale(6)
    world.settle()
    world.service["status"]["autoscaler"] = {"replicas": 6, "desired": 1}
    world.edit(replicas=1)
    world.write_replicas_by(None)
    assert world.reconcile().begin_with is None
    world.settle()
    assert list(world.replicas().values()) == [1]


@pytest.mark.parametrize("cluster", [OURS, KEDA])
def test_decide_engine_begins_when_the_pods_that_run_are_recorded(cluster: ClusterFacts) -> None:
    world = World(replicas=6)
    world.cluster = cluster
    world.settle()
    world.edit(autoscaling=scaling(CONCURRENCY), replicas=1)
    decision = world.reconcile()
    # Whoever sees the engine in the status would act on 1.
    assert (decision.begin_with, engine(world), objects(world)) == (6, None, set())
    world.scale(6)
    world.settle()
    assert list(world.replicas().values()) == [6]
    assert engine(world) is not None


# What the engines are told


def spec_of(world: World, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = world.objects[kind, "spam"]["spec"]
    return found


def pods_metric(name: str, value: str) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Pods", "pods": {"metric": {"name": f"modelservice_{name}"}, "target": target}}


def test_build_autoscaler_own_signals_are_metrics_of_pods() -> None:
    spec = spec_of(world_of(BARE, CONCURRENCY, RATE, QUEUE, GPU, provider="HPA"), HPA_KIND)
    assert spec["metrics"] == [
        pods_metric("concurrency", "8"),
        pods_metric("requests_per_second", "50"),
        pods_metric("queue_seconds_p95", "50m"),
        pods_metric("gpu_utilization", "80"),
    ]
    spec = spec_of(world_of(BARE, GPU_MEMORY, provider="HPA"), HPA_KIND)
    assert spec["metrics"] == [pods_metric("gpu_memory_utilization", "90")]
    spec = spec_of(world_of(BARE, TOKENS, CACHE, WAITING, provider="HPA"), HPA_KIND)
    assert spec["metrics"] == [
        pods_metric("tokens_in_flight", "20k"),
        pods_metric("kv_cache_utilization", "80"),
        pods_metric("waiting_requests", "2"),
    ]


def test_build_autoscaler_external_is_passed_through_and_zero_is_not_its_affair() -> None:
    whole = {**EXTERNAL, "metric": {"name": "lag"}, "target": {"value": "100"}}
    spec = spec_of(world_of(BARE, EXTERNAL, minReplicas=0), HPA_KIND)
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {
                "metric": {"name": "waiting", "selector": {"matchLabels": {"queue": "mail"}}},
                "target": {"type": "AverageValue", "averageValue": "30"},
            },
        }
    ]
    [metric] = spec_of(world_of(BARE, whole), HPA_KIND)["metrics"]
    assert metric["external"] == {"metric": {"name": "lag"}, "target": {"type": "Value", "value": "100"}}


def external(signal: str, kind: str = "AverageValue") -> dict[str, Any]:
    metadata = {"scalerAddress": ADDRESS, "signal": signal}
    return {"type": "external-push", "metricType": kind, "metadata": metadata}


def test_build_scaled_object_whole() -> None:
    world = world_of(
        KEDA,
        *(CPU, MEMORY, CONCURRENCY, RATE, QUEUE, GPU, TOKENS, CACHE, WAITING),
        minReplicas=0,
        idleSeconds=60,
        provider="Keda",
        behavior={"scaleDown": {"stabilizationWindowSeconds": 60, "policies": []}},
    )
    body = world.objects[KEDA_KIND, "spam"]
    assert body["metadata"]["ownerReferences"][0]["controller"] is True
    assert body["apiVersion"] == "keda.sh/v1alpha1"
    assert body["spec"] == {
        "scaleTargetRef": {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "name": "spam",
        },
        "pollingInterval": 5,
        "cooldownPeriod": 60,
        "initialCooldownPeriod": 60,
        "minReplicaCount": 0,
        "maxReplicaCount": 9,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
            }
        },
        "triggers": [
            {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}},
            {"type": "memory", "metricType": "AverageValue", "metadata": {"value": "1Gi"}},
            external("Concurrency"),
            external("RequestRate"),
            external("QueueTime", "Value"),
            external("GPU", "Value"),
            external("TokensInFlight"),
            external("KVCache", "Value"),
            external("WaitingRequests"),
        ],
    }


def test_build_scaled_object_goes_to_zero_by_activity_where_only_pods_are_measured() -> None:
    spec = spec_of(world_of(KEDA, CPU, provider="Keda", minReplicas=0), KEDA_KIND)
    assert [one["type"] for one in spec["triggers"]] == ["cpu", "external-push"]
    assert spec["triggers"][1] == external("Activity")
    assert spec["cooldownPeriod"] == 300

    # Above zero KEDA needs nobody for what is known of pods.
    spec = spec_of(world_of(ClusterFacts(kinds=frozenset({KEDA_KIND})), CPU, provider="Keda"), KEDA_KIND)
    assert [one["type"] for one in spec["triggers"]] == ["cpu"]
    assert "cooldownPeriod" not in spec


METRICS = (CPU, MEMORY, CONCURRENCY, RATE, QUEUE, GPU)
STEP = st.tuples(
    st.sampled_from([BARE, OURS, KEDA, ClusterFacts(kinds=frozenset({KEDA_KIND}))]),
    st.sampled_from(["Auto", "Auto", "Builtin", "HPA", "Keda"]),
    st.lists(st.sampled_from(METRICS), min_size=1, max_size=3, unique_by=lambda one: str(one)),
    st.sampled_from([0, 1]),
)


@given(st.lists(STEP, min_size=1, max_size=4))
def test_decide_any_history_of_engines_ends_at_rest_with_at_most_one(steps) -> None:
    world = World(RUNTIME, replicas=4, gpu={"count": 1})
    world.settle()
    for cluster, provider, metrics, fewest in steps:
        world.cluster = cluster
        if KEDA_KIND not in cluster.kinds:
            world.children.pop((KEDA_KIND, "spam"), None)
        world.edit(autoscaling=scaling(*metrics, provider=provider, minReplicas=fewest), replicas=4)
        world.settle()
        chosen = engine(world)
        assert provider in ("Auto", chosen)
        assert objects(world) <= {{"HPA": HPA_KIND, "Keda": KEDA_KIND}.get(str(chosen))}
        assert list(world.replicas().values()) == [4]
