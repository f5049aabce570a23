"""What was measured of two revisions in the same time: plain numbers, from whatever source. Pure."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  msgspec reads the annotations at run time
from datetime import datetime  # noqa: TC003

import msgspec


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What all pods of one revision counted between two looks at them."""

    requests: int
    """Requests that ended, whatever became of them."""
    values: Mapping[str, float | None] = {}
    """By the metric's place in the analysis (`"0"`, `"1"`, ...): its value, None where there is none.
    Ratios are 0 to 1, latencies seconds."""
    samples: Mapping[str, int] = {}
    """Likewise: of how many it was made, where that is not the number of requests."""
    lowest: Mapping[str, float] = {}
    """Likewise: the least that the value may be in the long run, for all that so many requests tell. Absent
    where the value is what it is."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of an analysis."""

    run: str
    """Which analysis it belongs to (see `MeasureRequest.run`)."""
    ended_at: datetime
    """In whole seconds, as a status keeps it: two measurements never end in the same one."""
    candidate: Window | None = None
    """None where nothing could be read."""
    stable: Window | None = None
    problem: str = ""
    """What kept it from being read, for people."""
    problems: Mapping[str, str] = {}
    """By the metric's place in the analysis: why it has no value."""


class MeasureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an analysis wants to have measured, over and over."""

    run: str
    """Names this run of this analysis: another one is measured anew."""
    candidate: str
    """The revision that is judged."""
    stable: str | None
    """The one beside it; None after it is gone."""
    interval_seconds: int
    metrics: tuple[tuple[str, str | None], ...]
    """(type, query) of each metric, in the order of the analysis."""
    prometheus_url: str | None = None
