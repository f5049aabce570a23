"""What the algorithm is shown, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_autoscaler.algorithm.load import Sample
    from modelservice_autoscaler.algorithm.spec import Signal
    from modelservice_autoscaler.algorithm.state import State

Limit = Literal["MinReplicas", "MaxReplicas", "ScaleUpRate", "ScaleDownRate", "Stabilized"]


@dataclass(frozen=True, slots=True)
class Look:
    """A service as it is now."""

    replicas: int
    """What `/scale` says, the answer to an own write included."""
    pods: Mapping[str, Sample | None]
    """Every ready pod by its UID, with its newest answer, however old; None where it never answered.

    The same answer may be handed in again: it counts once.
    """


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signal says now, in the unit of its target."""

    signal: Signal
    value: float | None
    """Per answering pod, over the stable window; None where nothing is known."""
    total: float | None
    """Of all answering pods; where it is no sum, the value."""
    untold: int = 0
    """Of the pods, how many do not say, those that do not answer among them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, and why."""

    replicas: int
    """How many were asked for before."""
    desired: int
    message: str
    """Such as `Concurrency 12.4 of 8 a pod: 2 -> 4`."""
    limit: Limit | None
    """What kept it from going where the signals point."""
    missing: str | None
    """Data that it lacks, such as `2 of 4 pods do not answer`."""
    readings: tuple[Reading, ...]
    state: State
    """To be handed in with the next look. Where `desired` was written to `/scale`: `scaled(state, ...)`."""
