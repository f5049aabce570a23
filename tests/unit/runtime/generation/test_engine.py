"""Whatever begins, ends, rests and goes on: each text is the one that its prompt has alone."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.generation.played_rows import (
    PlayedRows,
    make_active,
    make_engine,
    next_token,
    text_alone,
)

from modelservice_runtime.errors import DeviceLostError, OverloadedError, ServingError
from modelservice_runtime.generation import engine
from modelservice_runtime.generation.engine import Active
from modelservice_runtime.generation.values import Finish, TokenEvent, TokenLogprob

PLACES = 64  # for the longest prompt that is tried, 50, and its 12 tokens
TURNS = ([], ["decode"], ["prefill"], ["decode", "prefill"])
# Few tokens and few owners, so that many prompts begin alike.
prompts = st.lists(st.integers(0, 1), min_size=1, max_size=30)
adapters = st.sampled_from([None, "x", "y"])
asks = st.tuples(prompts, st.integers(1, 12), st.sampled_from("ab"), st.integers(-1, 1), adapters)
actions = st.one_of(
    asks,
    st.tuples(st.sampled_from(["cancel", "pause", "resume"]), st.integers(0, 30)),
    st.just("turn"),
)
# Prompts that are known in part to whoever finds what is kept of the ones before.
BEGINNING = [0, 1] * 10
alike = st.builds(lambda length, rest: BEGINNING[:length] + rest, st.integers(8, 20), prompts)
alike_asks = st.tuples(alike, st.integers(1, 12), st.just("a"), st.just(0), st.sampled_from([None, "x"]))
alike_actions = st.one_of(alike_asks, actions)


class Session:
    """An engine, and what its generations were told."""

    def __init__(
        self,
        slots: int,
        *,
        chunk: int = 4,
        keeps: bool = True,
        fails_at: int | None = None,
        fails_at_move: int | None = None,
    ) -> None:
        self.rows = PlayedRows(slots, PLACES, fails_at, fails_at_move)
        self.engine, self.watcher = make_engine(self.rows, chunk=chunk, keeps=keeps)
        self.all: list[Active] = []
        self.tokens: dict[Active, list[int]] = defaultdict(list)
        self.scores: dict[Active, list[TokenLogprob]] = defaultdict(list)
        self.ends: dict[Active, list[TokenEvent | None]] = defaultdict(list)

    def add(self, generation: Active) -> Active:
        self.all.append(generation)
        self.engine.add(generation)
        return generation

    def ask(
        self, prompt: list[int], max_tokens: int, owner: str, priority: int, adapter: str | None
    ) -> Active:
        active = make_active(prompt, max_tokens, owner=owner, priority=priority, adapter=adapter)
        return self.add(active)

    def play(self, script: list[object]) -> None:
        for action in script:
            if action == "turn":
                self.turn()
            elif isinstance(action, tuple) and len(action) == 2:
                self.act(*action)
            else:
                assert isinstance(action, tuple)
                self.ask(*action)
        self.finish()

    def act(self, name: str, index: int) -> None:
        if not self.all:
            return
        generation = self.all[index % len(self.all)]
        if not self.engine.knows(generation):
            return
        if name == "cancel":
            generation.is_cancelled = True
            self.engine.end(generation, None)
        else:
            generation.is_paused = name == "pause"
            self.engine.follow_reader(generation)

    def turn(self) -> None:
        before = len(self.rows.runs)
        self.engine.step()
        self.engine.read()
        assert [kind for kind, _ in self.rows.runs[before:]] in TURNS
        for generation, event in self.engine.take_events():
            assert not self.ends[generation], "an event behind the end"
            if event is None or event.finish is not None or event.error is not None:
                self.ends[generation].append(event)
            if event is not None:
                self.tokens[generation] += event.tokens
                self.scores[generation] += event.logprobs

    def finish(self) -> None:
        """Everybody reads again, and no more is asked."""
        for index in range(len(self.all)):
            self.act("resume", index)
        # Who gave a slot up is read once more.
        limit = 2 * sum(len(one.row.request.prompt) + one.row.request.max_tokens for one in self.all) + 10
        turns = 0
        while not self.engine.is_idle:
            self.turn()
            turns += 1
            assert turns <= limit, "it does not come to an end"
        self.turn()


def _alone(generation: Active) -> list[int]:
    request = generation.row.request
    return text_alone(request.prompt, request.max_tokens, request.adapter)


@given(st.integers(1, 4), st.booleans(), st.integers(1, 9), st.lists(actions, max_size=60))
def test_texts_are_those_of_rows_alone_and_all_end_once(
    slots: int, keeps: bool, chunk: int, script: list[object]
) -> None:
    session = Session(slots, chunk=chunk, keeps=keeps)
    session.play(script)

    for generation in session.all:
        alone = _alone(generation)
        assert len(session.ends[generation]) == 1
        end = session.ends[generation][0]
        if generation.is_cancelled:
            assert session.tokens[generation] == alone[: len(session.tokens[generation])]
        else:
            assert session.tokens[generation] == alone
            assert end is not None
            assert end.finish is Finish.LENGTH
            assert end.usage is not None
            assert (end.usage.prompt, end.usage.completion) == (
                len(generation.row.request.prompt),
                len(alone),
            )
            assert end.usage.cached < end.usage.prompt
    assert session.watcher.ended_count == len(session.all)
    assert session.watcher.begun_count <= len(session.all)
    assert session.engine.tokens_in_use == 0


@given(st.integers(1, 4), st.integers(1, 9), st.lists(asks, min_size=1, max_size=12))
def test_no_step_waits_for_more_than_one_chunk(
    slots: int, chunk: int, wanted: list[tuple[list[int], int, str, int, str | None]]
) -> None:
    session = Session(slots, chunk=chunk)
    for one in wanted:
        session.ask(*one)
    session.finish()

    assert all(tokens <= (chunk if kind == "prefill" else slots) for kind, tokens in session.rows.runs)


@given(st.integers(1, 4), st.integers(1, 9), st.lists(asks, min_size=1, max_size=12))
def test_between_two_steps_of_an_adapter_others_have_one_each_and_a_chunk_is_read(
    slots: int, chunk: int, wanted: list[tuple[list[int], int, str, int, str | None]]
) -> None:
    session = Session(slots, chunk=chunk)
    for one in wanted:
        session.ask(*one)
    since: dict[str | None, list[tuple[str, str | None]]] = {}
    while not session.engine.is_idle:
        since = {one.adapter: since.get(one.adapter, []) for one in session.engine._decoding}
        begun = len(session.rows.runs)
        session.turn()
        for (kind, _), adapter in list(zip(session.rows.runs, session.rows.run_adapters, strict=True))[
            begun:
        ]:
            for runs in since.values():
                runs.append((kind, adapter if kind == "decode" else None))
            assert all(len(runs) == len(set(runs)) for runs in since.values())
            if kind == "decode":
                since[adapter] = []


def test_rows_of_one_adapter_share_a_step_and_no_other() -> None:
    session = Session(4, chunk=40)
    for adapter in ("x", None, "x", None):
        session.ask([1, 2, 3], 6, "a", 0, adapter)
    session.finish()

    runs = zip(session.rows.runs, session.rows.run_adapters, strict=True)
    assert {(2, "x"), (2, None)} <= {(rows, by) for (kind, rows), by in runs if kind == "decode"}
    assert all(session.tokens[one] == _alone(one) for one in session.all)


def test_what_another_adapter_read_is_read_again() -> None:
    session = Session(3, chunk=40)
    for adapter in ("x", "y", None, "x"):
        session.ask(list(range(20)), 3, "a", 0, adapter)
        session.finish()

    assert [one.row.cached for one in session.all] == [0, 0, 0, 19]


def test_a_failing_step_ends_its_rows_and_leaves_nothing_behind() -> None:
    session = Session(2, chunk=9, fails_at=4)
    first = session.add(make_active([1, 2, 3], 8))
    second = session.add(make_active([4, 5, 6], 8))
    while not session.ends[first]:
        session.turn()
    later = session.add(make_active([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 3))
    session.finish()

    for failed in (first, second):
        event = session.ends[failed][0]
        assert event is not None
        assert isinstance(event.error, ServingError)
    assert session.tokens[later] == _alone(later)
    assert later.row.cached == 0


@given(st.integers(2, 4), st.integers(1, 9), st.integers(1, 6), st.lists(alike_actions, max_size=40))
def test_rows_that_a_device_did_not_carry_tell_no_wrong_tokens(
    slots: int, chunk: int, fails_at_move: int, script: list[object]
) -> None:
    session = Session(slots, chunk=chunk, fails_at_move=fails_at_move)
    session.play(script)
    session.rows.moves = fails_at_move  # what comes now is carried again
    later = session.add(make_active(BEGINNING, 3, owner="a"))
    session.finish()

    for generation in session.all:
        assert session.tokens[generation] == _alone(generation)[: len(session.tokens[generation])]
        assert len(session.ends[generation]) == 1
    assert session.tokens[later] == _alone(later)


def test_a_prompt_that_goes_on_an_earlier_one_reads_the_rest_only() -> None:
    session = Session(2, chunk=40)
    first = session.add(make_active(range(12), 5, owner="a"))
    session.finish()
    conversation = [*range(12), *session.tokens[first], 20, 21]
    known = session.add(make_active(conversation, 3, owner="a"))
    strange = session.add(make_active(conversation, 3, owner="b"))
    session.finish()

    # The last token that the first one made was never put into the model.
    assert known.row.cached == len(conversation) - 3
    assert strange.row.cached == 0
    assert session.tokens[known] == session.tokens[strange] == _alone(known)


def test_a_prompt_that_begins_like_one_that_is_running_copies_it() -> None:
    session = Session(3, chunk=40)
    running = session.add(make_active(range(20), 20, owner="a"))
    session.turn()
    session.turn()
    same = session.add(make_active([*range(18), 40], 4, owner="a"))
    session.finish()

    assert same.row.cached == 18
    assert session.tokens[same] == _alone(same)
    assert session.tokens[running] == _alone(running)


def test_a_beginning_that_a_device_did_not_copy_is_not_read_on() -> None:
    session = Session(4, chunk=40, fails_at_move=1)
    running = [session.add(make_active([start, *range(20)], 20, owner="a")) for start in (30, 31)]
    for _ in range(3):
        session.turn()
    same = session.add(make_active([30, *range(18), 40], 4, owner="a"))
    session.finish()

    for generation in (*running, same):
        (event,) = session.ends[generation]
        assert event is not None
        assert isinstance(event.error, DeviceLostError)
    assert session.tokens[same] == []
    assert all(session.tokens[one] == _alone(one)[: len(session.tokens[one])] for one in running)
    assert session.rows.moves == 1, "rows that have failed are moved"
    again = session.add(make_active([30, *range(18), 40], 4, owner="a"))
    session.finish()
    assert again.row.cached == 0
    assert session.tokens[again] == _alone(again)


def test_a_row_that_rests_makes_no_tokens_and_others_go_on() -> None:
    session = Session(2, chunk=40)
    slow = session.add(make_active([1, 2, 3], 10))
    quick = session.add(make_active([4, 5, 6], 10))
    session.turn()
    session.turn()
    session.act("pause", 0)
    before = len(session.tokens[slow])
    while not session.ends[quick]:
        session.turn()

    assert session.engine.is_idle
    assert len(session.tokens[slow]) == before
    session.finish()
    assert session.tokens[slow] == _alone(slow)


def test_a_row_that_rests_before_its_first_token_gets_that_one_only() -> None:
    session = Session(1, chunk=2)
    slow = session.add(make_active([1, 2, 3, 4], 10))
    session.act("pause", 0)
    for _ in range(5):
        session.turn()

    assert len(session.tokens[slow]) == 1
    session.finish()
    assert session.tokens[slow] == _alone(slow)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_row_that_rests_gives_its_slot_to_who_waits_and_is_read_again(keeps: bool) -> None:
    session = Session(1, chunk=4, keeps=keeps)
    slow = session.add(make_active([1, 2, 3], 10, scored=True))
    for _ in range(4):
        session.turn()
    session.act("pause", 0)
    before = list(session.tokens[slow])
    quick = session.add(make_active([4, 5, 6], 10))
    while not session.ends[quick]:
        session.turn()
    assert (session.tokens[quick], session.tokens[slow]) == (_alone(quick), before)
    assert session.engine.is_idle

    session.finish()
    assert session.tokens[slow] == _alone(slow)
    assert [one.token for one in session.scores[slow]] == [1, 2, 3, *_alone(slow)]
    assert slow.row.cached == 0
    assert (session.watcher.begun_count, session.watcher.ended_count) == (2, 2)


def test_who_has_rested_longest_gives_its_slot_up_first() -> None:
    session = Session(2, chunk=40)
    for start in (1, 5):
        session.add(make_active([start, 2, 3], 10))
    for _ in range(3):
        session.turn()
    for index in (1, 0):
        session.act("pause", index)
    session.add(make_active([7, 8, 9], 2))
    session.turn()

    assert [one.held is None for one in session.all] == [False, True, False]


def test_rows_that_rest_without_a_slot_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_MAX_PARKED", 1)
    session = Session(1, chunk=40)
    for index, start in enumerate((1, 4, 7)):
        session.add(make_active([start, 2, 3], 10))
        session.turn()
        session.act("pause", index)
    first, *others = session.all
    session.finish()

    assert isinstance(session.ends[first][0].error, OverloadedError)
    assert all(session.tokens[one] == _alone(one) for one in others)


@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.lists(st.tuples(prompts, st.integers(0, 3), st.booleans()), max_size=8),
)
def test_a_scored_prompt_is_told_to_the_last_token_beside_others(
    slots: int, chunk: int, wanted: list[tuple[list[int], int, bool]]
) -> None:
    session = Session(slots, chunk=chunk)
    for prompt, max_tokens, scored in wanted:
        session.add(make_active(prompt, max_tokens, owner="a", scored=scored))
    session.finish()

    for generation in session.all:
        request = generation.row.request
        assert session.tokens[generation] == _alone(generation)
        if request.scores_prompt:
            told = session.scores[generation][: len(request.prompt)]
            assert [one.token for one in told] == list(request.prompt)
            likely = [next_token(request.prompt[:at]) for at in range(1, len(request.prompt))]
            assert [one.alternatives[0][0] for one in told[1:]] == likely
            assert (told[0].logprob, generation.row.cached) == (None, 0)
    assert session.rows.scored == sum(len(prompt) for prompt, _, scored in wanted if scored)
