"""What a server has counted, as its metrics page says, and what it counted between two looks. Pure.

The page is Prometheus' text format 0.0.4. Only the lines of some families are read: a page has many more,
and pages of thousands of pods are read in one event loop. Source: Prometheus, "Exposition formats".
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  the dataclass' fields
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SUCCESSES = "nv_inference_request_success"
FAILURES = "nv_inference_request_failure"
DURATIONS = "modelservice_request_duration_seconds"
FIRST_TOKENS = "vllm:time_to_first_token_seconds"
BETWEEN_TOKENS = "vllm:inter_token_latency_seconds"
HISTOGRAMS = (DURATIONS, FIRST_TOKENS, BETWEEN_TOKENS)
NON_FINITE = "modelservice_nonfinite_responses_total"
PENDING = "nv_inference_pending_request_count"
STARTED = "process_start_time_seconds"

MAX_SERIES = 5000
"""Lines of a page that are read: a server of ours has some sixty for each version of its model."""

MOST = 2.0**53
"""Up to here a float counts one by one; no server of ours has done more."""

_Label = TypeVar("_Label", str, "tuple[str, float]")
_BUCKET = "_bucket"
_BUCKETS = tuple(f"{name}{_BUCKET}" for name in HISTOGRAMS)
_NAMES = (SUCCESSES, FAILURES, *_BUCKETS, NON_FINITE, PENDING, STARTED)
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*"'
_VALUE = r"([-+.0-9a-zA-Z]{1,32})(?:[ \t]+-?[0-9]+)?"
_LINE = re.compile(rf"({'|'.join(_NAMES)})(?:\{{((?:{_LABEL},?)*)\}})?[ \t]+{_VALUE}[ \t]*")
_READ_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"')


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests of all models of a server, since its start or since an earlier look."""

    successes: float = 0.0
    failures: Mapping[str, float] = field(default_factory=dict)
    """By the reason."""
    buckets: Mapping[tuple[str, float], float] = field(default_factory=dict)
    """By histogram and upper bound in seconds, the last one infinite: DURATIONS of requests, answered or
    failed; of texts their FIRST_TOKENS, and the times BETWEEN_TOKENS."""
    non_finite: float | None = None
    """Answers with NaN or infinite numbers; None where a server does not tell."""

    @property
    def requests(self) -> float:
        """Requests that ended, whatever became of them."""
        return self.successes + sum(self.failures.values())

    def histogram(self, name: str) -> dict[float, float]:
        """How many took at most so many seconds, by upper bound; empty where a server does not tell."""
        return {bound: count for (one, bound), count in self.buckets.items() if one == name}

    def plus(self, other: Counts) -> Counts:
        """Both together; what one of them does not tell, nobody knows."""
        return self._with(other, lambda one, two: one + two)

    def since(self, earlier: Counts) -> Counts:
        """What was counted after `earlier`; where a number went down, all began again at 0."""
        grown = self._with(earlier, lambda now, before: now - before)
        return self if grown._has_negative() else grown

    def _with(self, other: Counts, add: Callable[[float, float], float]) -> Counts:
        is_told = self.non_finite is not None and other.non_finite is not None
        return Counts(
            successes=add(self.successes, other.successes),
            failures=_merge(self.failures, other.failures, add),
            buckets=_merge(self.buckets, other.buckets, add),
            non_finite=add(self.non_finite or 0.0, other.non_finite or 0.0) if is_told else None,
        )

    def _has_negative(self) -> bool:
        found = (self.successes, self.non_finite or 0.0, *self.failures.values(), *self.buckets.values())
        return min(found) < 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at one server."""

    counts: Counts
    pending: float
    """Requests that wait or run now."""
    started_at: float | None = None
    """Start of its process, in seconds since 1970."""

    def since(self, earlier: Sample) -> Counts:
        """What was counted after `earlier`, all of it where the server has started again since."""
        return self.counts if self.started_at != earlier.started_at else self.counts.since(earlier.counts)


def parse_page(page: str) -> Sample:
    """Read a metrics page; ValueError where it is none of a server of ours."""
    successes, pending, non_finite, started_at = 0.0, 0.0, None, None
    failures: dict[str, float] = {}
    buckets: dict[tuple[str, float], float] = {}
    is_ours = False
    for name, labels, value in _lines(page):
        if name == SUCCESSES:
            is_ours, successes = True, successes + value
        elif name == FAILURES:
            reason = labels.get("reason", "")
            failures[reason] = failures.get(reason, 0.0) + value
        elif name in _BUCKETS:
            bucket = (name.removesuffix(_BUCKET), float(labels.get("le", "")))
            buckets[bucket] = buckets.get(bucket, 0.0) + value
        elif name == NON_FINITE:
            non_finite = (non_finite or 0.0) + value
        elif name == PENDING:
            pending += value
        else:
            started_at = value
    if not is_ours:
        raise ValueError(f"it does not tell {SUCCESSES}")
    counts = Counts(successes=successes, failures=failures, buckets=buckets, non_finite=non_finite)
    return Sample(counts=counts, pending=pending, started_at=started_at)


def _lines(page: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    """(name, labels, value) of each line of ours; ValueError for one that cannot be read."""
    lines = [line for line in page.split("\n") if line.startswith(_NAMES)]
    if len(lines) > MAX_SERIES:
        raise ValueError(f"it has more than {MAX_SERIES} series")
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            if line.startswith(tuple(f"{name}_" for name in _NAMES)):
                continue  # another family, whose name is longer
            raise ValueError("it is not in Prometheus' text format")
        value = float(match[3])
        if not 0 <= value <= MOST:
            raise ValueError(f"its {match[1]} is {match[3]}")
        yield match[1], dict(_READ_LABEL.findall(match[2] or "")), value


def _merge(
    one: Mapping[_Label, float], two: Mapping[_Label, float], add: Callable[[float, float], float]
) -> dict[_Label, float]:
    return {label: add(one.get(label, 0.0), two.get(label, 0.0)) for label in {**one, **two}}
