"""What a command knows of one ModelService: objects as read, reduced to what is shown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from modelservice_cli.errors import CommandError
from modelservice_operator.decide.revision import Snapshot, recorded_domain
from modelservice_operator.decide.rollout.traffic import percentages
from modelservice_operator.facts import labels, names
from modelservice_operator.facts.recorded import is_given_up

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One revision in the history."""

    revision: str
    number: int
    created_at: str
    snapshot: Snapshot

    @property
    def model(self) -> str:
        """Where its model comes from."""
        return str((self.snapshot.inputs.get("model") or {}).get("storageUri", ""))

    @property
    def image(self) -> str:
        """The image of its pods."""
        return self.snapshot.runtime.image_for(recorded_domain(self.snapshot))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One look at a ModelService; what the user may not read is None, and named in `unreadable`."""

    service: Object
    records: tuple[Record, ...] | None = ()
    """By their number, the oldest first."""
    deployments: Mapping[str, Object] | None = field(default_factory=dict)
    """By revision."""
    pods: Sequence[Object] | None = ()
    warnings: Sequence[Object] = ()
    """Events about pods that do not start."""
    unreadable: tuple[str, ...] = ()
    settled: bool = True
    """Whether all of this is of one moment: the operator's status counts the pods that are here."""

    @property
    def name(self) -> str:
        """The name of the ModelService."""
        return str(self.service["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The namespace of the ModelService."""
        return str(self.service["metadata"]["namespace"])

    @property
    def spec(self) -> Object:
        """The spec as it is."""
        found: Object = self.service.get("spec") or {}
        return found

    @property
    def status(self) -> Object:
        """The status, empty before the operator wrote one."""
        found: Object = self.service.get("status") or {}
        return found

    @property
    def rollout(self) -> Object:
        """What the status says of the change, empty where it says nothing."""
        found: Object = self.status.get("rollout") or {}
        return found

    @property
    def outcomes(self) -> tuple[Object, ...]:
        """What became of the revisions, the newest last."""
        return tuple(self.status.get("outcomes") or ())

    def outcome(self, revision: str) -> Object:
        """What became of this one, empty where it is not known."""
        return next((one for one in self.outcomes if one.get("revision") == revision), {})

    @property
    def stable(self) -> str | None:
        """The revision that was fully available last."""
        return self.status.get("stableRevision")

    @property
    def target(self) -> str | None:
        """The revision of the spec, as the operator saw it last."""
        return self.status.get("targetRevision")

    @property
    def served(self) -> list[Record] | None:
        """The recorded revisions that were fully available, the last one last; None: not known."""
        names_served = self.status.get("servedRevisions")
        if names_served is None:
            return None
        found = (self.record(name) for name in names_served)
        return [one for one in found if one is not None]

    def never_served(self, record: Record) -> bool:
        """Whether a revision, of those since the first that is known to have served, never did."""
        served = self.served or []
        since = min((one.number for one in served), default=record.number)
        return record not in served and record.number > since

    def record(self, revision: str | None) -> Record | None:
        """The record of a revision, None where there is none."""
        return next((one for one in self.records or () if one.revision == revision), None)

    def role(self, revision: str) -> str:
        """What a revision is in the change that goes on; empty for one that is history only."""
        if revision == self.stable:
            return "stable"
        if revision in (self.status.get("abortedRevisions") or ()):
            return "aborted"
        if revision == self.target:
            return "given up" if is_given_up(self.status, revision) else "target"
        if revision == self.rollout.get("previousRevision"):
            return "previous"
        return "leaving" if revision in (self.deployments or {}) else ""

    def title(self, record: Record) -> str:
        """How a revision is called in a sentence: `bx5c9d7fgz (revision 3, stable)`."""
        role = self.role(record.revision)
        return f"{record.revision} (revision {record.number}{', ' if role else ''}{role})"


def counts_agree(facts: Facts) -> bool:
    """Whether the operator has counted the pods that the Deployments have now.

    Its status counts those to which clients are led, and gives each revision's share of them.
    """
    if facts.deployments is None:
        return True
    # The status says by a label selector which pods those are.
    chosen = str(facts.status.get("selector") or "").partition(f"{labels.REVISION}=")[2]
    reached = {name: one for name, one in facts.deployments.items() if chosen in ("", name)}
    counts = {
        count: {name: (one.get("status") or {}).get(count, 0) for name, one in reached.items()}
        for count in ("readyReplicas", "availableReplicas")
    }
    actual = {one["revision"]: one.get("actual", 0) for one in facts.status.get("traffic") or ()}
    shares = percentages(counts["availableReplicas"])
    return all(facts.status.get(count, 0) == sum(one.values()) for count, one in counts.items()) and all(
        actual.get(name, 0) == shares.get(name, 0) for name in {*actual, *shares}
    )


def read_records(service: Object, found: Sequence[Object]) -> tuple[Record, ...]:
    """Return the records among ControllerRevisions that belong to this ModelService."""
    records = (_read_record(service, one) for one in _owned(service, found))
    return tuple(sorted((one for one in records if one is not None), key=lambda one: one.number))


def read_deployments(service: Object, found: Sequence[Object]) -> dict[str, Object]:
    """Return the Deployments that belong to this ModelService, by their revision."""
    name = str(service["metadata"]["name"])
    named = ((names.revision_in(name, str(one["metadata"]["name"])), one) for one in _owned(service, found))
    return {revision: one for revision, one in named if revision is not None}


def _owned(service: Object, found: Sequence[Object]) -> list[Object]:
    """Return those that this very ModelService owns, or that are on the way to it because nobody does."""
    uid = service["metadata"]["uid"]
    return [
        one
        for one in found
        if uid in (owners := [ref["uid"] for ref in one["metadata"].get("ownerReferences") or ()])
        or not owners
    ]


def _read_record(service: Object, found: Object) -> Record | None:
    revision = names.revision_in(str(service["metadata"]["name"]), str(found["metadata"]["name"]))
    if revision is None:
        return None
    try:
        snapshot = msgspec.convert(found.get("data"), Snapshot)
    except msgspec.ValidationError:
        return None
    return Record(
        revision=revision,
        number=int(found.get("revision") or 0),
        created_at=str(found["metadata"].get("creationTimestamp") or ""),
        snapshot=snapshot,
    )


def find_record(facts: Facts, text: str) -> Record:
    """Return the revision that a user means by its name or number. Raises CommandError."""
    for one in facts.records or ():
        if text in (one.revision, str(one.number)):
            return one
    known = ", ".join(f"{one.number} ({one.revision})" for one in facts.records or ()) or "none"
    raise CommandError(f"{facts.name} has no recorded revision {text!r}; there are: {known}")
