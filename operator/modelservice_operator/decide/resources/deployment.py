"""The Deployment of one revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata, revision_selector
from modelservice_operator.facts import names

if TYPE_CHECKING:
    from modelservice_operator.decide.revision import Revision


def build_deployment(owner: Owner, revision: Revision, replicas: int) -> dict[str, Any]:
    """Return the Deployment with the revision's recorded template, as it is.

    Its update strategy never matters: the template of a revision never changes.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": build_metadata(owner, names.of_revision(owner.name, revision.name), revision.name),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": revision_selector(owner.name, revision.name)},
            "template": revision.snapshot.template,
        },
    }
