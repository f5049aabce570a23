"""What the servers of a revision agree to say of its model. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import pods as podlib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.facts.observed import PodReport
    from modelservice_operator.facts.signature import Signature


def signature_of(
    pods: Sequence[Mapping[str, Any]], revision: str, reports: Mapping[str, PodReport]
) -> Signature | None:
    """Return what clients of a revision send and get, as its oldest ready pod that tells it does.

    `reports` are those of servers, by the pods' UIDs. None where no pod tells it (yet).
    """
    for pod in podlib.of_revision(pods, revision):
        report = reports.get(str(pod["metadata"].get("uid"))) if podlib.is_ready(pod) else None
        if report is not None and report.signature is not None:
            return report.signature
    return None
