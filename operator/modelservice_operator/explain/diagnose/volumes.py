"""What to do about volumes, and other things that a node has to set up before containers run. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.explain.diagnose.cause import Cause
from modelservice_operator.explain.diagnose.missing import missing_object
from modelservice_operator.explain.diagnose.room import MULTI_ATTACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.explain.diagnose.cause import Situation

VOLUME_EVENTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
"""Reasons of the events that tell of it."""
_REMEDIES = (
    (
        ("not found in the list of registered CSI drivers",),
        "The storage driver does not run on this node: install it there, or choose other nodes.",
    ),
    (
        ("access denied", "permission denied", "Permission denied"),
        "The storage refuses this node or its credentials: check what it allows.",
    ),
    (
        ("wrong fs type", "bad superblock", "can't read superblock"),
        "The volume has another or a broken file system: check the PersistentVolume.",
    ),
    (
        ("timed out", "deadline exceeded", "Connection refused", "No route to host"),
        "The storage does not answer: check the PersistentVolumeClaim, its driver and the way to it.",
    ),
    (
        ("network for sandbox", "network plugin", "plugin type=", "IP addresses"),
        "The node's network plug-in cannot set pods up: ask whoever runs the cluster.",
    ),
)


def volume_not_set_up(reason: str, message: str, situation: Situation, samples: Sequence[str]) -> Cause:
    """Return the cause for the kubelet's or the attach controller's sentence; see `missing_object`."""
    missing = missing_object(message, samples)
    if missing is not None:
        return missing
    if MULTI_ATTACH in message:
        return _claim_of_one_node(message, situation)
    remedy = next((remedy for signs, remedy in _REMEDIES if any(sign in message for sign in signs)), "")
    return Cause(reason=reason, message=f"{message.rstrip('.')}. {remedy}".rstrip())


def _claim_of_one_node(message: str, situation: Situation) -> Cause:
    remedy = situation.one_first or "Keep the pods on one node by spec.scheduling (affinity). "
    return Cause(
        reason="ClaimInUse",
        message=(
            "The claim can be used on one node at a time (ReadWriteOnce), and a pod on another node has it. "
            f"{remedy}Or use a claim with ReadOnlyMany or ReadWriteMany. {message}"
        ),
        failing=not situation.heals,
    )
