"""Revisions of a newer release: what they were made with must not get lost on the way back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.api import unknown_fields
from modelservice_operator.decide.runtimes import RuntimeProblem
from modelservice_operator.facts import labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.revision import Revision


def find_newer(accepted: Revision | None, target: str, metadata: Mapping[str, Any]) -> RuntimeProblem | None:
    """Return why the accepted revision is kept: it was made with fields that this operator does not know.

    Without them the target might answer whom the accepted one refuses, and nobody decided that: the spec
    that we read lacks the fields too. `metadata` of the ModelService says whether a person did.
    """
    if accepted is None or accepted.name == target:
        return None
    if (metadata.get("annotations") or {}).get(labels.LEAVE_REVISION) == accepted.name:
        return None
    unknown = unknown_fields(accepted.snapshot.inputs)
    if not unknown:
        return None
    return RuntimeProblem(
        reason="NewerRevision",
        message=f"Revision {accepted.name} was made with {' and '.join(unknown)}, which this release of the "
        "operator does not know. The revision is kept, whatever else the spec says. Install the newer "
        f"release again; or, to go on without {'it' if len(unknown) == 1 else 'them'}, annotate the "
        f"ModelService with {labels.LEAVE_REVISION}={accepted.name}.",
    )
