"""What one model's generations cost and gave, as plain counters that the metrics read; no I/O, no clock.

Used on the event loop's thread only. The lane counts what it alone knows (tokens, waits, reuse), protocols
nothing. Buckets are those of vLLM, whose dashboards exist.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

# The words of `values.Finish`, and what is none. That a text is a call of a tool is known to protocols alone.
REASONS = ("stop", "length", "cancelled", "error")
FIRST_TOKEN_SECONDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
BETWEEN_TOKENS_SECONDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_SECONDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
)  # fmt: skip
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
TOKENS_OF_A_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384)


class Histogram:
    """Counts by upper bound; the last count is of what exceeds all bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value; one that equals a bound belongs to it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class GenerationStatistics:
    """See the module's text. Times are seconds.

    `finished` counts ends by reason, which are `REASONS`. `prefix_queries` are prompt tokens that
    were looked up, `prefix_hits` those of them that an earlier generation had left. A request's time is
    queue + prefill + decode.
    """

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_queries = 0
        self.prefix_hits = 0
        self.finished: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self.first_token_seconds = Histogram(FIRST_TOKEN_SECONDS)
        self.between_tokens_seconds = Histogram(BETWEEN_TOKENS_SECONDS)
        self.request_seconds = Histogram(REQUEST_SECONDS)
        self.queue_seconds = Histogram(REQUEST_SECONDS)
        self.prefill_seconds = Histogram(REQUEST_SECONDS)
        self.decode_seconds = Histogram(REQUEST_SECONDS)
        self.request_prompt_tokens = Histogram(TOKENS)
        self.request_generation_tokens = Histogram(TOKENS)
        self.step_tokens = Histogram(TOKENS_OF_A_STEP)
