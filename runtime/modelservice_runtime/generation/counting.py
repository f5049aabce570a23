"""Counts what happens to generations, for metrics; on the event loop's thread."""

from modelservice_runtime.execution.statistics import ModelStatistics, Timing
from modelservice_runtime.generation.engine import Active
from modelservice_runtime.generation.statistics import GenerationStatistics
from modelservice_runtime.generation.values import TokenEvent, Usage

# Triton's words for ends without a text.
_FAILURES = {"cancelled": "CANCELED", "error": "BACKEND"}


class Counting:
    """Writes one lane's statistics. Times are those of the performance counter."""

    def __init__(self) -> None:
        self.statistics = GenerationStatistics()
        self.requests = ModelStatistics()
        self._open: dict[Active, None] = {}
        self._last: dict[Active, float] = {}
        self._first: dict[Active, float] = {}

    @property
    def tokens_in_flight(self) -> int:
        """Tokens of what has not ended: of prompts, read or not, and those that were made."""
        return sum(usage.prompt + usage.completion for usage in (one.row.usage for one in self._open))

    def note_submitted(self, generation: Active) -> None:
        """A generation waits."""
        self._open[generation] = None
        self.requests.open(_ns(generation.came_at))

    def note_turn(self, tokens: int) -> None:
        """So many tokens went through the model together."""
        if tokens:
            self.statistics.step_tokens.observe(tokens)

    def note(self, generation: Active, event: TokenEvent | None, at: float) -> None:
        """An event of a generation, None where it ended without one."""
        if event is not None and event.tokens:
            self._note_token(generation, len(event.tokens), at)
        if event is None:
            self._note_end(generation, "cancelled", generation.row.usage, at)
        elif event.error is not None:
            self._note_end(generation, "error", generation.row.usage, at)
        elif event.finish is not None:
            if generation not in self._last:  # nothing was asked for behind its prompt
                self._note_prompt(generation.row.usage)
            self._note_end(generation, str(event.finish), generation.row.usage, at)

    def _note_token(self, generation: Active, tokens: int, at: float) -> None:
        counts, last = self.statistics, self._last.get(generation)
        counts.generation_tokens += tokens
        if last is None:
            self._note_prompt(generation.row.usage)
            counts.first_token_seconds.observe(at - generation.came_at)
            self._first[generation] = at
        else:
            counts.between_tokens_seconds.observe(at - last)
        self._last[generation] = at

    def _note_prompt(self, usage: Usage) -> None:
        self.statistics.prompt_tokens += usage.prompt
        self.statistics.prefix_queries += usage.prompt
        self.statistics.prefix_hits += usage.cached

    def _note_end(self, generation: Active, reason: str, usage: Usage, at: float) -> None:
        counts, came = self.statistics, generation.came_at
        counts.finished[reason] += 1
        self._open.pop(generation, None)
        self._last.pop(generation, None)
        first = self._first.pop(generation, None)
        counts.request_seconds.observe(at - came)
        self._note_request(reason, came, generation.begun_at or at, at)
        if generation.begun_at is not None:
            counts.queue_seconds.observe(generation.begun_at - came)
            counts.request_prompt_tokens.observe(usage.prompt)
        if generation.begun_at is not None and first is not None:
            counts.prefill_seconds.observe(first - generation.begun_at)
            counts.decode_seconds.observe(at - first)
            counts.request_generation_tokens.observe(usage.completion)

    def _note_request(self, reason: str, came: float, begun: float, at: float) -> None:
        requests = self.requests
        requests.close(_ns(came))
        requests.record_wait(max(_ns(begun) - _ns(came), 0))
        failure = _FAILURES.get(reason)
        if failure is None:
            timing = Timing(queue_ns=_ns(begun) - _ns(came), compute_infer_ns=_ns(at) - _ns(begun))
            requests.record_success(_ns(came), _ns(at), timing)
        else:
            requests.record_failure(failure, _ns(came), _ns(at))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
