"""Whether clients reach the pods: half of the rule behind the condition Available. Pure.

A client asks the Service of the ModelService's name. It finds the pods where that Service exists, is ours,
selects our pods and has our ports. That is looked at, and not whether we meant to write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.metadata import Owner
from modelservice_operator.decide.resources.service import build_service
from modelservice_operator.facts import labels
from modelservice_operator.facts.observed import ServiceChild
from modelservice_operator.facts.ports import service_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.facts.observed import ApplyFailure, Observed

_ALIAS = "ExternalName"
"""The type of a Service that never leads to pods."""


class Obstacle(msgspec.Struct, frozen=True):
    """Why clients do not reach pods that are available."""

    reason: str
    message: str
    needs_person: bool = False
    """Whether what is wrong is a person's choice, which the operator leaves alone."""


def selected_revision(observed: Observed) -> str | None:
    """Return the only revision that clients are led to, None where it is all of them."""
    service = _find_service(observed)
    return service.selector.get(labels.REVISION) if service is not None else None


def find_obstacle(observed: Observed, failures: Sequence[ApplyFailure]) -> Obstacle | None:
    """Return what keeps clients from the pods; `failures` are the writes that were just refused."""
    metadata = observed.service["metadata"]
    name, uid = metadata["name"], metadata["uid"]
    found = _find_service(observed)
    if found is None:
        return _missing(name, failures)
    # One that leads to a single revision is ours as well: which one is the rollout's business.
    revision = found.selector.get(labels.REVISION)
    owner = Owner(name=name, namespace=metadata["namespace"], uid=uid)
    # Whether by TLS is the rollout's business too.
    forms = (build_service(owner, revision, is_encrypted=one) for one in (False, True))
    if any(_leads_to_pods(found, form) for form in forms):
        return None
    return Obstacle(
        "ServiceChanged",
        f"Service {name!r} does not lead to the pods: its type, selector or ports were changed and could not "
        "be set right. Undo the change, or delete the Service: it is made anew.",
        needs_person=found.type == _ALIAS,
    )


def _find_service(observed: Observed) -> ServiceChild | None:
    """Return the Service of the ModelService's name, where it is ours."""
    metadata = observed.service["metadata"]
    return next(
        (
            one
            for one in observed.others
            if isinstance(one, ServiceChild)
            and one.name == metadata["name"]
            and one.owner_uid == metadata["uid"]
        ),
        None,
    )


def _missing(name: str, failures: Sequence[ApplyFailure]) -> Obstacle:
    refused = next((one for one in failures if (one.kind, one.name) == ("Service", name)), None)
    if refused is not None and refused.reason == "NameConflict":
        return Obstacle(
            refused.reason, f"Service {name!r} is somebody else's: clients reach that one, not these pods."
        )
    return Obstacle(
        refused.reason if refused else "ServiceMissing",
        f"There is no Service {name!r}: clients do not reach the pods.",
    )


def _leads_to_pods(service: ServiceChild, wanted: Mapping[str, Any]) -> bool:
    spec = wanted["spec"]
    return (
        service.type != _ALIAS
        and dict(service.selector) == spec["selector"]
        and service.ports >= service_ports(spec)
    )
