"""Turns of one model's generations: all rows decode a token, then a piece of a prompt is read.

Where there are adapters, a turn is a step of the rows of one; see `generation.turns`.

A row whose text nobody reads rests, and where others wait for a slot it gives its own up: who reads a byte
now and then would keep it for ever. It is read again, as far as it is not kept, when somebody reads on.

It has no thread and no clock of its own but the one it measures by; `generation.lane` runs it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from modelservice_runtime.errors import OverloadedError, ServingError
from modelservice_runtime.generation.backend import Backend, Logits
from modelservice_runtime.generation.kv.slots import Held, Move, Slots, Swap
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.generation.row import TextRow
from modelservice_runtime.generation.sampling.choosing import Choice, choose
from modelservice_runtime.generation.scheduler import Ask, Scheduler
from modelservice_runtime.generation.turns import Turns
from modelservice_runtime.generation.values import Finish, TokenEvent

# Texts that rest without a slot still take memory.
_MAX_PARKED = 256


@dataclass(slots=True, eq=False)
class Active:
    """A generation under way. `is_cancelled` and `is_paused` are set by other threads.

    It came at `came_at` and had its first slot at `begun_at`, by the performance counter. `parked` are prompt
    and text of one that gave its slot up.
    """

    row: TextRow
    ask: Ask
    came_at: float = field(init=False)
    parked: tuple[int, ...] | None = None
    held: Held | None = None
    begun_at: float | None = None
    last_token: int = 0
    is_cancelled: bool = False
    is_paused: bool = False

    def __post_init__(self) -> None:
        """It came when it first asked."""
        self.came_at = self.ask.since

    @property
    def to_read(self) -> tuple[int, ...]:
        """What has to be in its slot before the next token."""
        return self.row.request.prompt if self.parked is None else self.parked

    @property
    def is_scored(self) -> bool:
        """Whether what is read is told with its logprobs."""
        return self.row.request.scores_prompt and self.parked is None

    @property
    def adapter(self) -> str | None:
        """Whose words these are; None for the model's own."""
        return self.row.request.adapter


class Observer(Protocol):
    """Who is told what happens to generations; on the engine's thread."""

    def begun(self, generation: Active) -> None:
        """It has a slot."""

    def reading(self, generation: Active | None) -> None:
        """A run that reads its prompt begins, or has ended (None)."""

    def ended(self, generation: Active) -> None:
        """It has no slot any more, and waits for none."""


# The last event of a generation has an end; None where nobody hears of it.
Events = list[tuple[Active, TokenEvent | None]]


