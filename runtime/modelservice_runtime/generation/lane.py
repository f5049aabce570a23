"""Runs one model's generations on a thread of their own; see `generation.engine` for what a turn is.

Everything about rows happens on that thread. The event loop's thread hands in what begins, ends or pauses,
and gets all events of a step by one call. A cancelled generation gives up its row within a turn; where its
prompt is just being read, that run is ended too.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from modelservice_runtime.errors import (
    InvalidRequestError,
    ModelUnavailableError,
    ServingError,
    internal_error,
)
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.generation.admission import PromptQueue, queued_tokens
from modelservice_runtime.generation.backend import Backend
from modelservice_runtime.generation.counting import Counting
from modelservice_runtime.generation.engine import Active, Engine, Events
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.generation.row import BeginText, TextRow
from modelservice_runtime.generation.sampling.row import SamplingRow, check_tokens
from modelservice_runtime.generation.scheduler import Ask
from modelservice_runtime.generation.statistics import GenerationStatistics
from modelservice_runtime.generation.values import (
    GenerationLimits,
    GenerationRequest,
    Sink,
    TokenEvent,
    Usage,
)
from modelservice_runtime.onnx.arena import enter_thread

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a lane knows of its model's tokens."""

    size: int
    eos_ids: frozenset[int]
    begin_text: BeginText


@dataclass(slots=True, eq=False)
class LaneGeneration(Active):
    """See `Generation`. `queued_tokens` is what of the queue its prompt takes."""

    queued_tokens: int = field(kw_only=True)
    lane: "TextLane" = field(kw_only=True)
    sink: Sink = field(kw_only=True)
    is_over: bool = False
    is_enough: bool = False

    @property
    def usage(self) -> Usage:
        """See `Generation.usage`."""
        return self.row.usage

    def cancel(self) -> None:
        """See `Generation.cancel`."""
        if not self.is_over and not self.is_cancelled:
            self.is_cancelled = True
            self.lane.tell(self)

    def finish(self) -> None:
        """See `Generation.finish`."""
        if not self.is_over and not self.is_enough:
            self.is_enough = True
            self.lane.tell(self)

    def pause(self) -> None:
        """See `Generation.pause`."""
        self._set_paused(paused=True)

    def resume(self) -> None:
        """See `Generation.resume`."""
        self._set_paused(paused=False)

    def _set_paused(self, *, paused: bool) -> None:
        if self.is_paused is not paused and not self.is_over:
            self.is_paused = paused
            self.lane.tell(self)


@dataclass(slots=True)
class _Counts:
    """Generations that have a row, and their tokens."""

    running: int = 0
    tokens_in_use: int = 0


