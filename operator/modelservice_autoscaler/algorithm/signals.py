"""What the signals say: totals over a window, of the whole service.

Work is counted for the service, not averaged pod by pod: a pod that came within the window did nothing
before, and what a pod did that has gone is done by others now. So the moment at which new pods take over a
share of the work changes no total.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, inf, isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from modelservice_autoscaler.algorithm.kinds import kind_of
from modelservice_autoscaler.algorithm.tracks import COUNTERS, Point
from modelservice_autoscaler.algorithm.windows import DRAIN_SECONDS, STANDING_PART

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_autoscaler.algorithm.pods import Pods
    from modelservice_autoscaler.algorithm.spec import Signal
    from modelservice_autoscaler.algorithm.state import State

QUEUE_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Usage:
    """A signal over a window."""

    total: float
    """In the unit of the target: of all answering pods; where it is no sum, the value."""
    answering: int
    missing: int
    """Pods whose share is not known."""


class Span(NamedTuple):
    """What one pod did within a window."""

    start: Point
    before: Point
    """The answer before the last."""
    end: Point
    running: float
    """Requests that ran, on average of the answers."""
    bounds: tuple[float, ...]
    """Of its queue's buckets."""
    places: int
    """Requests that it can run at once; 1 where that is not known."""
    share: float
    """How much of the window it was there."""
    answers: bool
    """Whether it is there still."""

    def rate(self, counter: int) -> float:
        """Return how fast a counter grew while the pod was there; nan where that is not known.

        By the pod's own clock: an answer may have been on its way for a while.
        """
        seconds = self.end.counters[_UPTIME] - self.start.counters[_UPTIME]
        return (self.end.counters[counter] - self.start.counters[counter]) / seconds if seconds else nan

    def busy(self, target: float) -> float:
        """Return how many requests ran at once; where more wait, at least as many as a pod is to have.

        A server with one core that is asked while it runs answers afterwards, and says that nothing runs.
        """
        return max(self.running, target) if self.end.waiting > self.running else self.running


