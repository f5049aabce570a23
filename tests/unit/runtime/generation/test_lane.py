"""A lane with a real decoder: what the event loop's side sees."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.generation.decoders import greedy_alone, make_decoder
from tests.unit.runtime.generation.played_rows import PlainText

from modelservice_runtime.errors import (
    InvalidRequestError,
    ModelUnavailableError,
    OverloadedError,
    ServingError,
)
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.decoder import Decoder
from modelservice_runtime.generation.lane import LaneGeneration, TextLane, Vocabulary
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.generation.values import (
    Finish,
    GenerationLimits,
    GenerationRequest,
    Sampling,
    Sink,
    TokenEvent,
    Usage,
)

PLACES = 256
WAIT_SECONDS = 120


@dataclass
class Heard:
    """What one sink was told; `ended` is set with the end."""

    events: list[TokenEvent] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, event: TokenEvent) -> None:
        assert not self.ended.is_set()
        self.events.append(event)
        self.begun.set()
        if event.finish is not None or event.error is not None:
            self.ended.set()

    @property
    def tokens(self) -> list[int]:
        return [token for event in self.events for token in event.tokens]

    async def end(self) -> TokenEvent:
        await asyncio.wait_for(self.ended.wait(), WAIT_SECONDS)
        return self.events[-1]


def _request(prompt: list[int], max_tokens: int = 8, **others: object) -> GenerationRequest:
    return GenerationRequest(tuple(prompt), max_tokens, Sampling(temperature=0.0), **others)  # type: ignore[arg-type]


def _lane(decoder: Decoder, folder: Path, *, queued: int = 10_000, chunk: int | None = 16) -> TextLane:
    vocabulary = Vocabulary(decoder.vocabulary, read_config(folder).eos_ids, lambda _request: PlainText())
    limits = GenerationLimits(PLACES, 64, decoder.slots, queued)
    return TextLane(decoder, vocabulary, limits, Pace(0.2, chunk))


def _submit(lane: TextLane, request: GenerationRequest, sink: Sink) -> LaneGeneration:
    return lane.submit([(request, sink)])[0]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for happens on another thread
            await asyncio.sleep(0.001)


async def _hold_every_row(lane: TextLane, decoder: Decoder) -> dict[LaneGeneration, Heard]:
    """Generations that have all rows of the lane and make no token.

    What comes after them waits for as long as the lock of `lane._changed` is held: then they make room.
    """
    asked = [(_request([1], 64, ignore_eos=True), Heard()) for _ in range(decoder.slots)]
    with lane._changed:  # its thread takes none of them before all of them rest
        held = lane.submit(asked)
        for generation in held:
            generation.pause()
    await _until(lambda: lane.running == decoder.slots)
    return {generation: heard for generation, (_, heard) in zip(held, asked, strict=True)}


class Steps:
    """Holds the decoder before each token of all rows until it is allowed: none comes to its end before."""

    def __init__(self, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self._allowed, self._begun = threading.Semaphore(0), threading.Semaphore(0)
        self._decode = decoder.decode
        monkeypatch.setattr(decoder, "decode", self._wait_and_decode)

    def allow(self, count: int) -> None:
        self._allowed.release(count)

    def wait_until_begun(self, count: int) -> None:
        """Nobody hears meanwhile what came of those before."""
        for _ in range(count):
            assert self._begun.acquire(timeout=WAIT_SECONDS)

    def _wait_and_decode(self, *arguments: Any) -> Any:
        self._begun.release()
        assert self._allowed.acquire(timeout=WAIT_SECONDS)
        return self._decode(*arguments)


@pytest.fixture(scope="module")
def decoder(tiny_chat: Path) -> Decoder:
    return make_decoder(tiny_chat, slots=4, places=PLACES)


@pytest.fixture
async def lane(decoder: Decoder, tiny_chat: Path) -> AsyncIterator[TextLane]:
    made = _lane(decoder, tiny_chat)
    yield made
    made.stop_runs()
    await _close(made)


async def _close(lane: TextLane) -> None:
    closed = asyncio.Event()
    lane.close_when_idle(closed.set)
    await asyncio.wait_for(closed.wait(), WAIT_SECONDS)


async def test_rows_that_come_and_go_have_the_texts_of_rows_alone(decoder: Decoder, tiny_chat: Path) -> None:
    chance = random.Random(7)
    beginnings = [[chance.randrange(400) for _ in range(40)] for _ in range(3)]
    prompts = [
        [*chance.choice(beginnings)[: chance.randrange(41)], *(chance.randrange(400) for _ in range(1, 30))]
        for _ in range(40)
    ]
    lengths = [chance.randrange(1, 40) for _ in prompts]
    alone = [greedy_alone(decoder, prompt, length) for prompt, length in zip(prompts, lengths, strict=True)]
    lane = _lane(decoder, tiny_chat)
    heard: list[Heard] = []
    cancelled: set[int] = set()
    for index, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        sink = Heard()
        heard.append(sink)
        generation = _submit(lane, _request(prompt, length, ignore_eos=True, owner=chance.choice("ab")), sink)
        if chance.random() < 0.2:
            cancelled.add(index)
            asyncio.get_running_loop().call_later(chance.random() / 50, generation.cancel)
        if chance.random() < 0.2:
            generation.pause()
            asyncio.get_running_loop().call_later(chance.random() / 50, generation.resume)
        await asyncio.sleep(chance.random() / 100)
    for index, sink in enumerate(heard):
        if index not in cancelled:
            assert (await sink.end()).finish is Finish.LENGTH
    await _close(lane)

    for index, sink in enumerate(heard):
        if index in cancelled:
            assert sink.tokens == alone[index][: len(sink.tokens)]
        else:
            assert sink.tokens == alone[index]
    assert lane.kv_usage == lane.tokens_in_flight == 0
    assert lane.statistics.prefix_hits > 0
    assert (lane.running, lane.waiting, lane.pending) == (0, 0, 0)


async def test_the_end_of_text_ends_a_generation_unless_it_is_ignored(
    decoder: Decoder, tiny_chat: Path
) -> None:
    prompt = [5, 6, 7]
    made = greedy_alone(decoder, prompt, 8)
    vocabulary = Vocabulary(decoder.vocabulary, frozenset({made[3]}), lambda _request: PlainText())
    lane = TextLane(decoder, vocabulary, GenerationLimits(PLACES, 64, 4, 1000), Pace(0.2))
    first, ignoring, own = Heard(), Heard(), Heard()
    _submit(lane, _request(prompt), first)
    _submit(lane, _request(prompt, ignore_eos=True), ignoring)
    _submit(lane, _request(prompt, ignore_eos=True, stop_ids=frozenset({made[1]})), own)

    end = await first.end()
    assert (end.finish, first.tokens) == (Finish.STOP, made[: made.index(made[3]) + 1])
    assert end.text == ""
    assert end.usage is not None
    assert end.usage.completion == len(first.tokens)
    assert (await ignoring.end()).finish is Finish.LENGTH
    assert ignoring.tokens == made
    assert (await own.end()).finish is Finish.STOP
    await _close(lane)


@pytest.mark.parametrize(
    ("request_", "word", "code"),
    [
        (_request([]), "empty", None),
        (_request([1], -1), "max_tokens is -1", None),
        (_request([1], 65), "at most 64", None),
        (_request([1] * 250), "prompt has 250 tokens", "context_length_exceeded"),
        (_request([1] * 65_000), "256", "context_length_exceeded"),
        (_request([1, 400]), "token 400", None),
        (_request([-1]), "token -1", None),
        (_request([1], adapter="poet"), "no adapter 'poet'", None),
    ],
)
async def test_what_cannot_be_done_is_refused_at_once(
    lane: TextLane, request_: GenerationRequest, word: str, code: str | None
) -> None:
    with pytest.raises(InvalidRequestError, match=word) as raised:
        _submit(lane, request_, Heard())

    assert raised.value.code == code
    assert lane.pending == 0


async def test_a_full_slot_is_used_to_its_last_place(lane: TextLane) -> None:
    heard = Heard()
    _submit(lane, _request([3] * (PLACES - 64), 64, ignore_eos=True), heard)

    assert (await heard.end()).finish is Finish.LENGTH
    assert len(heard.tokens) == 64


async def test_a_waiting_queue_of_prompts_is_bounded(decoder: Decoder, tiny_chat: Path) -> None:
    lane = _lane(decoder, tiny_chat, queued=150)
    held = await _hold_every_row(lane, decoder)
    waiting = [Heard(), Heard()]
    with lane._changed:
        _submit(lane, _request([4] * 100), waiting[0])
        with pytest.raises(OverloadedError, match="100 prompt tokens are waiting") as raised:
            _submit(lane, _request([5] * 51), Heard())
        _submit(lane, _request([5] * 50), waiting[1])
        assert 1 <= raised.value.retry_after_seconds <= 60
        assert (lane.running, lane.waiting) == (decoder.slots, 2)

    for generation in held:
        generation.resume()
    for heard in (*held.values(), *waiting):
        assert (await heard.end()).finish is Finish.LENGTH
    await _close(lane)


async def test_one_owner_leaves_others_room_to_wait(decoder: Decoder, tiny_chat: Path) -> None:
    lane = _lane(decoder, tiny_chat, queued=640)
    held = await _hold_every_row(lane, decoder)
    taken = {"loud": 0, "quiet": 0, "late": 0, "last": 0}
    waiting = []
    asked = (("loud", 1), ("quiet", 1), ("loud", 1), ("late", 214), ("late", 1), ("last", 1))
    with lane._changed:
        for owner, tokens in asked:
            with pytest.raises(OverloadedError):  # noqa: PT012 - whichever is the first too many
                for _ in range(100):
                    waiting.append(_submit(lane, _request([1] * tokens, owner=owner), Heard()))
                    taken[owner] += 1
    # 32 tokens are counted for each of one: 20 fill it. Others have the half, a third (213 tokens) and a
    # fourth of as many more, and all of them together no more than that.
    assert taken == {"loud": 20, "quiet": 10, "late": 6, "last": 4}
    for generation in (*waiting, *held):
        generation.cancel()
    await _until(lambda: not lane.pending)
    _submit(lane, _request([1], owner="loud"), Heard()).cancel()
    await _until(lambda: not lane.pending)
    await _close(lane)


async def test_a_prompt_larger_than_the_queue_is_taken_where_nothing_waits(
    decoder: Decoder, tiny_chat: Path
) -> None:
    lane, heard = _lane(decoder, tiny_chat, queued=40), Heard()
    _submit(lane, _request([1] * 41), heard)
    assert (await heard.end()).finish is Finish.LENGTH
    await _close(lane)


async def test_texts_of_one_request_are_taken_together_or_not_at_all(
    decoder: Decoder, tiny_chat: Path
) -> None:
    lane = _lane(decoder, tiny_chat, queued=100)
    held = await _hold_every_row(lane, decoder)
    heard = [Heard() for _ in range(8)]
    many = [(_request([index] * 60, 2, ignore_eos=True), one) for index, one in enumerate(heard)]
    with lane._changed:
        first = lane.submit(many)
        assert lane.waiting == len(many)
        with pytest.raises(OverloadedError, match="480 prompt tokens are waiting"):
            lane.submit(many[:2])
        with pytest.raises(InvalidRequestError, match="token 400"):
            lane.submit([(_request([1]), Heard()), (_request([400]), Heard())])
        assert (lane.pending, len(first)) == (decoder.slots + len(many), len(many))
    for generation in held:
        generation.cancel()
    for one in heard:
        assert (await one.end()).finish is Finish.LENGTH
    await _until(lambda: (lane.pending, lane.waiting) == (0, 0))
    await _close(lane)


class Counted(tuple[int, ...]):
    """Tokens that know how often somebody went through them."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        return super().__iter__()


