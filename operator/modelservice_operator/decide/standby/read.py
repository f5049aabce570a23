"""What the switch goes by, read off the children, the status and the surroundings of a ModelService. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.standby.switch import SwitchState
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.names import SERVER_CONTAINER
from modelservice_operator.facts.observed import SliceChild
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.facts.endpoints import Endpoint
    from modelservice_operator.facts.observed import Child
    from modelservice_operator.facts.standby import Activators

SETTLED_SECONDS = 5.0
"""A pod that was to go when its service was woken is gone by then: its controller lags behind less."""


LOAD_TOLD_SECONDS = 60.0
"""After so long nobody asks a pod any more how long it loaded."""


def may_sleep(service: Mapping[str, Any]) -> bool:
    """Whether the raw spec of a ModelService says that no pod need run while nobody asks."""
    spec = service.get("spec")
    scaling = spec.get("autoscaling") if isinstance(spec, dict) else None
    return isinstance(scaling, dict) and scaling.get("minReplicas") == 0


def is_load_untold(status: Mapping[str, Any], now: datetime) -> bool:
    """Whether the pod of the last start from zero has yet to say how long it loaded its model.

    It may have been asked about everything else before; an older runtime does not tell it at all.
    """
    told = (status.get("autoscaling") or {}).get("coldStart") or {}
    ready_at = parse_time(told.get("time"))
    if "loadSeconds" in told or ready_at is None:
        return False
    return abs(now - ready_at) < timedelta(seconds=LOAD_TOLD_SECONDS)


def find_slice(children: Iterable[Child], owner_uid: str) -> SliceChild | None:
    """Return the slice that leads to the activator, among the children of the ModelService."""
    return next(
        (
            child
            for child in children
            if isinstance(child, SliceChild) and child.owner_uid == owner_uid and not child.deleting
        ),
        None,
    )


def read_switch(
    facts: Facts, spec: ModelServiceSpec | None, wanted: int | None, serving: Revision
) -> SwitchState:
    """Return what the switch goes by; where the spec cannot be read, a service sleeps on as it did."""
    found = find_slice(facts.observed.others, facts.owner.uid)
    around = facts.observed.surroundings
    recorded = facts.status.get("autoscaling") or {}
    deployments = [one for one in facts.history.deployments.values() if not one.deleting]
    address_type, activators = _of_one_type(around.activators, found)
    woken_at = parse_time(recorded.get("wokenAt"))
    return SwitchState(
        may_sleep=may_sleep(facts.observed.service) if spec else found is not None,
        wanted=wanted,
        runs=any(one.spec_replicas for one in deployments),
        answers=any(one.available_replicas for one in deployments),
        is_led=any(_stays(pod, woken_at, facts.now) for pod in around.led or ()),
        address_type=address_type,
        activators=activators,
        ports=_served(around.ports, serving) if around.ports is not None else None,
        slice=found.slice if found else None,
        listening=around.listening,
        silent=around.silent,
        standby_since=parse_time(recorded.get("standbySince")),
        woken_at=woken_at,
    )


def _of_one_type(
    activators: Activators | None, found: SliceChild | None
) -> tuple[str, tuple[Endpoint, ...] | None]:
    """Return the address type, which a slice keeps for ever, and the activators that have such an address."""
    default = found.slice.address_type if found else "IPv4"
    if activators is None:
        return default, None
    kinds = [one.address_type for one in activators.slices if one.endpoints]
    kind = default if found or default in kinds or not kinds else kinds[0]
    by_address = {
        endpoint.address: endpoint
        for one in activators.slices
        if one.address_type == kind
        for endpoint in one.endpoints
    }
    return kind, tuple(by_address[address] for address in sorted(by_address))


def _served(ports: Mapping[str, int], revision: Revision) -> dict[str, int]:
    """Return the ports on which the revision's pods listen: the Service may name more."""
    containers = (revision.snapshot.template.get("spec") or {}).get("containers") or ()
    listed = next((one.get("ports") or () for one in containers if one.get("name") == SERVER_CONTAINER), ())
    names_served = {one.get("name") for one in listed}
    return {name: number for name, number in ports.items() if name in names_served}


def _stays(pod: Mapping[str, Any], woken_at: datetime | None, now: datetime) -> bool:
    """Whether a pod that clients find is here to stay.

    Just after the last pod was told to go it may still be found: its ReplicaSet has not acted yet. So it has
    to be one that was made since, or one that nobody has taken away for a while.
    """
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp") or woken_at is None:
        return False
    return podlib.is_made_since(pod, woken_at) or now - woken_at >= timedelta(seconds=SETTLED_SECONDS)
