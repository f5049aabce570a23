from __future__ import annotations

from typing import Any

import pytest

from modelservice_autoscaler.algorithm.spec import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    AutoscalerSpec,
    Policy,
    Rules,
    Signal,
    Tolerance,
    build_spec,
)
from modelservice_operator.api.spec.autoscaling import Autoscaling


def build(**fields: Any) -> AutoscalerSpec:
    wished = Autoscaling.model_validate({"maxReplicas": 8} | fields)
    return build_spec(wished, cpu_request_cores=2.0, memory_request_bytes=2.0**30)


def test_what_is_left_out_is_as_kubernetes_has_it() -> None:
    assert build() == AutoscalerSpec(1, 8, (Signal("CPU", 80.0, percent=True, whole=2.0),))
    assert Rules((Policy("Pods", 4, 15.0), Policy("Percent", 100, 15.0)), "Max", 0.0) == DEFAULT_UP
    assert Rules((Policy("Percent", 100, 15.0),), "Max", 300.0) == DEFAULT_DOWN


def test_going_to_zero_is_not_its_affair() -> None:
    assert build(minReplicas=0).min_replicas == 1


@pytest.mark.parametrize(
    ("metric", "signal"),
    [
        ({"type": "Concurrency", "target": {"averageValue": 8}}, Signal("Concurrency", 8.0)),
        ({"type": "RequestRate", "target": {"averageValue": "2500m"}}, Signal("RequestRate", 2.5)),
        ({"type": "QueueTime", "target": {"value": "50m"}}, Signal("QueueTime", 0.05)),
        ({"type": "CPU", "target": {"averageValue": "500m"}}, Signal("CPU", 0.5)),
        ({"type": "Memory", "target": {"averageValue": "1Gi"}}, Signal("Memory", 2.0**30)),
        (
            {"type": "Memory", "target": {"averageUtilization": 70}},
            Signal("Memory", 70.0, percent=True, whole=2.0**30),
        ),
        (
            {"type": "GPU", "target": {"averageUtilization": 70}, "gpu": "Memory"},
            Signal("GPU", 70.0, "Memory", percent=True, whole=1.0),
        ),
        (
            {"type": "TokensInFlight", "target": {"averageValue": "4k"}},
            Signal("TokensInFlight", 4000.0),
        ),
        (
            {"type": "KVCache", "target": {"averageUtilization": 80}},
            Signal("KVCache", 80.0, percent=True, whole=1.0),
        ),
        (
            {"type": "WaitingRequests", "target": {"averageValue": 2}},
            Signal("WaitingRequests", 2.0),
        ),
    ],
)
def test_metric_becomes_a_signal_in_its_unit(metric: dict[str, Any], signal: Signal) -> None:
    assert build(metrics=[metric]).signals == (signal,)


def test_percentage_of_an_unknown_request_is_kept_as_unknown() -> None:
    spec = build_spec(Autoscaling.model_validate({"maxReplicas": 8}))
    assert spec.signals == (Signal("CPU", 80.0, percent=True, whole=None),)


def test_behavior_overrides_field_by_field() -> None:
    spec = build(
        behavior={
            "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]},
            "scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0.25"},
        }
    )
    assert spec.up == Rules((Policy("Pods", 1, 30),), policies_are_default=False)
    assert spec.down == Rules(DEFAULT_DOWN.policies, tolerance=0.25)
    assert spec.tolerance == Tolerance(0.1, 0.25)
    chosen = build(behavior={"scaleUp": {"selectPolicy": "Min"}}).up
    assert (chosen.policies, chosen.select) == (DEFAULT_UP.policies, "Min")
    assert not chosen.policies_are_default
