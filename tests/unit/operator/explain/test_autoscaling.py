"""The condition AutoscalingActive: who steers, what it decided last and why, and what is in its way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import Object, World, condition, make_pod, make_runtime, timestamp

from modelservice_operator.facts.observed import ApplyFailure, ClusterFacts

ADDRESS = "modelservice-autoscaler.system.svc:9090"
OURS = ClusterFacts(scaler_address=ADDRESS)
KEDA = ClusterFacts(scaler_address=ADDRESS, kinds=frozenset({"ScaledObject"}))
CPU = {"type": "CPU", "target": {"averageUtilization": 80}}
CONCURRENCY = {"type": "Concurrency", "target": {"averageValue": "8"}}
Told = tuple[str, str]


def world_of(provider: str, cluster: ClusterFacts = KEDA, *, replicas: int = 2, **scaling: Any) -> World:
    """A service at rest that this engine steers."""
    metrics = [CPU if provider == "HPA" else CONCURRENCY]
    world = World(
        replicas=replicas,
        autoscaling={"maxReplicas": 8, "provider": provider, "metrics": metrics, **scaling},
    )
    world.cluster = cluster
    world.settle()
    return world


def told(world: World) -> Told:
    found = world.condition("AutoscalingActive")
    return found["status"], found["reason"]


def message(world: World) -> str:
    return str(world.condition("AutoscalingActive")["message"])


def set_child(world: World, kind: str, **facts: Any) -> None:
    place = kind, "spam"
    world.children[place] = msgspec.structs.replace(world.children[place], **facts)
    world.reconcile()


def test_condition_is_there_only_where_autoscaling_is() -> None:
    world = World(replicas=2)
    world.settle()
    assert "AutoscalingActive" not in {one["type"] for one in world.status["conditions"]}
    assert "autoscaling" not in world.status


# Builtin


def decide(world: World, **fields: Any) -> None:
    desired = world.service["spec"]["replicas"]
    decision = {"time": timestamp(world.now), "replicas": 2, "desired": desired, **fields}
    world.service["status"]["autoscaler"] = decision
    world.reconcile()


def test_builtin_tells_its_last_decision_and_why() -> None:
    world = world_of("Builtin")
    assert told(world) == ("False", "NoDecisionYet")
    decide(world, message="Concurrency 12.4 of 8 a pod: 2 -> 4")
    assert told(world) == ("True", "Scaling")
    assert message(world) == "Builtin: Concurrency 12.4 of 8 a pod: 2 -> 4."
    world.reconcile()
    assert world.writes == []


@pytest.mark.parametrize(
    ("of_runtime", "of_service", "expected"),
    [
        ({"requests": {"cpu": "500m", "memory": "1Gi"}}, None, {"cpu": "500m"}),
        ({"limits": {"cpu": "2"}}, None, {"cpu": "2"}),
        ({"requests": {"cpu": "500m"}}, {"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}, {"cpu": "1"}),
        (None, None, None),
    ],
)
def test_builtin_is_told_what_percentages_are_of(
    of_runtime: Object | None, of_service: Object | None, expected: Object | None
) -> None:
    world = World(
        make_runtime(default=True, resources=of_runtime),
        resources=of_service,
        autoscaling={"maxReplicas": 8, "provider": "Builtin", "metrics": [CPU]},
    )
    world.cluster = OURS
    world.settle()
    assert world.status["autoscaling"].get("podRequests") == expected

    world.edit(autoscaling={"maxReplicas": 8, "provider": "HPA", "metrics": [CPU]})
    world.settle()
    assert "podRequests" not in world.status["autoscaling"]


def test_number_that_somebody_else_has_set_is_not_told_as_the_autoscalers() -> None:
    world = world_of("Builtin")
    decide(world, message="No request for 300 s: 1 -> 0", desired=0)
    assert told(world) == ("True", "Scaling")
    assert message(world).startswith("Builtin: 2 wanted, by somebody else;")
    decide(world, message="Concurrency 8 of 8 a pod: stays at 2")
    assert message(world) == "Builtin: Concurrency 8 of 8 a pod: stays at 2."


def test_decision_goes_with_the_autoscaling_that_it_was_about() -> None:
    world = world_of("Builtin")
    decide(world, message="Concurrency 12.4 of 8 a pod: 2 -> 4")
    del world.service["spec"]["autoscaling"]
    world.settle()
    assert "autoscaler" not in world.status


def test_builtin_tells_that_the_api_server_refuses_its_writes() -> None:
    world = world_of("Builtin")
    sentence = "spec.replicas: namespace mail has at most 2 pods for a ModelService, got 4."
    decide(world, message="Concurrency 12.4 of 8 a pod: 2 -> 4", missing=f"leave to write /scale: {sentence}")
    assert told(world) == ("False", "Forbidden")
    assert message(world) == (
        f"The number of pods stays as it is, the API server refuses another: {sentence} "
        "Builtin: Concurrency 12.4 of 8 a pod: 2 -> 4."
    )


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("MaxReplicas", "More than spec.autoscaling.maxReplicas (8) are not allowed."),
        ("MinReplicas", "Fewer than spec.autoscaling.minReplicas (1) are not allowed."),
        ("ScaleUpRate", "behavior.scaleUp"),
        ("ScaleDownRate", "behavior.scaleDown"),
        ("Stabilized", "stabilization window"),
    ],
)
def test_builtin_names_the_limit_that_binds(limit: str, said: str) -> None:
    world = world_of("Builtin")
    decide(world, message="Concurrency 90 of 8 a pod: 4 -> 8", limit=limit)
    assert told(world) == ("True", limit)
    assert said in message(world)


def test_builtin_says_what_it_lacks() -> None:
    world = world_of("Builtin")
    decide(world, message="kept at 4", limit="Stabilized", missing="2 of 4 pods do not answer")
    assert told(world) == ("True", "DataMissing")
    assert message(world).endswith("Missing: 2 of 4 pods do not answer.")


@pytest.mark.parametrize(
    ("provider", "cluster", "reason", "said"),
    [
        ("Builtin", ClusterFacts(), "AutoscalerMissing", "autoscaler.enabled"),
        (
            "Builtin",
            ClusterFacts(scaler_address=ADDRESS, is_autoscaler_silent=True),
            "AutoscalerSilent",
            "Deployment",
        ),
        ("Keda", OURS, "KedaMissing", "Install KEDA"),
        ("Keda", ClusterFacts(kinds=KEDA.kinds), "AutoscalerMissing", "autoscaler.enabled"),
    ],
)
def test_nobody_there_to_steer_is_said_and_the_pods_stay(provider, cluster, reason, said) -> None:
    world = world_of(provider, cluster, replicas=5)
    assert told(world) == ("False", reason)
    assert said in message(world)
    assert "stays as it is" in message(world)
    assert list(world.replicas().values()) == [5]
    # What is ready stays so.
    assert (world.condition("Ready")["status"], world.condition("Degraded")["status"]) == ("True", "False")


# HPA

VALID = {"ScalingActive": "ValidMetricFound"}


def cpu(percent: int) -> tuple[dict[str, Any], ...]:
    current = {"averageUtilization": percent, "averageValue": "63m"}
    return ({"type": "Resource", "resource": {"name": "cpu", "current": current}},)


def test_hpa_tells_what_it_wants_and_what_it_measured_then() -> None:
    world = world_of("HPA")
    assert told(world) == ("False", "NoDecisionYet")
    set_child(world, "HorizontalPodAutoscaler", desired=3, reasons=VALID, metrics=cpu(93))
    assert told(world) == ("True", "Scaling")
    assert message(world) == "HPA: 3 wanted. Measured then: CPU 93 % of 80 %."

    # It measures every 15 seconds: that is no decision.
    set_child(world, "HorizontalPodAutoscaler", metrics=cpu(41))
    assert world.writes == []
    set_child(world, "HorizontalPodAutoscaler", desired=2)
    assert message(world) == "HPA: 2 wanted. Measured then: CPU 41 % of 80 %."


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("TooManyReplicas", "MaxReplicas"),
        ("TooFewReplicas", "MinReplicas"),
        ("ScaleUpLimit", "ScaleUpRate"),
        ("ScaleDownLimit", "ScaleDownRate"),
    ],
)
def test_hpa_limits_are_told_as_those_of_other_engines(reason: str, expected: str) -> None:
    world = world_of("HPA")
    set_child(world, "HorizontalPodAutoscaler", desired=8, reasons={**VALID, "ScalingLimited": reason})
    assert told(world) == ("True", expected)


def test_hpa_that_cannot_measure_says_so_at_once_and_degrades_only_later() -> None:
    world = world_of("HPA")
    failing = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetPodsMetric",
        "message": "unable to get metric modelservice_concurrency: no custom metrics API registered",
        "lastTransitionTime": timestamp(world.now),
    }
    set_child(world, "HorizontalPodAutoscaler", failing=(failing,))
    assert told(world) == ("False", "FailedGetPodsMetric")
    assert "no custom metrics API registered" in message(world)
    assert world.condition("Degraded")["status"] == "False"


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (
            {
                "type": "Pods",
                "pods": {"metric": {"name": "modelservice_concurrency"}, "current": {"averageValue": "9"}},
            },
            "Concurrency 9 of 8",
        ),
        (
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "modelservice_tokens_in_flight"},
                    "current": {"averageValue": "9"},
                },
            },
            "TokensInFlight 9",
        ),
        (
            {"type": "External", "external": {"metric": {"name": "lag"}, "current": {"value": "70"}}},
            "External 70",
        ),
        ({"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "9Mi"}}}, "Memory"),
        ({"type": "Resource", "resource": {"name": "cpu", "current": {}}}, ""),
        ({"type": ""}, ""),
    ],
)
def test_hpa_metrics_of_any_kind_are_read(metric: dict[str, Any], said: str) -> None:
    world = World(
        replicas=2, autoscaling={"maxReplicas": 8, "provider": "HPA", "metrics": [CPU, CONCURRENCY]}
    )
    world.settle()
    set_child(world, "HorizontalPodAutoscaler", desired=3, reasons=VALID, metrics=(metric,))
    assert message(world).startswith("HPA: 3 wanted.")
    assert said in message(world)


def test_hpa_does_not_take_the_last_pod_and_says_who_does_not_either() -> None:
    world = world_of("HPA", ClusterFacts(), minReplicas=0)
    set_child(world, "HorizontalPodAutoscaler", desired=3, reasons=VALID, metrics=cpu(93))
    first = message(world)
    assert "Nobody takes the last pod: modelservice-autoscaler is not installed." in first
    assert first.endswith("Measured then: CPU 93 % of 80 %.")
    set_child(world, "HorizontalPodAutoscaler", metrics=cpu(94))
    assert message(world) == first
    world.cluster = OURS
    world.reconcile()
    assert "Nobody takes" not in message(world)


# Keda


def keda(**conditions: str) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"type": kind, "status": status, "reason": f"{kind}Reason", "message": f"of {kind}"}
        for kind, status in conditions.items()
    )


@pytest.mark.parametrize(
    ("conditions", "expected", "said"),
    [
        ((), ("False", "NoDecisionYet"), "where it runs"),
        (keda(Ready="Unknown"), ("False", "NoDecisionYet"), "where it runs"),
        (keda(Ready="True", Active="True"), ("True", "Scaling"), "its triggers are active"),
        (keda(Ready="True", Active="False"), ("True", "Scaling"), "its triggers are not active"),
        (keda(Ready="False"), ("False", "ReadyReason"), "of Ready"),
        (keda(Ready="True", Fallback="True"), ("True", "DataMissing"), "fallback"),
        (keda(Ready="True", Paused="True"), ("False", "Paused"), "paused"),
    ],
)
def test_keda_is_told_by_what_it_says_of_its_object(conditions, expected, said) -> None:
    world = world_of("Keda")
    set_child(world, "ScaledObject", conditions=conditions)
    assert told(world) == expected
    assert said in message(world)


# All of them


def test_object_of_somebody_else_is_told_as_what_is_in_the_way() -> None:
    world = world_of("Keda")
    world.failures = (
        ApplyFailure(
            kind="ScaledObject", name="spam", reason="NameConflict", message="it exists", transient=False
        ),
    )
    world.reconcile()
    assert told(world) == ("False", "NameConflict")
    assert "it exists" in message(world)


@pytest.mark.parametrize("provider", ["Builtin", "HPA", "Keda"])
def test_switched_off_and_asleep_are_two_things(provider: str) -> None:
    world = world_of(provider)
    world.edit(replicas=0)
    world.settle()
    assert told(world) == ("False", "SwitchedOff")


def test_spec_that_cannot_be_read_leaves_the_last_word() -> None:
    world = world_of("Builtin")
    decide(world, message="as before")
    world.edit(autoscaling={"maxReplicas": "many"})
    world.reconcile()
    assert told(world) == ("True", "Scaling")
    assert "as before" in message(world)


def pods_without_room(revision: str, count: int) -> tuple[dict[str, Any], ...]:
    said = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": (
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. "
            "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
        ),
    }
    return tuple(make_pod(revision, f"pod-{index}", conditions=[said]) for index in range(count))


def test_more_wanted_than_have_room_is_said_in_numbers() -> None:
    world = world_of("Builtin", replicas=5)
    decide(world, message="Concurrency 12 of 8 a pod: 5 -> 8", desired=8)
    revision = world.status["stableRevision"]
    world.scale(8)
    world.reconcile()
    world.set_deployment(revision, observed_generation=99, replicas=8)
    world.pods = pods_without_room(revision, 3)
    world.reconcile()
    assert told(world) == ("True", "InsufficientCapacity")
    # Pods like these run, so the spec is right: what is missing is nodes, or modesty.
    assert message(world) == (
        "8 wanted, 5 run: no node has room for 3 more. 0/3 nodes are available: 3 Insufficient "
        "nvidia.com/gpu. Add nodes, or lower spec.autoscaling.maxReplicas. "
        "Builtin: Concurrency 12 of 8 a pod: 5 -> 8."
    )

    # A look that brings no pods says nothing new.
    before = message(world)
    world.pods = None
    world.reconcile()
    assert (told(world)[1], message(world)) == ("InsufficientCapacity", before)

    world.run_controllers()
    world.pods = ()
    world.reconcile()
    assert told(world) == ("True", "Scaling")


def test_what_is_told_of_the_last_look_is_told_as_it_was() -> None:
    world = world_of("Builtin", replicas=2, minReplicas=0)  # nobody could wake it: that is said too
    decide(world, message="2 -> 4", desired=4)
    revision = world.status["stableRevision"]
    world.scale(4)
    world.reconcile()
    world.set_deployment(revision, observed_generation=99, replicas=4)
    world.pods = pods_without_room(revision, 2)
    world.reconcile()
    before = message(world)
    assert "It keeps one pod or more" in before
    world.pods = None
    for _ in range(3):
        world.reconcile()
    assert message(world) == before


def test_want_of_room_is_said_whatever_else_is_wrong_with_other_pods() -> None:
    world = world_of("Builtin", replicas=2)
    decide(world, message="2 -> 5")
    revision = world.status["stableRevision"]
    world.scale(5)
    world.reconcile()
    world.set_deployment(revision, observed_generation=99, replicas=5)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    broken = make_pod(revision, "a", containerStatuses=[{"name": "server", "state": waiting}])
    world.pods = (broken, *pods_without_room(revision, 2))
    world.reconcile()
    assert message(world).startswith("5 wanted, 2 run: no node has room for 2 more. 0/3 nodes are available")


def test_pods_that_only_start_are_no_want_of_room() -> None:
    world = world_of("Builtin", replicas=2)
    decide(world, message="2 -> 4", desired=4)
    revision = world.status["stableRevision"]
    world.scale(4)
    world.reconcile()
    world.set_deployment(revision, observed_generation=99, replicas=4)
    world.pods = (make_pod(revision, "new"),)
    world.reconcile()
    assert told(world) == ("True", "Scaling")


def test_quota_that_is_full_is_want_of_room_too() -> None:
    world = world_of("Builtin", replicas=2)
    decide(world, message="2 -> 4", desired=4)
    revision = world.status["stableRevision"]
    world.scale(4)
    world.reconcile()
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2",
    }
    world.set_deployment(revision, observed_generation=99, conditions=(refused,))
    world.pods = ()
    world.reconcile()
    assert told(world) == ("True", "InsufficientCapacity")
    assert message(world).startswith("4 wanted, 2 run: the namespace has no room for 2 more.")


def test_time_of_the_condition_is_that_of_its_status() -> None:
    world = world_of("Builtin")
    since = condition(world.status, "AutoscalingActive")["lastTransitionTime"]
    world.wait(60)
    decide(world, message="2 -> 4", desired=4)
    begun = condition(world.status, "AutoscalingActive")["lastTransitionTime"]
    assert begun != since
    world.wait(60)
    decide(world, message="4 -> 8", limit="MaxReplicas")
    assert condition(world.status, "AutoscalingActive")["lastTransitionTime"] == begun


STATES = st.fixed_dictionaries(
    {
        "percent": st.sampled_from([None, 41, 93]),
        "limit": st.sampled_from([None, "MaxReplicas", "Stabilized"]),
        "missing": st.sampled_from([None, "1 of 2 pods do not answer"]),
        "is_ready": st.booleans(),
        "homeless": st.sampled_from([None, 2, 0]),
        "cluster": st.sampled_from([KEDA, KEDA, OURS, ClusterFacts()]),
    }
)


@settings(max_examples=60)
@given(st.sampled_from(["Builtin", "HPA", "Keda"]), st.lists(STATES, min_size=2, max_size=4))
def test_condition_of_any_state_says_the_same_when_it_is_asked_again(provider, states) -> None:
    world = world_of(provider, minReplicas=0)  # no activator stands in: that is added to whatever is said
    revision = world.status["stableRevision"]
    world.scale(4)
    world.reconcile()
    world.set_deployment(revision, observed_generation=99, replicas=4)
    for state in states:
        world.cluster = state["cluster"]
        homeless = state["homeless"]
        world.pods = None if homeless is None else pods_without_room(revision, homeless)
        decide(world, limit=state["limit"], missing=state["missing"])
        metrics = () if state["percent"] is None else cpu(state["percent"])
        for kind, facts in (
            ("HorizontalPodAutoscaler", {"desired": 4, "reasons": VALID, "metrics": metrics}),
            ("ScaledObject", {"conditions": keda(Ready="True" if state["is_ready"] else "False")}),
        ):
            if (kind, "spam") in world.children:
                set_child(world, kind, **facts)
        world.reconcile()
        before = message(world)
        world.reconcile()
        assert message(world) == before
