"""The revisions of one ModelService: which exist, which one is stable, which ones can be forgotten.

Everything follows from owned objects; status only says which of them was stable, and a status that was
lost or forged is found out by what exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.revision import Revision, Snapshot, parse_snapshot
from modelservice_operator.facts import names
from modelservice_operator.facts.ownership import is_ours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from modelservice_operator.facts.observed import DeploymentChild, Observed, RevisionChild


class History:
    """The owned ControllerRevisions and Deployments, by revision name. Snapshots are read on demand."""

    def __init__(
        self, records: Mapping[str, RevisionChild], deployments: Mapping[str, DeploymentChild]
    ) -> None:
        self.records = records
        self.deployments = deployments
        self.newest_number = max((record.number for record in records.values()), default=0)
        self._read: dict[str, Revision | None] = {}

    def revision(self, name: str | None) -> Revision | None:
        """Return a recorded revision, None where there is none with a readable snapshot."""
        if name is None:
            return None
        if name not in self._read:
            self._read[name] = self._parse(name)
        return self._read[name]

    def _parse(self, name: str) -> Revision | None:
        record = self.records.get(name)
        snapshot = parse_snapshot(record.data) if record and not record.deleting else None
        if record is None or snapshot is None:
            return None
        is_recorded = record.owner_uid is not None
        return Revision(name=name, number=record.number, snapshot=snapshot, recorded=is_recorded)

    def adopt(self, name: str, snapshot: Snapshot) -> Revision:
        """Return the newest revision: an old record of this name is reused, with the highest number."""
        known = self.revision(name)
        if known is not None and known.number == self.newest_number:
            return known
        return Revision(
            name=name,
            number=self.newest_number + 1,
            snapshot=known.snapshot if known else snapshot,
            recorded=False,
        )


def read_history(observed: Observed) -> History:
    """Return the revisions of the observed ModelService; names tell them, labels can be edited."""
    metadata = observed.service["metadata"]
    service, uid = str(metadata["name"]), str(metadata["uid"])
    return History(
        records=_by_revision(service, uid, observed.revisions),
        deployments=_by_revision(service, uid, observed.deployments),
    )


def _by_revision(service: str, uid: str, children: Sequence[Any]) -> dict[str, Any]:
    found = {}
    for child in children:
        revision = names.revision_in(service, child.name)
        if revision is not None and is_ours(child, service, uid):
            found[revision] = child
    return found


def stable_revision(status: Mapping[str, Any], history: History) -> str | None:
    """Return the revision that was fully available last.

    A status that names no existing revision, or that knows nothing of a rollout, is not believed: then the
    revision with the most available pods is taken. None before a first rollout is complete.
    """
    recorded = status.get("stableRevision")
    if recorded is not None and history.revision(str(recorded)) is not None:
        return str(recorded)
    if recorded is None and status.get("targetRevision"):
        return None
    serving = [
        (deployment.available_replicas, -history.records[name].number, name)
        for name, deployment in history.deployments.items()
        if deployment.available_replicas > 0 and history.revision(name) is not None
    ]
    return max(serving)[2] if serving else None


def forgotten(history: History, live: Set[str], limit: int) -> tuple[RevisionChild, ...]:
    """Return the records beyond the history limit, oldest first; live revisions do not count."""
    old = sorted(
        (record for name, record in history.records.items() if name not in live and not record.deleting),
        key=lambda record: (record.number, record.name),
    )
    return tuple(old[: max(0, len(old) - limit)])
