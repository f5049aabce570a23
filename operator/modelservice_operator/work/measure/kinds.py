"""The types of metrics: how each is made of what servers counted, and how Prometheus is asked for it. Pure.

Another type is one more row of KINDS. Source of the quantiles: Prometheus, `histogram_quantile`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from modelservice_operator.work.measure.counts import (
    BETWEEN_TOKENS,
    DURATIONS,
    FAILURES,
    FIRST_TOKENS,
    NON_FINITE,
    PENDING,
    SUCCESSES,
    Counts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVER_FAULTS = ("REJECTED", "BACKEND")
"""Reasons of failures that are the server's fault: a full queue, a deadline that passed, a model that is not
there; a model, a device or the server itself that failed. OTHER are requests that were wrong, CANCELED those
whose client had gone."""

NO_REQUESTS = "there were no such requests"
_OLDER_SERVER = f"its image is older than {NON_FINITE}: take a newer one, or leave this metric out"


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What all pods of a revision did in an interval."""

    counts: Counts
    pending: float
    """Requests that waited or ran in a pod, on average over pods and looks."""


@dataclass(frozen=True)
class Kind:
    """One type of metric."""

    read: Callable[[Totals], float | None]
    """The value; None where there is none."""
    missing: Callable[[Totals], str]
    """Why there is none."""
    promql: str
    """The same in PromQL; $pods (label matchers), $interval and $share are filled in."""
    share: float | None = None
    """Where it is a quantile: of which share of the requests."""
    is_ratio: bool = False
    """Whether it is a share of the requests."""
    histogram: str = ""
    """Where it is a quantile: of which times."""

    @property
    def samples_promql(self) -> str | None:
        """How many times there are, in PromQL; None where it is one of each request."""
        if self.histogram in ("", DURATIONS):
            return None
        return f"sum(increase({self.histogram}_count{_RANGE}))"

    def samples(self, totals: Totals) -> int | None:
        """How many times there are; None where it is one of each request, or nobody tells."""
        if self.samples_promql is None:
            return None
        count = totals.counts.histogram(self.histogram).get(math.inf)
        return None if count is None else round(count)

    def lowest(self, totals: Totals, value: float) -> float | None:
        """The least that the value may be in the long run; None where it is what it is.

        Times between the tokens of one text are alike: of a text they tell no more than one does.
        """
        requests = totals.counts.requests
        if self.is_ratio:
            return lowest_ratio(value, requests)
        if self.share is None or not requests:
            return None
        return quantile(lowest_share(self.share, requests), totals.counts.histogram(self.histogram))


_CONFIDENCE = 1.645
"""Standard deviations: one time in twenty the long run is below."""


def lowest_ratio(ratio: float, requests: float) -> float:
    """The least that a ratio of so many requests may be in the long run (Wilson's interval, one side)."""
    ratio, square = max(0.0, min(ratio, 1.0)), _CONFIDENCE**2
    spread = _CONFIDENCE * math.sqrt(ratio * (1 - ratio) * requests + square / 4)
    return max(0.0, (ratio * requests + square / 2 - spread) / (requests + square))


def lowest_share(share: float, requests: float) -> float:
    """The share of so many requests whose time is the least that the quantile may be in the long run.

    How many of them are faster than the quantile is a matter of chance: a binomial distribution's.
    """
    return max(0.01, share - _CONFIDENCE * math.sqrt(share * (1 - share) / requests))


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The time that so large a share of requests took at most, in seconds; None without requests.

    `buckets` are cumulative counts by upper bound in seconds. Within a bucket all times are taken for equally
    likely; what took longer than all finite bounds counts as the largest of them.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != float("inf"):
        return None
    counts = _rising([buckets[bound] for bound in bounds])
    rank = share * counts[-1]
    if counts[-1] <= 0:
        return None
    index = next(index for index, count in enumerate(counts) if count >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    start, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    return start + (bounds[index] - start) * (rank - below) / (counts[index] - below)


def _rising(counts: list[float]) -> list[float]:
    """Cumulative counts that do not fall: servers with other bounds may have been added up."""
    highest = 0.0
    rising = []
    for count in counts:
        highest = max(highest, count)
        rising.append(highest)
    return rising


def _error_ratio(totals: Totals) -> float | None:
    faults = sum(totals.counts.failures.get(reason, 0.0) for reason in SERVER_FAULTS)
    return faults / totals.counts.requests if totals.counts.requests else None


def _non_finite_ratio(totals: Totals) -> float | None:
    counts = totals.counts
    return None if counts.non_finite is None or not counts.successes else counts.non_finite / counts.successes


def _time(histogram: str, share: float, totals: Totals) -> float | None:
    return quantile(share, totals.counts.histogram(histogram))


def _time_kind(histogram: str, share: float) -> Kind:
    seconds = f"histogram_quantile($share, sum by (le) (increase({histogram}_bucket{_RANGE})))"
    return Kind(
        partial(_time, histogram, share),
        partial(_no_times, histogram),
        seconds,
        share=share,
        histogram=histogram,
    )


def _no_times(histogram: str, totals: Totals) -> str:
    return NO_REQUESTS if totals.counts.histogram(histogram) else f"its servers do not tell {histogram}"


def _no_requests(_: Totals) -> str:
    return NO_REQUESTS


_RANGE = "{$pods}[$interval]"
_FAULT_RANGE = f'{{$pods,reason=~"{"|".join(SERVER_FAULTS)}"}}[$interval]'

REQUESTS_PROMQL = " + ".join(f"sum(increase({name}{_RANGE}))" for name in (SUCCESSES, FAILURES))
"""Requests that ended."""

KINDS: Mapping[str, Kind] = {
    "ErrorRatio": Kind(
        _error_ratio,
        _no_requests,
        f"sum(increase({FAILURES}{_FAULT_RANGE})) / ({REQUESTS_PROMQL})",
        is_ratio=True,
    ),
    **{
        f"{name}P{share}": _time_kind(histogram, share / 100)
        for name, histogram in (
            ("Latency", DURATIONS),
            ("TimeToFirstToken", FIRST_TOKENS),
            ("InterTokenLatency", BETWEEN_TOKENS),
        )
        for share in (50, 95, 99)
    },
    "Saturation": Kind(
        lambda totals: totals.pending,
        _no_requests,
        f"avg(sum by (pod) (avg_over_time({PENDING}{_RANGE})))",
    ),
    "NonFiniteRatio": Kind(
        _non_finite_ratio,
        lambda totals: _OLDER_SERVER if totals.counts.non_finite is None else NO_REQUESTS,
        f"sum(increase({NON_FINITE}{_RANGE})) / sum(increase({SUCCESSES}{_RANGE}))",
        is_ratio=True,
    ),
}
"""Every type but Prometheus, whose query is the user's."""
