"""Counters of every model at one moment: of this process, or summed over several; pure.

Plain dictionaries carry them between processes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeAlias

from modelservice_runtime.execution.statistics import BatchStatistics, ModelStatistics
from modelservice_runtime.model import Batching
from modelservice_runtime.models.content import ModelContent
from modelservice_runtime.tensors import DATATYPES, TensorSpec


@dataclass(slots=True)
class ModelSnapshot:
    """One version of a model: requests in flight, what was counted, and whether requests share runs.

    `pending` are those in flight, of which `waiting` wait for a run; `in_flight_ns` is their integral over
    time. `batching` is None where nobody serves it any more. `contents`: what each process that serves it has
    loaded, the same only once; None stands for what is not known yet.
    """

    name: str
    version: str
    pending: int
    statistics: ModelStatistics
    batching: Batching | None = None
    left_out_outputs: tuple[str, ...] = ()
    contents: tuple[ModelContent | None, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    waiting: int = 0
    in_flight_ns: int = 0


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
            into.waiting += snapshot.waiting
            into.in_flight_ns += snapshot.in_flight_ns
            into.statistics.add(snapshot.statistics)
            known = [batching for batching in (into.batching, snapshot.batching) if batching is not None]
            into.batching = min(known, key=_permission, default=None)
            into.left_out_outputs = snapshot.left_out_outputs or into.left_out_outputs
            into.contents = tuple(dict.fromkeys((*into.contents, *snapshot.contents)))
            into.inputs = snapshot.inputs or into.inputs
            into.outputs = snapshot.outputs or into.outputs
    return list(merged.values())


def past_snapshots(snapshots: Snapshots) -> Snapshots:
    """What remains of the snapshots of a process that has ended: what it counted up to then."""
    return [replace(snapshot, pending=0, waiting=0, batching=None, contents=()) for snapshot in snapshots]


def _permission(batching: Batching) -> tuple[int, bool]:
    return batching.max_batch_size, batching.source is not None


def plain_snapshots(snapshots: Snapshots) -> list[dict[str, Any]]:
    """As JSON values."""
    return [
        {
            **asdict(replace(snapshot, inputs=(), outputs=())),
            "inputs": plain_tensors(snapshot.inputs),
            "outputs": plain_tensors(snapshot.outputs),
        }
        for snapshot in snapshots
    ]


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
            _parse_tensors(item["inputs"]),
            _parse_tensors(item["outputs"]),
            item["waiting"],
            item["in_flight_ns"],
        )
        for item in plain
    ]


def _parse_statistics(plain: Mapping[str, Any]) -> ModelStatistics:
    batches = {int(rows): BatchStatistics(**batch) for rows, batch in plain["batches"].items()}
    return ModelStatistics(**{**plain, "batches": batches})


def plain_tensors(tensors: Iterable[TensorSpec]) -> list[dict[str, Any]]:
    """Names, datatypes and shapes as JSON values: -1 is a variable dimension, no shape an unknown rank."""
    return [
        {"name": tensor.name, "datatype": tensor.datatype.name, "shape": tensor.shape} for tensor in tensors
    ]


def _parse_tensors(plain: Iterable[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            one["name"], DATATYPES[one["datatype"]], None if one["shape"] is None else tuple(one["shape"])
        )
        for one in plain
    )
