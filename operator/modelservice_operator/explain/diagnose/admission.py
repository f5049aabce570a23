"""What to do where admission refuses the pods. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.explain.diagnose.cause import Cause

if TYPE_CHECKING:
    from modelservice_operator.explain.diagnose.cause import Situation

_SIGNS = (
    ("failed quota", "QuotaExceeded", "Set what the ResourceQuota asks for in spec.resources."),
    ("violates PodSecurity", "PodSecurityViolation", "Ask for a namespace with the level 'restricted'."),
    (
        "security context constraint",
        "PodSecurityViolation",
        "Let the pods' ServiceAccount use a constraint such as restricted-v2.",
    ),
    ("PriorityClass", "PriorityClassNotFound", "Correct spec.scheduling.priorityClassName."),
    *(
        (sign, "LimitRange", "Change spec.resources to what the namespace's LimitRange allows.")
        # Its default limit may be below our request: the user has set no limit then.
        for sign in ("usage per Container", "usage per Pod", "must be less than or equal to")
    ),
    ("service account", "ServiceAccountNotFound", "Create it, or correct spec.serviceAccountName."),
    (
        "failed calling webhook",
        "WebhookFailed",
        "A webhook of the cluster does not answer: ask whoever runs it.",
    ),
)
_OTHER = ("PodsRefused", "Correct what the message names.")


def refused(message: str, situation: Situation) -> Cause:
    """Return the cause for pods that the API server does not take."""
    if "exceeded quota" in message:
        reason, remedy = (
            "QuotaExceeded",
            f"{situation.room}{_less_of(message)}, or ask for a larger ResourceQuota.",
        )
    else:
        reason, remedy = next(
            ((reason, remedy) for sign, reason, remedy in _SIGNS if sign in message), _OTHER
        )
    failing = not (reason == "QuotaExceeded" and situation.heals)
    return Cause(reason=reason, message=f"Pods cannot be created: {message}. {remedy}", failing=failing)


def _less_of(message: str) -> str:
    """Return how to ask for less of what the quota bounds, such as `requested: pods=1,cpu=2, used: ...`."""
    requested = message.partition("requested: ")[2].partition(", used: ")[0]
    counted = {one.partition("=")[0].strip() for one in requested.split(",")}
    return "Lower the number of replicas" if counted <= {"pods", "count/pods"} else "Lower spec.resources"
