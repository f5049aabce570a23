"""How fast a candidate is beside the original: both are asked in turns, so both meet the same machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelservice_pipeline.predict.wire import Message

_SECONDS = 3.0
_ALONE_SECONDS, _MOST_ALONE = 1.0, 2000
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 101
_BLOCK_SECONDS = 0.05
_MOST_REQUESTS = 8
"""A block is short, so that one model never has a quiet machine while the other has a busy one."""


class Asked(Protocol):
    """A served model, as `ServedModel` is."""

    def ask(self, message: Message) -> float:
        """Return the seconds of an answer."""

    def run_seconds(self) -> tuple[int, float]:
        """Return how many runs there were, and their seconds together."""


@dataclass(frozen=True)
class Speed:
    """How long one model takes, in milliseconds: the medians of all rounds.

    Attributes:
        run: The model's own run, as the server measures it.
        request: A whole request, as its client measures it.
    """

    run: float
    request: float


@dataclass(frozen=True)
class Alone:
    """How long a run takes in ONNX Runtime without a server, in milliseconds: the medians of both models."""

    original: float
    candidate: float


@dataclass(frozen=True)
class Spread:
    """A ratio in the rounds of a measurement: its median and its quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Both models on requests of one size.

    Attributes:
        rows: Rows of a request.
        original: The one that is there.
        candidate: The one that may replace it.
        run_gain: How many times as fast the candidate's run is.
        request_gain: How many times as fast its whole request is.
    """

    rows: int
    original: Speed
    candidate: Speed
    run_gain: Spread
    request_gain: Spread


def compare(original: Asked, candidate: Asked, messages: Sequence[Message], rows: int) -> Comparison:
    """Measure both on the same requests, block by block in turns. Raises PipelineError.

    Args:
        original: The one that is there.
        candidate: The one that may replace it.
        messages: The requests, in the order in which both get them.
        rows: Rows of each.
    """
    # The first requests pay for memory and lazy set-up; the slower model decides how long a block is.
    slowest = max(min(served.ask(messages[0]) for _ in range(3)) for served in (original, candidate))
    requests = max(1, min(_MOST_REQUESTS, round(_BLOCK_SECONDS / slowest)))
    count = max(_LEAST_ROUNDS, min(_MOST_ROUNDS, round(_SECONDS / (2 * requests * slowest))))
    rounds = []
    for number in range(count):
        block = [messages[(number * requests + each) % len(messages)] for each in range(requests)]
        rounds.append(_one_round(original, candidate, block, original_first=number % 2 == 0))
    return summarize(rows, rounds)


def compare_alone(original: Callable[[], object], candidate: Callable[[], object]) -> Alone:
    """Measure runs of both without a server, in turns. Raises what they raise."""
    times: tuple[list[float], list[float]] = ([], [])
    original(), candidate()  # the first pays for memory and lazy set-up
    until = time.perf_counter() + _ALONE_SECONDS
    while len(times[0]) < _LEAST_ROUNDS or (time.perf_counter() < until and len(times[0]) < _MOST_ALONE):
        for found, run in zip(times, (original, candidate), strict=True):
            began = time.perf_counter()
            run()
            found.append((time.perf_counter() - began) * 1000)
    return Alone(*map(statistics.median, times))


def summarize(rows: int, rounds: Sequence[tuple[Speed, Speed]]) -> Comparison:
    """Return what rounds of (original, candidate) say together."""
    originals, candidates = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    return Comparison(
        rows,
        _median_speed(originals),
        _median_speed(candidates),
        _spread([old.run / new.run for old, new in rounds]),
        _spread([old.request / new.request for old, new in rounds]),
    )


def _one_round(
    original: Asked, candidate: Asked, block: Sequence[Message], *, original_first: bool
) -> tuple[Speed, Speed]:
    if original_first:
        return _ask_block(original, block), _ask_block(candidate, block)
    new = _ask_block(candidate, block)
    return _ask_block(original, block), new


def _ask_block(served: Asked, block: Sequence[Message]) -> Speed:
    """Return the medians of a block: a run that was interrupted by somebody else's work does not count."""
    runs, requests = [], []
    before, seconds_before = served.run_seconds()
    for message in block:
        requests.append(served.ask(message) * 1000)
        count, seconds = served.run_seconds()
        # The clock of a run counts nanoseconds; never 0, for ratios are taken.
        runs.append(max(seconds - seconds_before, 1e-9) / max(1, count - before) * 1000)
        before, seconds_before = count, seconds
    return Speed(statistics.median(runs), statistics.median(requests))


def _median_speed(speeds: Sequence[Speed]) -> Speed:
    return Speed(_median(speeds, lambda speed: speed.run), _median(speeds, lambda speed: speed.request))


def _median(speeds: Sequence[Speed], of: Callable[[Speed], float]) -> float:
    return statistics.median(of(speed) for speed in speeds)


def _spread(ratios: Sequence[float]) -> Spread:
    if len(ratios) == 1:
        return Spread(ratios[0], ratios[0], ratios[0])
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Spread(median, low, high)
