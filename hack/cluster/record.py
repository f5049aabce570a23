"""What a cluster's directory remembers between runs: how it was started and whether that was finished."""

import dataclasses
import json
from dataclasses import dataclass

from hack.cluster.components import Endpoints
from hack.cluster.paths import ClusterPaths
from hack.cluster.processes import ProcessIdentity, current_boot_id


@dataclass(frozen=True)
class Record:
    """The facts of one started cluster. `complete` is set last: without it the start was interrupted.

    `owner` is the test run that made the cluster and must be outlived by nothing of it, or None.
    """

    boot_id: str
    endpoints: Endpoints
    namespace: bool
    node: bool
    kwok: bool
    complete: bool
    owner: ProcessIdentity | None = None

    def is_usable(self) -> bool:
        """Return whether the cluster was started fully, in this boot of the machine."""
        return self.complete and self.boot_id == current_boot_id()


def read_record(paths: ClusterPaths) -> Record | None:
    """Return the record of a cluster, or None where there is none or it is not readable as one."""
    try:
        fields = json.loads(paths.record.read_text())
        fields["endpoints"] = Endpoints(**fields["endpoints"])
        if fields.get("owner"):
            fields["owner"] = ProcessIdentity(**fields["owner"])
        return Record(**fields)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def write_record(paths: ClusterPaths, record: Record) -> None:
    """Store the record; a reader sees the old one or the new one, never a part."""
    paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = paths.record.with_suffix(".new")
    temporary.write_text(json.dumps(dataclasses.asdict(record), indent=1))
    temporary.rename(paths.record)