async def test_texts_of_one_prompt_are_taken_without_looking_at_all_of_it_for_each(lane: TextLane) -> None:
    prompt, sampling = Counted(range(60)), Sampling(temperature=0.0, repetition_penalty=1.1)
    heard = [Heard() for _ in range(8)]
    with lane._changed:  # on the event loop, where others' streams wait meanwhile
        lane.submit([(GenerationRequest(prompt, 2, sampling), one) for one in heard])
        assert prompt.times <= 2  # its lowest token, and its highest
    for one in heard:
        assert (await one.end()).error is None


async def test_prompts_of_a_word_are_not_taken_without_number(decoder: Decoder, tiny_chat: Path) -> None:
    lane = _lane(decoder, tiny_chat, queued=640)
    held = await _hold_every_row(lane, decoder)
    with lane._changed:
        waiting = [_submit(lane, _request([1]), Heard()) for _ in range(20)]
        with pytest.raises(OverloadedError):
            _submit(lane, _request([1]), Heard())
    for generation in (*waiting, *held):
        generation.cancel()
    await _until(lambda: lane.pending == 0)
    await _close(lane)


async def test_who_cancels_hears_no_more_and_frees_the_row(
    lane: TextLane, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(decoder, monkeypatch)
    heard = [Heard() for _ in range(decoder.slots)]
    running = lane.submit([(_request([1, 2, 3], 64, ignore_eos=True), one) for one in heard])
    waiting = Heard()
    waiter = _submit(lane, _request([1, 2, 3, 4], 64, ignore_eos=True), waiting)
    assert lane.tokens_in_flight >= 3 * decoder.slots + 4  # whether they have a row yet or not
    steps.allow(decoder.slots - 1)  # each turn reads a prompt
    for one in heard:
        await asyncio.wait_for(one.begun.wait(), WAIT_SECONDS)
    assert lane.tokens_in_flight > 3 * decoder.slots + 4
    steps.allow(1)
    steps.wait_until_begun(decoder.slots + 1)
    counts = [len(one.events) for one in heard]
    for generation in (*running, waiter):
        generation.cancel()
        generation.cancel()
    steps.allow(1000)
    await _until(lambda: lane.pending == 0)

    assert [len(one.events) for one in heard] == counts
    assert not waiting.events
    assert (lane.running, lane.waiting, lane.kv_usage, lane.tokens_in_flight) == (0, 0, 0, 0)
    assert lane.statistics.finished["cancelled"] == decoder.slots + 1
    running[0].cancel()  # over: nothing happens
    follower = Heard()
    _submit(lane, _request([9], 2), follower)
    await follower.end()


async def test_a_text_that_is_long_enough_ends_as_if_it_had_stopped(lane: TextLane) -> None:
    heard, waiting = Heard(), Heard()
    with lane._changed:
        generation = _submit(lane, _request([1, 2, 3], 64, ignore_eos=True), heard)
        generation.pause()  # so it does not come to its own end before
    await asyncio.wait_for(heard.begun.wait(), WAIT_SECONDS)
    generation.finish()
    generation.finish()
    end = await heard.end()
    assert (end.finish, end.error) == (Finish.STOP, None)
    assert end.usage is not None
    assert end.usage.completion == len(heard.tokens) < 64
    assert (lane.statistics.finished["stop"], lane.kv_usage) == (1, 0)
    generation.finish()  # over: nothing happens
    _submit(lane, _request([9], 2), waiting)
    await waiting.end()


async def test_a_prompt_that_is_being_read_is_given_up_in_the_middle(
    decoder: Decoder, tiny_chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = _lane(decoder, tiny_chat, chunk=PLACES)
    heard, generation = Heard(), None
    run = decoder.prefill

    def cancel_first(*arguments: object) -> object:
        assert generation is not None
        generation.cancel()  # as the event loop does while the run is on its way
        return run(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "prefill", cancel_first)
    generation = _submit(lane, _request([1] * 100), heard)
    await _until(lambda: lane.pending == 0)
    monkeypatch.undo()

    assert not heard.events
    assert lane.statistics.generation_tokens == 0
    await _close(lane)


async def test_nobody_reads_for_a_while(
    lane: TextLane, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(decoder, monkeypatch)
    steps.allow(3)
    heard, generation = Heard(), None
    generation = _submit(lane, _request([1, 2, 3], 64, ignore_eos=True), heard)
    await asyncio.wait_for(heard.begun.wait(), WAIT_SECONDS)
    generation.pause()
    steps.allow(1000)
    other = Heard()
    _submit(lane, _request([7, 8, 9], 64, ignore_eos=True), other)
    await other.end()
    last = Heard()
    _submit(lane, _request([7, 8], 1), last)
    await last.end()  # whatever was on its way has come
    before = len(heard.events)
    more = Heard()
    _submit(lane, _request([7, 8, 4], 20, ignore_eos=True), more)
    await more.end()
    assert len(heard.events) == before < 64

    generation.resume()
    assert (await heard.end()).finish is Finish.LENGTH
    assert len(heard.tokens) == 64


async def test_rows_that_nobody_reads_make_room_for_others_and_go_on(
    decoder: Decoder, tiny_chat: Path
) -> None:
    lane = _lane(decoder, tiny_chat)
    held = await _hold_every_row(lane, decoder)
    others = [Heard() for _ in range(decoder.slots + 1)]
    for number, other in enumerate(others):
        _submit(lane, _request([7, number], 20, ignore_eos=True), other)
    for other in others:
        assert (await other.end()).finish is Finish.LENGTH
    assert not any(heard.ended.is_set() for heard in held.values())

    first, *rest = held
    first.cancel()
    for generation in rest:
        generation.resume()
    for generation in rest:
        end = await held[generation].end()
        assert (end.finish, end.usage) == (Finish.LENGTH, Usage(1, 64, 0))
    await _until(lambda: lane.pending == 0)
    assert (lane.running, lane.waiting, lane.kv_usage) == (0, 0, 0)
    texts = [held[generation].tokens for generation in rest]
    assert texts == [greedy_alone(decoder, [1], 64)] * len(rest)
    await _close(lane)


async def test_a_server_that_leaves_lets_generations_end_and_begins_none(
    decoder: Decoder, tiny_chat: Path
) -> None:
    lane = _lane(decoder, tiny_chat)
    heard, closed = Heard(), asyncio.Event()
    _submit(lane, _request([1, 2, 3], 64, ignore_eos=True), heard)
    lane.close_when_idle(closed.set)
    with pytest.raises(ModelUnavailableError):
        _submit(lane, _request([1]), Heard())

    assert (await heard.end()).finish is Finish.LENGTH
    await asyncio.wait_for(closed.wait(), WAIT_SECONDS)


async def test_a_server_that_must_leave_ends_all_with_a_sentence(decoder: Decoder, tiny_chat: Path) -> None:
    lane = _lane(decoder, tiny_chat)
    heard = [Heard() for _ in range(6)]
    generations = [_submit(lane, _request([1, 2, 3], 64, ignore_eos=True), one) for one in heard]
    generations[0].pause()
    await asyncio.wait_for(heard[1].begun.wait(), WAIT_SECONDS)
    lane.stop_runs()

    for one in heard:
        end = await one.end()
        if end.finish is None:
            assert isinstance(end.error, ModelUnavailableError)
            assert "leaving" in str(end.error)
    await _close(lane)


async def test_a_sink_that_fails_ends_its_own_generation_alone(lane: TextLane) -> None:
    def fail(_event: TokenEvent) -> None:
        raise ValueError("nobody expected that")

    other = Heard()
    _submit(lane, _request([1, 2], 64, ignore_eos=True), fail)
    _submit(lane, _request([3, 4], 64, ignore_eos=True), other)

    assert (await other.end()).finish is Finish.LENGTH
    await _until(lambda: lane.pending == 0)


async def test_a_decoder_that_fails_is_an_error_of_its_rows_and_the_lane_goes_on(
    lane: TextLane, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> object:
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(decoder, "decode", fail)
    heard = Heard()
    _submit(lane, _request([1, 2]), heard)
    end = await heard.end()
    monkeypatch.undo()
    following = Heard()
    _submit(lane, _request([1, 2]), following)

    assert isinstance(end.error, ServingError)
    assert (await following.end()).error is None


async def test_a_fault_where_a_row_is_to_rest_leaves_the_lane_its_thread(
    lane: TextLane, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> object:
        raise LookupError("a fault of our own")

    steps, heard = Steps(decoder, monkeypatch), [Heard(), Heard()]
    first, _ = lane.submit([(_request([1, 2], 64, ignore_eos=True), one) for one in heard])
    steps.allow(1)
    for one in heard:
        await asyncio.wait_for(one.begun.wait(), WAIT_SECONDS)
    monkeypatch.setattr(decoder, "swap", fail)
    first.pause()
    steps.allow(1000)
    ends = [await one.end() for one in heard]
    monkeypatch.undo()
    following = Heard()
    _submit(lane, _request([1, 2]), following)

    assert all(isinstance(end.error, ServingError) for end in ends)
    assert (await following.end()).error is None


async def test_a_prompt_that_is_only_scored_is_counted_and_reads_what_is_known(
    decoder: Decoder, tiny_chat: Path
) -> None:
    lane, prompt = _lane(decoder, tiny_chat), tuple(range(40))
    told = []
    for scores in (False, True):
        heard, sampling = Heard(), Sampling(logprobs=0 if scores else None)
        _submit(lane, GenerationRequest(prompt, 0, sampling, scores_prompt=scores), heard)
        end = await heard.end()
        told.append([one.token for event in heard.events for one in event.logprobs])
        assert (end.finish, end.usage) == (Finish.LENGTH, Usage(40, 0, 0))

    assert told == [[], list(prompt)]
    assert (lane.statistics.prompt_tokens, lane.statistics.generation_tokens) == (80, 0)
    await _close(lane)


async def test_times_are_counted_from_when_a_request_came(decoder: Decoder, tiny_chat: Path) -> None:
    lane, heard = _lane(decoder, tiny_chat), Heard()
    lane.submit([(_request([1], 4, ignore_eos=True), heard)], time.perf_counter() - 1000)
    await heard.end()
    counts = lane.statistics

    assert counts.queue_seconds.sum > 1000
    assert counts.first_token_seconds.sum > 1000
    assert counts.request_seconds.sum > 1000
    assert counts.prefill_seconds.sum < 1000
    await _close(lane)


async def test_what_happened_is_counted(decoder: Decoder, tiny_chat: Path) -> None:
    lane = _lane(decoder, tiny_chat)
    for prompt in ([*range(20)], [*range(20), 30]):
        heard = Heard()
        _submit(lane, _request(prompt, 4, ignore_eos=True), heard)
        await heard.end()
    counts = lane.statistics

    assert (counts.prompt_tokens, counts.generation_tokens) == (41, 8)
    assert (counts.prefix_queries, counts.prefix_hits) == (41, 20)
    assert counts.finished["length"] == 2
    assert sum(counts.first_token_seconds.counts) == 2
    assert sum(counts.between_tokens_seconds.counts) == 6
    assert counts.request_seconds.sum >= counts.first_token_seconds.sum
    assert sum(counts.step_tokens.counts) > 0
    await _close(lane)
