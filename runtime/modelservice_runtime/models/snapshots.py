"""Counters of every model at one moment: of this process, or summed over several; pure.

Plain dictionaries carry them between processes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias

from modelservice_runtime.execution.statistics import BatchStatistics, ModelStatistics
from modelservice_runtime.model import Batching
from modelservice_runtime.models.content import ModelContent


@dataclass(slots=True)
class ModelSnapshot:
    """One version of a model: requests that wait or run, what was counted, and whether requests share runs.

    `batching` is None where nobody serves it any more. `contents`: what each process that serves it has
    loaded, the same only once; None stands for what is not known yet.
    """

    name: str
    version: str
    pending: int
    statistics: ModelStatistics
    batching: Batching | None = None
    left_out_outputs: tuple[str, ...] = ()
    contents: tuple[ModelContent | None, ...] = ()


Snapshots: TypeAlias = list[ModelSnapshot]


class SnapshotSource(Protocol):
    """Where snapshots come from."""

    def gather(self, done: Callable[[Snapshots], None]) -> None:
        """Call `done` with a snapshot of every model, now or later."""


def merge_snapshots(parts: Iterable[Snapshots]) -> Snapshots:
    """Sum the snapshots of the same version, in the order in which versions first appear.

    Where processes found different things about its batches, what allows the least is told.
    """
    merged: dict[tuple[str, str], ModelSnapshot] = {}
    for part in parts:
        for snapshot in part:
            key = (snapshot.name, snapshot.version)
            into = merged.setdefault(key, ModelSnapshot(*key, 0, ModelStatistics()))
            into.pending += snapshot.pending
            into.statistics.add(snapshot.statistics)
            known = [batching for batching in (into.batching, snapshot.batching) if batching is not None]
            into.batching = min(known, key=_permission, default=None)
            into.left_out_outputs = snapshot.left_out_outputs or into.left_out_outputs
            into.contents = tuple(dict.fromkeys((*into.contents, *snapshot.contents)))
    return list(merged.values())


def _permission(batching: Batching) -> tuple[int, bool]:
    return batching.max_batch_size, batching.source is not None


def plain_snapshots(snapshots: Snapshots) -> list[dict[str, Any]]:
    """As JSON values."""
    return [asdict(snapshot) for snapshot in snapshots]


def parse_snapshots(plain: Iterable[Mapping[str, Any]]) -> Snapshots:
    """The reverse of `plain_snapshots`, where JSON has turned the batches' sizes into text."""
    return [
        ModelSnapshot(
            item["name"],
            item["version"],
            item["pending"],
            _parse_statistics(item["statistics"]),
            None if item["batching"] is None else Batching(**item["batching"]),
            tuple(item["left_out_outputs"]),
            tuple(content and ModelContent(**content) for content in item["contents"]),
        )
        for item in plain
    ]


def _parse_statistics(plain: Mapping[str, Any]) -> ModelStatistics:
    batches = {int(rows): BatchStatistics(**batch) for rows, batch in plain["batches"].items()}
    return ModelStatistics(**{**plain, "batches": batches})
