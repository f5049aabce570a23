"""Which objects are ours to write: the one rule, for those in the cache and those looked up. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.facts import labels
from modelservice_operator.facts.fields.canonical import fingerprint

if TYPE_CHECKING:
    from modelservice_operator.facts.observed import Child

_NOTHING_MANAGED = fingerprint({})
"""The fingerprint of an object in which our field manager owns nothing."""


def is_owned(child: Child, uid: str) -> bool:
    """Whether the child belongs to this very ModelService, not to an earlier one of the same name."""
    return child.owner_uid == uid


def is_ours(child: Child, service: str, uid: str) -> bool:
    """Whether the child is owned, or was made by us for a service of this name and orphaned since.

    Orphans come of `kubectl delete --cascade=orphan` and of restoring a backup; they are adopted again when
    they are applied. Labels alone prove nothing: our field manager must own fields in it.
    """
    return is_owned(child, uid) or (
        child.owner_uid is None
        and child.labels.get(labels.MANAGED_BY) == labels.MANAGER
        and child.labels.get(labels.NAME) == service
        and child.fingerprint != _NOTHING_MANAGED
    )
