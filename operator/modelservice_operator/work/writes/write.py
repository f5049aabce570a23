"""One object on its way to the API server: whose it is, what became of it. No I/O here.

Ownership comes before every write: an object that carries our owner reference is ours, by UID.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts.errors import ApiError, apply_failure
from modelservice_operator.facts.labels import REVISION
from modelservice_operator.facts.observed import ApplyFailure, Child, DeploymentChild
from modelservice_operator.facts.ownership import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.facts.kinds import Resource

CONFLICT_RECHECK_SECONDS = 5.0
"""A foreign object is not watched: look again after 5 to 15 seconds, so that removing it heals quickly."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The ModelService on whose behalf something is written."""

    key: Key
    uid: str


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass of writes came to."""

    failures: tuple[ApplyFailure, ...] = ()
    written: frozenset[str] = frozenset()
    """Kinds of which at least one object was written or deleted."""
    retry_after_seconds: float = 0.0
    """The longest Retry-After that the API server asked for."""

    @property
    def is_hopeless(self) -> bool:
        """The namespace is on its way out: retrying would only fail until it is gone."""
        return any(failure.reason == "NamespaceTerminating" for failure in self.failures)

    @property
    def recheck_seconds(self) -> float | None:
        """When to look again if name conflicts are all that is wrong; None where a backoff is due."""
        if not self.failures or any(failure.reason != "NameConflict" for failure in self.failures):
            return None
        return CONFLICT_RECHECK_SECONDS * (1 + 2 * random.random())  # noqa: S311  jitter is no secret


@dataclass(kw_only=True)
class Write:
    """One desired object on its way."""

    resource: Resource
    body: dict[str, Any]
    intended: str
    """Fingerprint of the desired object."""
    child: Child | None
    """The object as cached; None where the name must be looked up."""
    failure: ApplyFailure | None = None
    is_written: bool = False
    retry_after_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return str(self.body["metadata"]["namespace"])

    def accept(self, child: Child) -> None:
        """The object is ours; one on its way out cannot be mended."""
        self.child = child
        if child.deleting:
            self.refuse("Unavailable", "it is being deleted; it is made anew once it is gone", transient=True)

    def fail(self, error: ApiError) -> None:
        """The API server refused it."""
        self.failure = apply_failure(error, self.resource.kind, self.name)
        self.retry_after_seconds = error.retry_after_seconds or 0.0

    def refuse(self, reason: str, message: str, *, transient: bool) -> None:
        """It must not be written."""
        self.failure = ApplyFailure(
            kind=self.resource.kind, name=self.name, reason=reason, message=message, transient=transient
        )


def claim(write: Write, owner: Owner, found: Child) -> bool:
    """Take what was found under the name of a write, or refuse the write; whether it is ours."""
    if is_ours(found, owner.key.name, owner.uid):
        write.accept(found)
        return True
    if found.owner_name == owner.key.name:
        write.refuse(
            "Unavailable",
            "it belongs to a deleted ModelService of the same name and is being collected",
            transient=True,
        )
    else:
        write.refuse("NameConflict", _conflict_message(write, found), transient=False)
    return False


def _conflict_message(write: Write, child: Child) -> str:
    whose = "is controlled by something else" if child.owner_uid else "was not made by this operator"
    return (
        f"{write.resource.kind} {write.name!r} exists and {whose}: delete or rename it, "
        "or give the ModelService another name"
    )


def is_blocked(write: Write, writes: Iterable[Write]) -> bool:
    """Whether what has pods must not be written: its snapshot failed, or, when new, its ServiceAccount."""
    if write.resource.kind not in ("Deployment", "Job"):
        return False
    revision = write.body["metadata"]["labels"].get(REVISION)
    for other in writes:
        if other.failure is None:
            continue
        if other.resource.kind == "ControllerRevision":
            if other.body["metadata"]["labels"].get(REVISION) == revision:
                return True
        elif other.resource.kind == "ServiceAccount" and write.child is None:
            return True
    return False


def summarise(writes: Sequence[Write], deletions: Sequence[Write]) -> Applied:
    """Return what all writes of one pass came to."""
    everything = [*writes, *deletions]
    return Applied(
        failures=tuple(write.failure for write in everything if write.failure is not None),
        written=frozenset(write.resource.kind for write in everything if write.is_written),
        retry_after_seconds=max((write.retry_after_seconds for write in everything), default=0.0),
    )


def goes_last(child: Child) -> bool:
    """Whether it is a Deployment whose pods have ended, and only their objects are left.

    Until those are gone too the disruption controller asks it how many pods are wanted. Pods that still stop
    might take long, and nothing new can take the name as long.
    """
    return isinstance(child, DeploymentChild) and child.replicas == child.terminating_replicas == 0
