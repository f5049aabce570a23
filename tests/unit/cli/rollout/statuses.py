"""Statuses of changes as an operator writes them, as data."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.operator.builders import NOW, Object, make_model_service, timestamp

from modelservice_cli.rollout.facts import Facts

OLD, NEW = "rhmztxtck9", "tq6lf94mwp"
STEPS = [
    {"setWeight": 25},
    {"pause": {"durationSeconds": 60}},
    {"analysis": {}},
    {"setWeight": 50},
    {"pause": {}},
]
CANARY = {"strategy": "Canary", "canary": {"steps": STEPS}}


def at(seconds: float) -> str:
    return timestamp(NOW + timedelta(seconds=seconds))


def conditions(**held: str) -> list[Object]:
    """`Ready="False RolloutInProgress"`: status and reason; the message names the type."""
    return [
        {
            "type": kind,
            "status": text.split()[0],
            "reason": text.split()[1],
            "message": f"{kind} says why.",
            "lastTransitionTime": at(0),
        }
        for kind, text in held.items()
    ]


GOING_ON = conditions(
    Ready="False RolloutInProgress", Available="True ReplicasAvailable", Degraded="False AsExpected"
)


def rollout(**fields: Any) -> Object:
    """`status.rollout` in the middle of a Canary; keyword arguments replace fields."""
    return {
        "strategy": "Canary",
        "revision": NEW,
        "phase": "Progressing",
        "weight": 25,
        "step": 0,
        "steps": len(STEPS),
        "stepSince": at(0),
        "contract": "Passed",
        **fields,
    }


def facts_with(change: Object | None, *, spec: Object = CANARY, available: int = 1, **status: Any) -> Facts:
    """One look at a service of which the new revision has so many available pods of four."""
    counts = {OLD: 4 - available, NEW: available}
    base = {
        "observedGeneration": 1,
        "stableRevision": OLD,
        "targetRevision": NEW,
        "readyReplicas": 4,
        "availableReplicas": 4,
        "traffic": [
            {"revision": name, "desired": 25 if name == NEW else 75, "actual": 25 * count}
            for name, count in counts.items()
        ],
        "conditions": GOING_ON,
        "rollout": change,
        **status,
    }
    return Facts(
        service=make_model_service(
            rollout=spec,
            replicas=4,
            status={key: value for key, value in base.items() if value is not None},
        ),
        deployments={
            name: {
                "spec": {"replicas": count},
                "status": {"readyReplicas": count, "availableReplicas": count},
            }
            for name, count in counts.items()
        },
    )


def round_of(
    seconds: float, *figures: tuple[str, str | None, str | None, str], **fields: Any
) -> list[Object]:
    """One look of the analysis: (metric, value, stable, result) each."""
    return [
        {
            "gate": "Analysis",
            "metric": metric,
            "value": value,
            "stable": stable,
            "threshold": "0.02",
            "requests": 120,
            "result": result,
            "time": at(seconds),
            **fields,
        }
        for metric, value, stable, result in figures
    ]
