"""What a person can do about what Kubernetes says: sentences for schedulers, kubelets and admission."""

from __future__ import annotations

import re

_INSUFFICIENT = re.compile(r"Insufficient (?P<resource>[^\s,.]+(?:\.[^\s,]+)*/[^\s,.]+(?:\.[^\s,.]+)*)")
_NOT_FOUND = re.compile(r"(?P<kind>secret|configmap|persistentvolumeclaim) \"(?P<name>[^\"]+)\" not found")
_KEY_NOT_FOUND = re.compile(r"couldn't find key (?P<key>\S+) in Secret \S+/(?P<name>\S+)")
_KINDS = {
    "secret": ("SecretNotFound", "Secret"),
    "configmap": ("ConfigMapNotFound", "ConfigMap"),
    "persistentvolumeclaim": ("ClaimNotFound", "PersistentVolumeClaim"),
}
_NO_SURGE = (
    "A rolling update needs room for one more pod; with spec.rollout.maxSurge: 0 and maxUnavailable: 1 it "
    "needs none."
)
_SCHEDULING = (
    (
        ("node affinity/selector", "node(s) didn't match Pod's node"),
        "Correct nodeSelector or affinity in spec.scheduling, or spec.gpu.product; or add such a node.",
    ),
    (
        ("Insufficient cpu", "Insufficient memory", "Insufficient ephemeral-storage"),
        "Lower spec.resources.requests, or add nodes.",
    ),
    (("untolerated taint",), "Add the taint to spec.scheduling.tolerations, or add nodes without it."),
    (("topology spread",), "Set spec.scheduling.topologySpread to Preferred, or add nodes."),
    (("pod affinity", "anti-affinity"), "Correct spec.scheduling.affinity, or add nodes."),
    (("unbound immediate PersistentVolumeClaims",), "Check the PersistentVolumeClaim and its StorageClass."),
)
_REFUSALS = (
    (
        "exceeded quota",
        "QuotaExceeded",
        f"Lower spec.resources, or ask for a larger ResourceQuota. {_NO_SURGE}",
    ),
    ("failed quota", "QuotaExceeded", "Set what the ResourceQuota asks for in spec.resources."),
    ("violates PodSecurity", "PodSecurityViolation", "Ask for a namespace with the level 'restricted'."),
    ("PriorityClass", "PriorityClassNotFound", "Correct spec.scheduling.priorityClassName."),
    *(
        (sign, "LimitRange", "Change spec.resources to what the namespace's LimitRange allows.")
        # Its default limit may be below our request: the user has set no limit then.
        for sign in ("usage per Container", "usage per Pod", "must be less than or equal to")
    ),
    ("service account", "ServiceAccountNotFound", "Create it, or correct spec.serviceAccountName."),
)


def missing_object(message: str) -> tuple[str, str] | None:
    """Return (reason, sentence) where `message` says that an object, or a Secret's key, is missing."""
    key = _KEY_NOT_FOUND.search(message)
    if key is not None:
        return "SecretNotFound", (
            f"Secret {key['name']!r} has no key {key['key']!r}, which spec.env asks for: add it, and the "
            "pods start by themselves."
        )
    match = _NOT_FOUND.search(message)
    if match is None:
        return None
    reason, kind = _KINDS[match["kind"]]
    return reason, (
        f"{kind} {match['name']!r} does not exist in this namespace: create it, and the pods start by "
        "themselves."
    )


def scheduling_remedy(message: str) -> str:
    """Return what to do about the scheduler's sentence; an empty string where nothing is known."""
    match = _INSUFFICIENT.search(message)
    if match is not None:
        return f"No node has enough free {match['resource']}: add one, or correct spec.gpu. {_NO_SURGE}"
    return next((remedy for signs, remedy in _SCHEDULING if any(sign in message for sign in signs)), "")


def refusal(message: str) -> tuple[str, str]:
    """Return (reason, remedy) for pods that admission refused."""
    return next(
        ((reason, remedy) for sign, reason, remedy in _REFUSALS if sign in message),
        ("PodsRefused", "Correct what the message names."),
    )
