"""Whether an autoscaler that exists works. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts.recorded import condition_of
from modelservice_operator.facts.text.redact import redact
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.facts.observed import AutoscalerChild

INACTIVE_SECONDS = 60.0
"""An autoscaler has no metrics of pods that have just become ready."""
_POD_NAME = re.compile(r"\b[Pp]od \S+")
_REMEDIES = (
    (
        "missing request for",
        "Set spec.resources.requests for what is measured, or measure an averageValue.",
    ),
    (
        "resource metrics API",
        "Pods' metrics come from metrics-server: install it, or look at why it does not answer.",
    ),
    (
        "custom metrics API",
        (
            "The server's own signals reach an HPA by a metrics adapter: install prometheus-adapter with the "
            "chart's rules, or set spec.autoscaling.provider to Auto."
        ),
    ),
    (
        "external metrics API",
        (
            "External metrics come from whoever serves external.metrics.k8s.io, such as KEDA or an adapter: "
            "look at why it does not know this one."
        ),
    ),
    (
        "controlled by multiple HPAs",
        "Another HorizontalPodAutoscaler counts the same pods: remove one of them.",
    ),
    ("no metrics returned", "Look at why metrics-server knows nothing of these pods."),
    ("did not receive metrics", "Look at why metrics-server knows nothing of these pods."),
)


class Inactivity(msgspec.Struct, frozen=True):
    """That the autoscaler does not work, and in how many seconds that is worth telling (0: now)."""

    message: str
    due_in_seconds: float


def find_inactivity(
    autoscaler: AutoscalerChild | None, status: Mapping[str, Any], now: datetime
) -> Inactivity | None:
    """Return what the autoscaler says of itself, where that has kept it from scaling pods that are ready."""
    ready = condition_of(status, "Ready")
    ready_since = parse_time(ready.get("lastTransitionTime"))
    if autoscaler is None or ready.get("status") != "True" or ready_since is None:
        return None
    for condition in autoscaler.failing:
        since = parse_time(condition.get("lastTransitionTime"))
        if since is not None and condition.get("reason") != "ScalingDisabled":
            due_at = max(since, ready_since) + timedelta(seconds=INACTIVE_SECONDS)
            left_seconds = (due_at - now).total_seconds()
            return Inactivity(describe_failure(str(condition.get("message"))), max(0.0, left_seconds))
    return None


def describe_failure(message: str) -> str:
    """Return the autoscaler's sentence without the pod's name, which changes by itself, and what to do."""
    said = redact(_POD_NAME.sub("a pod", message)).rstrip(".")
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in message), "")
    return f"The autoscaler does not work, the number of pods stays as it is: {said}. {remedy}".rstrip()
