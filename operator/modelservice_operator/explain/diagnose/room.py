"""Pods for which there is no room, where the pods that are to go could make it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.rollout.room.capacity import Shortage
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.text.quantity import parse_quantity
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from modelservice_operator.facts.observed import DeploymentChild

_INSUFFICIENT = re.compile(r"Insufficient ([^\s,]+[^\s,.])")
PREEMPTION = re.compile(r"\s*(?:no new claims to deallocate,?\s*)?preemption: .*$", re.DOTALL)
_NEVER_FITS = re.compile(
    r"preemption: 0/(\d+) nodes are available: \1 Preemption is not helpful for scheduling"
)
"""No node would have enough if all its pods went."""
NO_DEVICE = "cannot allocate all claims"
"""Of devices by dynamic resource allocation: of claims, and of resources that a DeviceClass offers
(`extendedResourceName`)."""
_CLAIMS = "claims"
"""Stands among resources for such devices, of whatever class."""
_PLACES = ("Too many pods", "ReadWriteOncePod", "didn't match pod anti-affinity rules")
"""What any pod that goes leaves behind: a place on its node, its claim, its host."""
MULTI_ATTACH = "Multi-Attach error"
"""In the attach controller's sentence about a volume that one node at a time may have."""
_COUNTS = frozenset({"pods", "count/pods"})
_MAKES_ROOM = ("TriggeredScaleUp", "Nominated")
"""Reasons of the events of the Kubernetes cluster autoscaler and of Karpenter for a pod that gets a node."""
_MAKES_NO_ROOM = "NotTriggerScaleUp"


def find_shortage(
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    deployment: DeploymentChild,
    freed: frozenset[str],
    *,
    is_only: bool = False,
) -> Shortage | None:
    """Return the pods of a revision that find no room; `freed` are the resources of pods that may go.

    Where those pods hold nothing of what is missing, sending them away would not help: that is no shortage.
    `is_only` says that only one pod may go: then nobody holds its claim any more.
    """
    refused = _refusal(deployment)
    if refused is not None and _frees_quota(refused, freed):
        missing = deployment.spec_replicas - deployment.replicas
        return Shortage(missing, redact(refused)) if missing > 0 else None
    mine = podlib.of_revision(pods, deployment.revision)
    waiting = [(pod, message) for pod, message in _unschedulable(mine) if _frees_place(message, freed)]
    if is_only:
        waiting += _unattached(mine, events)
    if not waiting:
        return None
    is_being_mended = any(makes_room(pod, events) for pod, _ in waiting)
    return Shortage(len(waiting), redact(PREEMPTION.sub("", waiting[0][1])), is_being_mended)


def resources_of(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield the resources that a pod template asks for, and that it claims devices."""
    spec = template.get("spec") or {}
    if spec.get("resourceClaims"):
        yield _CLAIMS
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for amounts in (container.get("resources") or {}).values():
            yield from amounts if isinstance(amounts, dict) else ()


def makes_room(pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the last word of a cluster autoscaler is that it makes room for this pod."""
    uid = pod["metadata"].get("uid")
    words = sorted(
        (str(event.get("lastTimestamp") or event.get("eventTime") or ""), str(event.get("reason")))
        for event in events
        if (event.get("involvedObject") or {}).get("uid") == uid
        and event.get("reason") in (*_MAKES_ROOM, _MAKES_NO_ROOM)
    )
    return bool(words) and words[-1][1] in _MAKES_ROOM


def _unschedulable(pods: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for pod in pods:
        scheduled = podlib.condition(pod, "PodScheduled")
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            yield pod, str(scheduled.get("message") or "")


def _unattached(
    pods: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield pods that have a node and wait there for a claim that a pod on another node holds."""
    said = {
        (event.get("involvedObject") or {}).get("uid"): str(event.get("message"))
        for event in events
        if MULTI_ATTACH in str(event.get("message"))
    }
    for pod in pods:
        message = said.get(pod["metadata"].get("uid"))
        if message is not None and not podlib.has_started(pod):
            yield pod, message


def _refusal(deployment: DeploymentChild) -> str | None:
    """Return the quota's sentence where it refuses pods."""
    for condition in deployment.conditions:
        message = str(condition.get("message") or "")
        if (condition.get("type"), condition.get("status")) == ("ReplicaFailure", "True"):
            return message if "exceeded quota" in message else None
    return None


def _frees_place(message: str, freed: frozenset[str]) -> bool:
    if any(sign in message for sign in _PLACES):
        return True
    if NO_DEVICE in message:
        return any(one == _CLAIMS or "/" in one for one in freed)
    return not freed.isdisjoint(_INSUFFICIENT.findall(message)) and not _NEVER_FITS.search(message)


def _frees_quota(message: str, freed: frozenset[str]) -> bool:
    """`exceeded quota: tight, requested: pods=1,requests.cpu=2, used: ..., limited: ...`: what is exceeded.

    A pod that asks for more than the quota is would have no room if all others went.
    """
    requested, limited = _amounts(message, "requested"), _amounts(message, "limited")
    names = set(requested)
    if any(requested[name] > limited[name] for name in requested.keys() & limited.keys()):
        return False
    bare = {name.removeprefix("requests.").removeprefix("limits.") for name in names}
    return not names.isdisjoint(_COUNTS) or not freed.isdisjoint(bare)


def _amounts(message: str, kind: str) -> dict[str, Decimal]:
    """Return what such a sentence says is `requested`, `used` or `limited`."""
    named = re.search(rf"\b{kind}: ((?:[^\s,=]+=[^\s,=]+,?)+)", message)
    pairs = (one.partition("=") for one in named[1].split(",") if one) if named else ()
    try:
        return {name: parse_quantity(amount) for name, _, amount in pairs}
    except ValueError:
        return {}