class TextLane:
    """See `GenerationLane`; made and used on the event loop's thread."""

    def __init__(
        self,
        decoder: Backend,
        vocabulary: Vocabulary,
        limits: GenerationLimits,
        pace: Pace,
        *,
        keeps_prefixes: bool = True,
    ) -> None:
        self.limits = limits
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._keeps_prefixes = keeps_prefixes
        self._loop = asyncio.get_running_loop()
        self._engine = Engine(decoder, pace, self, keeps_prefixes=keeps_prefixes)
        # What both threads change, under the lock of `_changed`.
        self._changed = threading.Condition()
        self._inbox: deque[LaneGeneration] = deque()
        self._counts = _Counts()
        self._queue = PromptQueue(limits.max_queued_prompt_tokens, pace.retry_seconds)
        self._waiting: set[Active] = set()
        self._reading: Active | None = None
        self._leaving: ServingError | None = None
        self._is_closed = False
        # The event loop's.
        self._open = 0
        self._adapted: set[LaneGeneration] = set()
        self._counting = Counting()
        self._on_idle: Callable[[], None] | None = None
        entered = threading.Event()
        threading.Thread(target=self._run, args=(entered,), name="generation", daemon=True).start()
        entered.wait()  # before the process may take no more memory

    @property
    def running(self) -> int:
        """See `GenerationLane.running`."""
        return self._counts.running

    @property
    def waiting(self) -> int:
        """See `GenerationLane.waiting`."""
        return self._queue.waiting

    @property
    def pending(self) -> int:
        """Generations that wait or run."""
        return self._open

    @property
    def statistics(self) -> GenerationStatistics:
        """See `GenerationLane.statistics`."""
        return self._counting.statistics

    @property
    def requests(self) -> ModelStatistics:
        """See `GenerativeModel.requests`."""
        return self._counting.requests

    @property
    def adapters_in_use(self) -> tuple[frozenset[str], frozenset[str]]:
        """See `GenerationLane.adapters_in_use`."""
        found = [(one.adapter or "", one.begun_at is not None) for one in self._adapted]
        return (
            frozenset(name for name, has_begun in found if has_begun),
            frozenset(name for name, has_begun in found if not has_begun),
        )

    @property
    def kv_usage(self) -> float:
        """See `GenerationLane.kv_usage`."""
        return self._counts.tokens_in_use / (self._decoder.slots * self._decoder.places)

    @property
    def tokens_in_flight(self) -> int:
        """See `GenerationLane.tokens_in_flight`."""
        return self._counting.tokens_in_flight

    def submit(
        self, asked: Sequence[tuple[GenerationRequest, Sink]], came_at: float | None = None
    ) -> list[LaneGeneration]:
        """See `GenerationLane.submit`."""
        since = time.perf_counter() if came_at is None else came_at
        requests = [request for request, _ in asked]
        weights = queued_tokens(requests, keeps_prefixes=self._keeps_prefixes)
        for prompt in {id(one.prompt): one.prompt for one in requests}.values():
            check_tokens(prompt, self._vocabulary.size, "prompt")
        made = [self._make(*one, tokens, since) for one, tokens in zip(asked, weights, strict=True)]
        with self._changed:
            self._queue.enter(requests[0].owner, weights)
            self._waiting.update(made)
            self._inbox += made
            self._changed.notify()
        self._open += len(made)
        self._adapted.update(one for one in made if one.adapter is not None)
        for generation in made:
            self._counting.note_submitted(generation)
        return made

    def _make(self, request: GenerationRequest, sink: Sink, tokens: int, since: float) -> LaneGeneration:
        self._check(request)
        vocabulary = self._vocabulary
        ends = frozenset() if request.ignore_eos else vocabulary.eos_ids
        sampling = SamplingRow(request, vocabulary.size, ends)
        row = TextRow(request, sampling, vocabulary.begin_text(request), vocabulary.eos_ids)
        ask = Ask(request.owner, request.priority, len(request.prompt), since)
        return LaneGeneration(row, ask, queued_tokens=tokens, lane=self, sink=sink)

    def tell(self, generation: LaneGeneration) -> None:
        """It is to end, to rest or to go on."""
        with self._changed:
            self._inbox.append(generation)
            if generation.is_cancelled and self._reading is generation:
                self._decoder.stop()
            self._changed.notify()

    def stop_runs(self) -> None:
        """End all generations with an error: the server is leaving."""
        with self._changed:
            self._leaving = ModelUnavailableError("the server is leaving; send the request again")
            self._decoder.stop()
            self._changed.notify()

    def close_when_idle(self, closed: Callable[[], None]) -> None:
        """Begin nothing any more; end the thread behind the last generation, then call `closed`."""
        self._on_idle = closed
        self._close_if_idle()

    def begun(self, generation: Active) -> None:
        """See `Observer.begun`."""
        with self._changed:
            self._leave_queue(generation)
            self._counts.running += 1

    def reading(self, generation: Active | None) -> None:
        """See `Observer.reading`."""
        with self._changed:
            self._reading = generation

    def ended(self, generation: Active) -> None:
        """See `Observer.ended`."""
        with self._changed:
            if generation in self._waiting:
                self._leave_queue(generation)
            else:
                self._counts.running -= 1

    def _leave_queue(self, generation: Active) -> None:
        assert isinstance(generation, LaneGeneration)
        self._waiting.remove(generation)
        self._queue.leave(generation.row.request.owner, generation.queued_tokens)

    def _check(self, request: GenerationRequest) -> None:
        prompt, limits = len(request.prompt), self.limits
        if self._on_idle is not None or self._leaving is not None:
            raise ModelUnavailableError("the model is being unloaded; send the request again")
        if not prompt:
            raise InvalidRequestError("the prompt is empty; send at least one token")
        if request.max_tokens < 0:
            raise InvalidRequestError(f"max_tokens is {request.max_tokens}, expected at least 0")
        if request.adapter is not None and request.adapter not in self._decoder.adapters:
            raise InvalidRequestError(
                f"this model has no adapter {request.adapter[:100]!r}; ask for the model itself"
            )
        if prompt + request.max_tokens > limits.max_context_tokens:
            raise InvalidRequestError(
                f"the prompt has {prompt} tokens and {request.max_tokens} are asked for, but prompt and "
                f"completion together may have {limits.max_context_tokens}; send less, or lower max_tokens",
                code="context_length_exceeded",
            )
        if request.max_tokens > limits.max_output_tokens:
            raise InvalidRequestError(
                f"max_tokens is {request.max_tokens}, and at most {limits.max_output_tokens} are made here"
            )

    def _deliver(self, events: Events, tokens: int, at: float) -> None:
        """On the event loop's thread."""
        self._counting.note_turn(tokens)
        for generation, event in events:
            self._counting.note(generation, event, at)
            assert isinstance(generation, LaneGeneration)
            if event is None or event.finish is not None or event.error is not None:
                generation.is_over = True
                self._open -= 1
                self._adapted.discard(generation)
            if event is not None and not generation.is_cancelled:
                self._hand_on(generation, event)
        self._close_if_idle()

    def _hand_on(self, generation: LaneGeneration, event: TokenEvent) -> None:
        if event.error is not None and self._leaving is not None:
            event = replace(event, error=self._leaving)
        try:
            generation.sink(event)
        except Exception:
            log.exception("nobody took an event of a generation")
            generation.cancel()

    def _close_if_idle(self) -> None:
        if self._on_idle is None or self._open or self._is_closed:
            return
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._on_idle()

    def _run(self, entered: threading.Event) -> None:
        """The lane's own thread."""
        enter_thread()
        entered.set()
        while (news := self._take_news()) is not None:
            for generation in news:
                self._try(partial(self._note, generation))
            self._try(self._turn)
            self._flush()

    def _try(self, work: Callable[[], None]) -> None:
        """The last boundary: without its thread a model would answer nobody any more."""
        try:
            work()
        except Exception:
            log.exception("a turn of a generation failed")
            self._engine.end_all(internal_error())

    def _take_news(self) -> Collection[LaneGeneration] | None:
        """Wait for something to do; what the other side told of, None at the end."""
        with self._changed:
            while not self._inbox and self._engine.is_idle and self._leaving is None:
                if self._is_closed:
                    return None
                self._changed.wait()
            news = dict.fromkeys(self._inbox)
            self._inbox.clear()
        return None if self._is_closed else news

    def _note(self, generation: LaneGeneration) -> None:
        is_known = self._engine.knows(generation)
        is_new = not is_known and generation in self._waiting
        if generation.is_cancelled:
            if is_known or is_new:
                self._engine.end(generation, None)
        elif is_new:
            self._engine.add(generation)
        elif is_known and generation.is_enough:
            self._engine.finish(generation)
        elif is_known:
            self._engine.follow_reader(generation)

    def _turn(self) -> None:
        if self._leaving is not None:
            self._engine.end_all(self._leaving)
            self._flush()
            self._wait_for_news()
            return
        self._engine.step()
        self._flush()
        self._engine.read()

    def _wait_for_news(self) -> None:
        """Nothing runs any more once the server is leaving."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._inbox) or self._is_closed)

    def _flush(self) -> None:
        events, tokens = self._engine.take_events(), self._engine.take_tokens()
        self._counts.tokens_in_use = self._engine.tokens_in_use
        if events or tokens:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(partial(self._deliver, events, tokens, time.perf_counter()))
