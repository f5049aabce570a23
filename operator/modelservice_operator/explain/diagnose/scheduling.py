"""What to do about the scheduler's sentence. Pure.

It counts the nodes by what each lacks first, in the order in which the scheduler asks (taints, selectors,
resources, volumes, spreading, affinity). A node that failed late lacks least, so what it lacks is the remedy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelservice_operator.explain.diagnose.cause import Cause
from modelservice_operator.explain.diagnose.missing import missing_object
from modelservice_operator.explain.diagnose.room import NO_DEVICE

if TYPE_CHECKING:
    from modelservice_operator.explain.diagnose.cause import Situation
    from modelservice_operator.explain.placement import Placement

_EXTENDED = re.compile(r"Insufficient (?P<resource>[^\s,.]+(?:\.[^\s,]+)*/[^\s,.]+(?:\.[^\s,.]+)*)")
_NODE_TAINTS = re.compile(r"untolerated taint\(?s?\)? \{node\.(?:kubernetes|cloudprovider\.kubernetes)\.io/")
_AFTER_RESOURCES = (
    (
        ("didn't match pod affinity", "didn't match pod anti-affinity", "anti-affinity rules"),
        "Correct spec.scheduling.affinity, or add nodes.",
    ),
    (
        (NO_DEVICE,),
        "No free device does for spec.gpu: correct its claim (class, selectors) or resource, or add devices.",
    ),
    (("topology spread",), "Set spec.scheduling.topologySpread to Preferred, or add nodes."),
    (
        ("volume node affinity conflict",),
        "The claim's volume is on another node or in another zone: choose nodes that reach it.",
    ),
    (("max volume count",), "The nodes carry as many volumes as they can: add nodes."),
    (
        ("unbound immediate PersistentVolumeClaims", "available persistent volumes to bind"),
        "Check the PersistentVolumeClaim and its StorageClass.",
    ),
)
_BEFORE_RESOURCES = (
    (
        ("node affinity/selector", "node(s) didn't match Pod's node", "didn't match node selector"),
        "Correct nodeSelector or affinity in spec.scheduling, or spec.gpu.product; or add such a node.",
    ),
    (("untolerated taint",), "Add the taint to spec.scheduling.tolerations, or add nodes without it."),
    (("were unschedulable",), "The nodes are cordoned: uncordon one (kubectl uncordon), or add nodes."),
    (("no nodes available",), "The cluster has no nodes: add one."),
)


def unschedulable(message: str, situation: Situation, placement: Placement | None = None) -> Cause:
    """Return the cause for a pod that no node can take; `placement` says where it could be, had it room."""
    missing = missing_object(message)
    if missing is not None:
        return missing
    if "ReadWriteOncePod" in message:
        return _claim_of_one_pod(message, situation)
    # A node that lacks a device has all else. Drivers offer some by the name of a resource, too (DeviceClass,
    # extendedResourceName): these are no node's own.
    is_of_drivers = NO_DEVICE in message
    if placement is not None and placement.nodes and not placement.fitting and not is_of_drivers:
        return Cause(reason="Unschedulable", message=placement.sentence)
    return Cause(
        reason="Unschedulable",
        message=f"{message} {_remedy(message, situation)}{_had_they_room(message, placement)}".strip(),
        failing=not situation.heals,
    )


def _claim_of_one_pod(message: str, situation: Situation) -> Cause:
    remedy = (
        situation.room
        or "Leave one pod (spec.replicas: 1), or use a claim with ReadOnlyMany or ReadWriteMany."
    )
    sentence = f"The claim is ReadWriteOncePod and another pod has it. {remedy.strip()} {message}"
    return Cause(reason="ClaimInUse", message=sentence, failing=not situation.heals)


def _remedy(message: str, situation: Situation) -> str:
    extended = _EXTENDED.search(message)
    return (
        _find(_AFTER_RESOURCES, message)
        or (
            extended is not None and _no_room(extended["resource"], "add one, or correct spec.gpu", situation)
        )
        or _plain_resource(message, situation)
        or _find(_BEFORE_RESOURCES, "" if _NODE_TAINTS.search(message) else message)
        or _ill_nodes(message)
    )


def _had_they_room(message: str, placement: Placement | None) -> str:
    if placement is None or not placement.fitting or "Insufficient " not in message:
        return ""
    return f" {placement.fitting} of {placement.nodes} nodes would do, had they room."


def _plain_resource(message: str, situation: Situation) -> str:
    for name in ("cpu", "memory", "ephemeral-storage"):
        if f"Insufficient {name}" in message:
            return f"{situation.room}Lower spec.resources.requests, or add nodes."
    if "Too many pods" in message:
        return f"{situation.room}The nodes carry as many pods as they can: add nodes."
    return ""


def _no_room(resource: str, remedy: str, situation: Situation) -> str:
    return f"No node has enough free {resource}: {remedy}. {situation.room}".strip()


def _ill_nodes(message: str) -> str:
    if _NODE_TAINTS.search(message):
        return "The taint tells that nodes are not well (kubectl describe node): mend them, or add nodes."
    return ""


def _find(table: tuple[tuple[tuple[str, ...], str], ...], message: str) -> str:
    return next((remedy for signs, remedy in table if any(sign in message for sign in signs)), "")
