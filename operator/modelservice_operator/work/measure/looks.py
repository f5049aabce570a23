"""What a source of metrics says of one interval. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping  # noqa: TC003  the dataclass' fields
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from modelservice_operator.facts.measured import Measurement, Window

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Look:
    """One revision in one interval."""

    window: Window | None
    """None where nothing could be read."""
    problem: str = ""
    """Why there is no window."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why a metric has no value, by its place."""


@dataclass(frozen=True)
class Looks:
    """Both revisions in one interval."""

    candidate: Look
    stable: Look | None
    """None where there is no old revision."""

    def measurement(self, run: str, ended_at: datetime) -> Measurement:
        """The same for everybody else."""
        both = [look for look in (self.candidate, self.stable) if look is not None]
        places = sorted({place for look in both for place in look.problems})
        return Measurement(
            run=run,
            ended_at=ended_at,
            candidate=self.candidate.window,
            stable=self.stable.window if self.stable is not None else None,
            problem=_join(look.problem for look in both),
            problems={place: _join(look.problems.get(place, "") for look in both) for place in places},
        )


class Source(Protocol):
    """Where metrics are read."""

    async def measure(self) -> Looks:
        """Look for one interval, which begins where the last one ended."""


def _join(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))
