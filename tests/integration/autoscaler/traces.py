"""Loads in stages, and what Kubernetes' HPA and our algorithm make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Look
from modelservice_autoscaler.algorithm.load import GpuLoad, Load, Sample
from modelservice_autoscaler.algorithm.spec import build_spec
from modelservice_autoscaler.algorithm.state import EMPTY, scaled
from modelservice_operator.api.spec.autoscaling import Autoscaling

QUEUE_BOUNDS = (0.01, 0.02, 0.04, 0.05, 0.1, 0.2)
SETTLED_SECONDS = 40
"""How long each stage lasts for ours: longer than every average and shorter than every long window."""
CONCURRENCY = {"type": "Concurrency", "target": {"averageValue": "8"}}
GPU = {"type": "GPU", "target": {"averageUtilization": 80}}
QUEUE = {"type": "QueueTime", "target": {"value": "50m"}}


@dataclass(frozen=True)
class Stage:
    """A load that does not change, and the replicas that both must settle at."""

    expected: int
    concurrency: float
    """Of the service; split evenly over the pods that answer."""
    silent: int = 0
    """Pods that do not answer."""
    gpu: float | None = None
    """Percent of a device, of the service."""
    queue_seconds: float | None = None
    ours: int | None = None
    """Where ours differs on purpose."""


@dataclass(frozen=True)
class Trace:
    """A service and its load."""

    name: str
    replicas: int
    stages: tuple[Stage, ...]
    up: dict[str, Any] = field(default_factory=dict)
    down: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[dict[str, Any], ...] = (CONCURRENCY,)
    bounds: tuple[int, int] = (1, 20)
    places: int | None = None
    """How many pods find a node."""

    @property
    def autoscaling(self) -> dict[str, Any]:
        """`spec.autoscaling` as a person would write it."""
        behavior = {"scaleUp": self.up, "scaleDown": self.down}
        return {
            "minReplicas": self.bounds[0],
            "maxReplicas": self.bounds[1],
            "metrics": list(self.metrics),
            "behavior": {name: rules for name, rules in behavior.items() if rules},
        }


def decide_ours(trace: Trace) -> list[int]:
    """Return where our algorithm settles in each stage."""
    spec = build_spec(Autoscaling.model_validate(trace.autoscaling))
    replicas, state, now, settled = trace.replicas, EMPTY, 0.0, []
    loads: dict[str, Load] = {}
    samples: dict[str, Sample | None] = {}
    for stage in trace.stages:
        for _ in range(SETTLED_SECONDS):
            ready = [f"pod-{index}" for index in range(min(replicas, trace.places or replicas))]
            answering = ready[stage.silent :]
            for pod in answering:
                loads[pod] = grow(loads.get(pod), stage, len(answering))
                samples[pod] = Sample(now, loads[pod])
            decision = decide(spec, Look(replicas, {pod: samples.get(pod) for pod in ready}), state, now)
            state = scaled(decision.state, replicas, decision.desired, now)
            replicas = decision.desired
            now += 1
        settled.append(replicas)
    return settled


def grow(before: Load | None, stage: Stage, pods: int) -> Load:
    """Return what a pod answers a second later."""
    counts = list(before.queue_counts) if before else [0] * (len(QUEUE_BOUNDS) + 1)
    if stage.queue_seconds is not None:
        counts[QUEUE_BOUNDS.index(stage.queue_seconds)] += 95
        counts[-1] += 5
    return Load(
        uptime_seconds=before.uptime_seconds + 1 if before else 1.0,
        running=round(stage.concurrency / pods),
        waiting=0,
        in_flight_seconds=(before.in_flight_seconds if before else 0.0) + stage.concurrency / pods,
        requests=(before.requests if before else 0.0) + 100 * stage.concurrency / pods,
        cpu_seconds=0.0,
        memory_bytes=2**30,
        queue_bounds_seconds=QUEUE_BOUNDS,
        queue_counts=tuple(counts),
        gpus=() if stage.gpu is None else (GpuLoad(stage.gpu / pods / 100),),
    )


LONG = 600
"""Seconds that do not pass in a test."""
AS_BY_DEFAULT = {
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
}
AT_ONCE = {"stabilizationWindowSeconds": 0}
TRACES = (
    Trace(
        "tolerance",
        4,
        (Stage(4, 4 * 8.8), Stage(5, 4 * 8.9), Stage(5, 5 * 7.2), Stage(4, 5 * 6.3)),
        down=AT_ONCE,
    ),
    Trace(
        "tolerance-of-each-direction",
        4,
        (Stage(4, 4 * 8.1), Stage(5, 4 * 8.3), Stage(5, 5 * 6.0), Stage(4, 5 * 5.5)),
        up={"tolerance": "0.02"},
        down={"tolerance": "0.3"} | AT_ONCE,
    ),
    Trace("default-policies", 1, (Stage(1, 8.0), Stage(8, 64.0)), up=AS_BY_DEFAULT),
    Trace("most", 2, (Stage(5, 80.0),), up=AS_BY_DEFAULT, bounds=(1, 5)),
    Trace("least", 4, (Stage(4, 32.0), Stage(2, 0.0)), down=AT_ONCE, bounds=(2, 9)),
    Trace(
        "one-at-a-time",
        2,
        (Stage(2, 16.0), Stage(3, 80.0)),
        up={"policies": [{"type": "Pods", "value": 1, "periodSeconds": LONG}]},
    ),
    Trace(
        "least-of-policies",
        4,
        (Stage(4, 32.0), Stage(6, 160.0)),
        up={
            "selectPolicy": "Min",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": LONG},
                {"type": "Percent", "value": 50, "periodSeconds": LONG},
            ],
        },
    ),
    Trace("never-up", 2, (Stage(2, 80.0),), up={"selectPolicy": "Disabled"}),
    Trace("never-down", 4, (Stage(4, 2.0),), down={"selectPolicy": "Disabled"} | AT_ONCE),
    Trace(
        "two-at-a-time-down",
        8,
        (Stage(8, 64.0), Stage(6, 0.0)),
        down={"policies": [{"type": "Pods", "value": 2, "periodSeconds": LONG}]} | AT_ONCE,
    ),
    Trace(
        "from-the-start-of-the-period",
        4,
        (Stage(4, 32.0), Stage(6, 48.0), Stage(8, 160.0)),
        up={"policies": [{"type": "Percent", "value": 100, "periodSeconds": LONG}]},
    ),
    Trace("long-window-down", 4, (Stage(4, 32.0), Stage(4, 2.0)), down={"stabilizationWindowSeconds": LONG}),
    Trace("short-window-down", 4, (Stage(4, 32.0), Stage(1, 2.0)), down={"stabilizationWindowSeconds": 12}),
    Trace("long-window-up", 2, (Stage(2, 16.0), Stage(2, 80.0)), up={"stabilizationWindowSeconds": LONG}),
    Trace(
        "silent-pods",
        4,
        # Idle where more are asked for, used up where fewer are; ours lets none go meanwhile.
        (
            Stage(4, 32.0),
            Stage(4, 24.0, silent=2),
            Stage(5, 40.0, silent=2),
            Stage(3, 4.0, silent=2, ours=5),
            Stage(1, 4.0),
        ),
        down=AT_ONCE,
    ),
    Trace("waiting-for-a-node", 3, (Stage(3, 16.0), Stage(5, 40.0)), up=AS_BY_DEFAULT, places=1),
    Trace(
        "largest-of-two",
        2,
        (Stage(2, 16.0, gpu=160.0), Stage(3, 16.0, gpu=200.0), Stage(4, 32.0, gpu=200.0)),
        metrics=(CONCURRENCY, GPU),
    ),
    Trace(
        "one-of-two-unknown",
        3,
        (Stage(3, 24.0, gpu=240.0), Stage(3, 2.0), Stage(5, 40.0), Stage(1, 2.0, gpu=10.0)),
        metrics=(CONCURRENCY, GPU),
        down=AT_ONCE,
    ),
    Trace(
        "value-of-the-service",
        2,
        (
            Stage(2, 2.0, queue_seconds=0.05),
            Stage(4, 2.0, queue_seconds=0.1),
            Stage(4, 2.0, queue_seconds=0.05),
            Stage(2, 2.0, queue_seconds=0.02),
        ),
        up=AS_BY_DEFAULT,
        down=AT_ONCE,
        metrics=(QUEUE,),
        bounds=(2, 4),
    ),
)
