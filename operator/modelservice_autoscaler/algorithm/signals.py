"""What the signals say: totals over a window, of the whole service.

Work is counted for the service, not averaged pod by pod: a pod that came within the window did nothing
before, and what a pod did that has gone is done by others now. So the moment at which new pods take over a
share of the work changes no total.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf, isnan
from typing import TYPE_CHECKING, NamedTuple

from modelservice_autoscaler.algorithm.tracks import COUNTERS, Point
from modelservice_autoscaler.algorithm.windows import SHORTEST_SECONDS, STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from modelservice_autoscaler.algorithm.spec import Signal
    from modelservice_autoscaler.algorithm.tracks import Track

QUEUE_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of a service by what is known of them."""

    answering: frozenset[str]
    missing: frozenset[str]
    """Ready, but for too long without an answer."""
    fresh: frozenset[str]
    """Ready for too short a time to be known."""
    pending: int
    """Wanted, but not ready."""

    @property
    def ready(self) -> int:
        """How many are ready."""
        return len(self.answering) + len(self.missing) + len(self.fresh)

    @property
    def unready(self) -> int:
        """How many are to be counted as doing nothing yet."""
        return self.pending + len(self.fresh)


@dataclass(frozen=True, slots=True)
class Usage:
    """A signal over a window."""

    total: float
    """In the unit of the target: of all answering pods; for QueueTime the value."""
    answering: int
    missing: int
    """Pods whose share is not known."""


def group_pods(
    tracks: Mapping[str, Track], ready: Collection[str], replicas: int, now_seconds: float
) -> Pods:
    """Tell the pods that answer from those that do not and from those that have only just come."""
    answering, missing, fresh = set(), set(), set()
    for uid in ready:
        track = tracks[uid]
        if now_seconds - track.end_seconds > STALE_SECONDS:
            missing.add(uid)
        elif len(track.points) > 1 and track.end_seconds - track.points[0].at_seconds >= SHORTEST_SECONDS:
            answering.add(uid)
        else:
            fresh.add(uid)
    pending = max(replicas - len(ready), 0)
    return Pods(frozenset(answering), frozenset(missing), frozenset(fresh), pending)


class Span(NamedTuple):
    """What one pod did within a window."""

    start: Point
    end: Point
    bounds: tuple[float, ...]
    """Of its queue's buckets."""
    share: float
    """How much of the window it was there."""
    answers: bool
    """Whether it is there still."""

    @property
    def seconds(self) -> float:
        """How long it was looked at."""
        return self.end.at_seconds - self.start.at_seconds


@dataclass(frozen=True, slots=True)
class Window:
    """The work of all pods within some time."""

    spans: tuple[Span, ...]
    pods: Pods

    def measure(self, signal: Signal) -> Usage | None:
        """Return what a signal says; None where nothing is known."""
        if signal.percent and not signal.whole:
            return None
        if signal.type == "QueueTime":
            return self._queue_time()
        counter = _COUNTERS[signal.type, signal.part]
        means = [
            (span, (span.end.counters[counter] - span.start.counters[counter]) / span.seconds)
            for span in self.spans
        ]
        known = [(span, mean) for span, mean in means if not isnan(mean)]
        answering = sum(span.answers for span, _ in known)
        if not answering:
            return None
        if counter in _LEVELS:
            total = sum(mean for span, mean in known if span.answers)
        else:
            total = sum(mean * span.share for span, mean in known)
        if signal.percent and signal.whole:
            total *= 100.0 / signal.whole
        return Usage(total, answering, self._missing(answering))

    def _queue_time(self) -> Usage | None:
        answering = [span for span in self.spans if span.answers and span.end.queue]
        if not answering:
            return None
        counts: Counter[float] = Counter()
        for span in answering:
            before = span.start.queue or (0,) * len(span.end.queue)
            for bound, new, old in zip((*span.bounds, inf), span.end.queue, before, strict=True):
                counts[bound] += new - old
        return Usage(quantile(counts, QUEUE_QUANTILE), len(answering), self._missing(len(answering)))

    def _missing(self, known: int) -> int:
        return len(self.pods.missing) + len(self.pods.answering) - known


def build_window(
    seconds: float, now_seconds: float, since_seconds: float, tracks: Mapping[str, Track], pods: Pods
) -> Window:
    """Return the work of the last seconds; what was before anybody looked is unknown, not nothing."""
    looked = min(seconds, now_seconds - since_seconds)
    spans = []
    for uid, track in tracks.items():
        answers = uid in pods.answering
        if not track.points or uid in pods.missing or uid in pods.fresh:
            continue
        end = track.points[-1]
        start = track.start((end.at_seconds if answers else now_seconds) - seconds)
        watched = end.at_seconds - start.at_seconds
        if watched <= 0:
            continue
        always = answers and track.since_seconds <= since_seconds
        spans.append(Span(start, end, track.bounds, 1.0 if always else min(watched / looked, 1.0), answers))
    return Window(tuple(spans), pods)


def quantile(counts: Mapping[float, int], part: float) -> float:
    """Return a quantile of a histogram by upper bounds, as Prometheus' histogram_quantile.

    Even within a bucket, the highest bound for what lies beyond it, and 0 where nothing was counted.
    """
    total = sum(counts.values())
    if not total:
        return 0.0
    rank, below, lower = part * total, 0, 0.0
    for bound in sorted(counts):
        if below + counts[bound] >= rank and counts[bound]:
            return lower if bound == inf else lower + (bound - lower) * (rank - below) / counts[bound]
        below += counts[bound]
        lower = bound
    return lower


_COUNTERS = {
    ("Concurrency", "Utilization"): COUNTERS.index("in_flight"),
    ("RequestRate", "Utilization"): COUNTERS.index("requests"),
    ("CPU", "Utilization"): COUNTERS.index("cpu"),
    ("Memory", "Utilization"): COUNTERS.index("memory"),
    ("GPU", "Utilization"): COUNTERS.index("gpu"),
    ("GPU", "Memory"): COUNTERS.index("gpu_memory"),
}
_LEVELS = frozenset({COUNTERS.index("memory"), COUNTERS.index("gpu_memory")})
"""What a pod holds for itself: it does not move to others when they come."""