class Engine:
    """See the module's text; one thread."""

    def __init__(self, decoder: Backend, pace: Pace, observer: Observer, *, keeps_prefixes: bool) -> None:
        self._decoder = decoder
        self._pace = pace
        self._observer = observer
        self._slots = Slots(decoder.slots, keeps=keeps_prefixes)
        self._scheduler = Scheduler()
        self._turns = Turns()
        self._round_seconds = 0.0
        self._is_between_rounds = True
        self._decoding: list[Active] = []
        self._others: dict[Active, None] = {}  # waiting, reading their prompts, or paused
        # Those of them that nobody reads, with a slot and without; who has rested longest comes first.
        self._resting: dict[Active, None] = {}
        self._parked: dict[Active, None] = {}
        self._events: Events = []
        self._tokens = 0
        # Why rows are not where the slots have them: a device that failed between two runs.
        self._misplaced: ServingError | None = None

    @property
    def is_idle(self) -> bool:
        """Whether a turn would do nothing."""
        return not self._decoding and not self._scheduler.can_choose(has_slot=self._has_slot)

    @property
    def tokens_in_use(self) -> int:
        """Tokens of all rows, without what is kept for later."""
        return self._slots.tokens_in_use

    def knows(self, generation: Active) -> bool:
        """Whether it was added and has not ended."""
        return generation in self._others or generation in self._decoding

    def add(self, generation: Active) -> None:
        """Let it wait for its turn."""
        self._others[generation] = None
        self._scheduler.add(generation.ask)

    def end(self, generation: Active, event: TokenEvent | None) -> None:
        """Give up its row, or its place among those that wait."""
        self._scheduler.remove(generation.ask)
        for found in (self._others, self._resting, self._parked):
            found.pop(generation, None)
        if generation in self._decoding:
            self._decoding.remove(generation)
        if generation.held is not None:
            self._move(self._slots.end(generation.held))
            generation.held = None
        self._observer.ended(generation)
        self._events.append((generation, event))

    def finish(self, generation: Active) -> None:
        """End a text that is long enough to whoever reads it."""
        self.end(generation, TokenEvent("", finish=Finish.STOP, usage=generation.row.usage))

    def end_all(self, error: ServingError) -> None:
        """End everything with an error, and keep nothing."""
        for generation in (*self._decoding, *self._others):
            self._fail(generation, error)
        self._slots.forget()

    def follow_reader(self, generation: Active) -> None:
        """Let a row rest while nobody reads, and go on when somebody does."""
        if generation.is_paused and generation in self._decoding:
            self._decoding.remove(generation)
            self._others[generation] = None
            self._rest(generation)
        elif not generation.is_paused and generation in self._resting:
            del self._resting[generation]
            self._start(generation)
        elif not generation.is_paused and generation in self._parked:
            del self._parked[generation]
            request = generation.row.request
            left, now = len(generation.to_read), time.perf_counter()
            generation.ask = Ask(request.owner, request.priority, left, now)
            self._scheduler.add(generation.ask)

    def take_events(self) -> Events:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def take_tokens(self) -> int:
        """How many tokens went through the model since the last call."""
        tokens, self._tokens = self._tokens, 0
        return tokens

    def step(self) -> None:
        """Decode a token of every row of the adapter whose turn it is."""
        self._end_misplaced()
        if not self._decoding:
            self._is_between_rounds = True
            return
        started = time.perf_counter()
        adapters = self._slots.adapters
        adapter, self._is_between_rounds = self._turns.take(adapters)
        rows = self._decoding
        if len(adapters) > 1:
            rows = [one for one in rows if one.adapter == adapter]
        if self._decode(sorted(rows, key=_slot), adapter):
            self._round_seconds += time.perf_counter() - started
        if self._is_between_rounds and self._round_seconds:
            self._pace.note_step(self._round_seconds)
            self._round_seconds = 0.0

    def _decode(self, rows: Sequence[Active], adapter: str | None) -> bool:
        """A step of rows that lie side by side; tells whether the model gave one."""
        lengths = np.array([len(one.held.tokens) for one in rows if one.held], dtype=np.int64)
        try:
            tokens = [one.last_token for one in rows]
            logits = self._decoder.decode(tokens, lengths, _slot(rows[0]), adapter)
        except ServingError as error:
            for generation in rows:
                self._fail(generation, error)
            self._slots.forget()
            return False
        for generation in rows:
            assert generation.held is not None
            generation.held.tokens.append(generation.last_token)
        self._tokens += len(rows)
        self._accept(rows, logits)
        self._scheduler.charge(one.ask.owner for one in rows)
        return True

    def read(self) -> None:
        """Read a chunk of a prompt, where a round is over, and let the row decode where that was the last."""
        if not self._is_between_rounds:
            return
        ask = self._scheduler.choose(has_slot=self._has_slot)
        if ask is None:
            return
        generation = next(one for one in self._others if one.ask is ask)
        if not ask.begun:
            self._begin(generation)
        if self._misplaced is not None:
            return  # the next step ends it
        held = generation.held
        assert held is not None
        chunk = self._next_chunk(generation, held)
        started = time.perf_counter()
        scored = generation.is_scored
        logits = self._prefill(generation, held, chunk)
        if logits is None:
            return
        self._pace.note_chunk(len(chunk), time.perf_counter() - started, scored=scored)
        self._tokens += len(chunk)
        held.tokens.extend(chunk)
        if self._scheduler.read(ask, len(chunk)):
            self._answer_first(generation, logits)

    @property
    def _has_slot(self) -> bool:
        return self._slots.has_idle or bool(self._resting)

    def _begin(self, generation: Active) -> None:
        if not self._slots.has_idle:
            self._park(next(iter(self._resting)))
        request = generation.row.request
        owner = f"{request.owner}\0{request.cache_salt}"
        reuses = not generation.is_scored  # what is known has no logits any more
        claimed = self._slots.claim(generation.to_read, owner, request.adapter, reuses=reuses)
        assert claimed is not None
        generation.held, moves = claimed
        self._move(moves)
        cached = len(generation.held.tokens)
        self._scheduler.begin(generation.ask, len(generation.to_read) - cached)
        if generation.begun_at is None:
            generation.row.cached = cached
            generation.begun_at = time.perf_counter()
            self._observer.begun(generation)

    def _park(self, generation: Active) -> None:
        """Let a row that rests give its slot up."""
        held = generation.held
        assert held is not None
        generation.parked = (*held.tokens, generation.last_token)
        generation.held = None
        del self._resting[generation]
        self._parked[generation] = None
        self._move(self._slots.end(held))
        if len(self._parked) > _MAX_PARKED:
            error = OverloadedError("too many texts wait to be read on; ask again", retry_after_seconds=1)
            self._fail(next(iter(self._parked)), error)

    def _next_chunk(self, generation: Active, held: Held) -> tuple[int, ...]:
        wait = self._scheduler.longest_wait(time.perf_counter())
        past, scored = len(held.tokens), generation.is_scored
        size = self._pace.chunk(decoding=bool(self._decoding), longest_wait_seconds=wait, scored=scored)
        size = min(size, self._decoder.scored_tokens) if scored else size
        return generation.to_read[past : past + size]

    def _prefill(self, generation: Active, held: Held, chunk: tuple[int, ...]) -> Logits | None:
        """The logits behind a chunk; None where there is no more need of it, or the model failed."""
        self._observer.reading(generation)
        asked = held.slot, chunk, len(held.tokens), generation.adapter, lambda: not generation.is_cancelled
        try:
            if not generation.is_scored:
                return self._decoder.prefill(*asked)
            logits = self._decoder.score(*asked)
            scores = generation.row.score(len(held.tokens), logits)
            self._events.append((generation, TokenEvent("", logprobs=scores)))
            last: Logits = logits[-1]
            return last
        except ServingError as error:
            if generation.is_cancelled:
                self.end(generation, None)
            else:
                self._fail(generation, error)
            return None
        finally:
            self._observer.reading(None)

    def _answer_first(self, generation: Active, logits: Logits) -> None:
        """The end of what was read says what the next token is, where one is asked for."""
        if generation.row.request.max_tokens == 0:
            event = TokenEvent("", finish=Finish.LENGTH, usage=generation.row.usage)
            self.end(generation, event)
            return
        self._accept([generation], logits[None])
        if generation not in self._others:
            return  # that was the last token, too
        if generation.is_paused:
            self._rest(generation)
        else:
            self._start(generation)

    def _rest(self, generation: Active) -> None:
        assert generation.held is not None
        self._resting[generation] = None
        self._move(self._slots.hold(generation.held))

    def _start(self, generation: Active) -> None:
        assert generation.held is not None
        self._others.pop(generation)
        self._decoding.append(generation)
        self._move(self._slots.start(generation.held))

    def _accept(self, generations: Sequence[Active], logits: Logits) -> None:
        """Choose a token for each, and tell it."""
        choices = choose(logits, [one.row.sampling for one in generations])
        for generation, choice in zip(generations, choices, strict=True):
            self._tell(generation, choice)

    def _tell(self, generation: Active, choice: Choice) -> None:
        if choice.error is not None:
            self._fail(generation, choice.error)
            return
        try:
            event = generation.row.accept(choice)
        except ServingError as error:  # the tokenizer fails on the model's own tokens
            self._fail(generation, error)
            return
        if event.finish is not None:
            self.end(generation, event)
        else:
            generation.last_token = choice.token
            self._events.append((generation, event))

    def _fail(self, generation: Active, error: ServingError) -> None:
        self.end(generation, TokenEvent("", usage=generation.row.usage, error=error))

    def _move(self, moves: Sequence[Move]) -> None:
        """Let the decoder do what the slots have decided; after a failure nothing is moved any more."""
        for move in moves:
            if self._misplaced is not None:
                return
            try:
                if isinstance(move, Swap):
                    self._decoder.swap(move.one, move.other, move.one_length, move.other_length)
                else:
                    self._decoder.copy(move.source, move.target, move.length)
            except ServingError as error:
                self._misplaced = error

    def _end_misplaced(self) -> None:
        """End everything where rows are not where they should be: the next ones begin with nothing kept."""
        if self._misplaced is not None:
            self.end_all(self._misplaced)
            self._misplaced = None


def _slot(generation: Active) -> int:
    assert generation.held is not None
    return generation.held.slot