@dataclass(frozen=True, slots=True)
class Window:
    """The work of all pods within some time."""

    seconds: float
    spans: tuple[Span, ...]
    pods: Pods

    def measure(self, signal: Signal, recent: Window) -> Usage | None:
        """Return what a signal says; None where nothing is known.

        Args:
            signal: Whose target says in what unit.
            recent: The window of bursts, or this one where it is that: it tells a queue from a load.

        """
        if signal.percent and not signal.whole:
            return None
        kind = kind_of(signal)
        if kind.counter is None:
            return self._queue_time()
        known = self._rates(kind.counter)
        answering = sum(span.answers for span, _ in known)
        if not answering:
            return None
        if kind.is_held:
            total = sum(rate for span, rate in known if span.answers)
        else:
            total = self._total(kind.counter)
        if kind.is_in_flight:
            total = min(total, recent.most_in_flight(kind.counter, signal.target, is_burst=recent is self))
        if signal.percent and signal.whole:
            total *= 100.0 / signal.whole
        return Usage(total, answering, self._missing(answering))

    def most_in_flight(self, counter: int, target: float, *, is_burst: bool) -> float:
        """Return how much of what requests in flight bring along is to be believed in, tokens or themselves.

        It is that of as many requests as are to be believed in, if all are alike.
        """
        a_request = self._total(counter) / (self._total(_IN_FLIGHT) or nan)
        if isnan(a_request) or not a_request:
            return inf
        return a_request * self.most_concurrency(target / a_request, is_burst=is_burst)

    def most_concurrency(self, target: float, *, is_burst: bool) -> float:
        """Return how many requests in flight are to be believed in.

        A queue that grows or shrinks says for how long there were too few or enough pods, not how many are
        needed. By Little's law that is what arrives a second times how long a request runs; and what waits
        is to be worked off. A queue that stands still says how many are needed: its clients wait for an
        answer before they ask again, or no more fit in. Where pods have just come it stands still by chance.
        Little that waits says nothing, but what has just been worked off is no burst.
        """
        ends = [span for span in self.spans if span.answers]
        running, waiting = sum(one.running for one in ends), sum(one.end.waiting for one in ends)
        grown = sum(one.end.in_flight - one.before.in_flight for one in ends)
        ended_since = sum(one.end.counters[_ENDED] - one.before.counters[_ENDED] for one in ends)
        ended = sum(one.rate(_ENDED) for one in ends)
        stands = abs(grown) <= STANDING_PART * ended_since
        if not ended or (stands and self.pods.are_settled):
            return inf
        if waiting <= running and (grown >= 0 or not is_burst):
            return inf
        arrived = sum(span.rate(_ARRIVED) * span.share for span in self.spans)
        busy = sum(one.busy(target) for one in ends)
        return (arrived + waiting / DRAIN_SECONDS) * busy / ended

    def busy_pods(self) -> int:
        """Return how many pods it takes to run at once what is in flight.

        Where a pod does not say how many it can run it counts as one for each: what it could take besides is
        not known.
        """
        needed = sum(rate * span.share / span.places for span, rate in self._rates(_IN_FLIGHT))
        return ceil(round(needed, 6))

    def _rates(self, counter: int) -> list[tuple[Span, float]]:
        """What is known of a counter's growth in a second."""
        rates = [(span, span.rate(counter)) for span in self.spans]
        return [(span, rate) for span, rate in rates if not isnan(rate)]

    def _total(self, counter: int) -> float:
        return sum(rate * span.share for span, rate in self._rates(counter))

    def _queue_time(self) -> Usage | None:
        answering = [span for span in self.spans if span.answers and span.start.queue and span.end.queue]
        if not answering:
            return None
        counts: Counter[float] = Counter()
        for span in answering:
            for bound, new, old in zip((*span.bounds, inf), span.end.queue, span.start.queue, strict=True):
                counts[bound] += new - old
        return Usage(quantile(counts, QUEUE_QUANTILE), len(answering), self._missing(len(answering)))

    def _missing(self, known: int) -> int:
        return len(self.pods.missing) + len(self.pods.answering) - known


def build_window(seconds: float, state: State, pods: Pods) -> Window:
    """Return the work of the last seconds; what was before anybody looked is unknown, not nothing."""
    now = state.looked_seconds
    watched = min(seconds, now - state.since_seconds)
    spans = []
    for uid, track in state.tracks.items():
        if len(track.points) < 2 or uid in pods.missing or uid in pods.fresh:
            continue
        answers = uid in pods.answering
        end = track.points[-1]
        start = track.start((end.at_seconds if answers else now) - seconds)
        looked = end.at_seconds - start.at_seconds
        if looked <= 0:
            continue
        was_always_there = answers and track.since_seconds <= state.since_seconds
        share = 1.0 if was_always_there else min(looked / watched, 1.0)
        running = track.mean_running(start.at_seconds)
        before, bounds, places = track.points[-2], track.bounds, track.places
        spans.append(Span(start, before, end, running, bounds, places, share, answers))
    return Window(seconds, tuple(spans), pods)


def quantile(counts: Mapping[float, int], part: float) -> float:
    """Return a quantile of a histogram by upper bounds, as Prometheus' histogram_quantile.

    Even within a bucket, the highest bound for what lies beyond it, and 0 where nothing was counted.
    """
    rank, below, lower = part * sum(counts.values()), 0, 0.0
    for bound in sorted(counts):
        if counts[bound] and below + counts[bound] >= rank:
            return lower if bound == inf else lower + (bound - lower) * (rank - below) / counts[bound]
        below += counts[bound]
        lower = bound
    return 0.0


_IN_FLIGHT = COUNTERS.index("in_flight")
_UPTIME = COUNTERS.index("uptime")
_ENDED = COUNTERS.index("ended")
_ARRIVED = COUNTERS.index("arrived")
