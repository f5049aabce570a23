"""The ControllerRevision that keeps a revision's snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.revision import snapshot_data
from modelservice_operator.facts import names

if TYPE_CHECKING:
    from modelservice_operator.decide.revision import Revision


def build_controller_revision(owner: Owner, revision: Revision) -> dict[str, Any]:
    """Return the ControllerRevision; the API server refuses any later change of its `data`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": build_metadata(owner, names.of_revision(owner.name, revision.name), revision.name),
        "data": snapshot_data(revision.snapshot),
        "revision": revision.number,
    }
