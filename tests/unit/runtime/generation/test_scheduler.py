"""Who reads next: priority, owners in turn, short before long, and everybody in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.generation.scheduler import Ask, Scheduler

asks = st.tuples(st.sampled_from("abc"), st.integers(-(10**9), 10**9), st.integers(1, 500))


def _add(scheduler: Scheduler, owner: str, tokens: int, priority: int = 0) -> Ask:
    ask = Ask(owner, priority, tokens, 0.0)
    scheduler.add(ask)
    return ask


def _read(scheduler: Scheduler, chunk: int, *, has_slot: bool = True) -> Ask | None:
    """One chunk of whoever is next."""
    ask = scheduler.choose(has_slot=has_slot)
    if ask is not None:
        if not ask.begun:
            scheduler.begin(ask, ask.left)
        scheduler.read(ask, min(chunk, ask.left))
    return ask


def _order(scheduler: Scheduler, chunk: int = 1_000_000) -> list[Ask]:
    """The asks in the order in which they are read to their ends."""
    done = []
    while (ask := _read(scheduler, chunk)) is not None:
        if ask.left <= 0:
            done.append(ask)
    return done


@given(st.lists(asks, min_size=1, max_size=30), st.integers(1, 200))
def test_all_are_read_to_their_ends_once(wanted: list[tuple[str, int, int]], chunk: int) -> None:
    scheduler = Scheduler()
    added = [_add(scheduler, owner, tokens, priority) for owner, priority, tokens in wanted]

    done = _order(scheduler, chunk)

    assert sorted(map(id, done)) == sorted(map(id, added))
    assert not scheduler.has_asks


@given(st.lists(asks, min_size=1, max_size=20), asks, st.integers(16, 200))
def test_nobody_waits_for_ever_behind_those_who_keep_coming(
    others: list[tuple[str, int, int]], own: tuple[str, int, int], chunk: int
) -> None:
    scheduler = Scheduler()
    for owner, priority, tokens in others:
        _add(scheduler, owner, tokens, priority)
    owner, priority, tokens = own
    ask = _add(scheduler, owner, tokens, priority)
    # Each eighth chunk is for the first that came: those before it, then it.
    limit = 8 * (sum(-(-tokens // chunk) for _, _, tokens in others) + -(-tokens // chunk) + 1)

    for _ in range(limit):
        _add(scheduler, "a", 1, -(10**9))  # more important than anybody, at every turn
        _read(scheduler, chunk)

    assert ask.left <= 0


@pytest.mark.parametrize("chunks", range(1, 10))
def test_nobody_waits_for_ever_where_a_slot_is_free_for_first_chunks_alone(chunks: int) -> None:
    scheduler = Scheduler()
    ask = _add(scheduler, "b", 10, priority=1)

    for _ in range(8):
        _add(scheduler, "a", 100 * chunks)
        begun = _read(scheduler, 100)
        while begun is not None and begun.left > 0:
            assert _read(scheduler, 100, has_slot=False) is begun

    assert ask.left <= 0


def test_lower_priorities_come_first() -> None:
    scheduler = Scheduler()
    late, middle, first = (_add(scheduler, "a", 10, priority) for priority in (5, 0, -5))

    assert _order(scheduler) == [first, middle, late]


def test_owners_take_turns_however_many_prompts_one_has() -> None:
    scheduler = Scheduler()
    many = [_add(scheduler, "many", 100) for _ in range(6)]
    few = [_add(scheduler, "few", 100) for _ in range(2)]

    order = _order(scheduler)

    assert max(order.index(ask) for ask in few) <= 3
    assert order.index(many[-1]) == 7


def test_who_was_away_saves_nothing_up() -> None:
    scheduler = Scheduler()
    _add(scheduler, "early", 10)
    _order(scheduler)
    busy = [_add(scheduler, "busy", 100) for _ in range(4)]
    for _ in range(2):
        _read(scheduler, 100)
    early = [_add(scheduler, "early", 100) for _ in range(4)]

    order = _order(scheduler)

    # From when it came back on they take turns: it does not get four in a row.
    assert {order.index(ask) for ask in early} != {0, 1, 2, 3}
    assert order.index(busy[-1]) < 4


def test_tokens_that_were_made_count_for_their_owner() -> None:
    scheduler = Scheduler()
    _add(scheduler, "talker", 10)
    _add(scheduler, "other", 10)
    _read(scheduler, 100)
    _read(scheduler, 100)
    scheduler.charge(["talker"] * 500)
    talker = _add(scheduler, "talker", 10)
    other = _add(scheduler, "other", 10)

    assert _order(scheduler) == [other, talker]


def test_a_short_prompt_overtakes_a_long_one_that_was_begun() -> None:
    scheduler = Scheduler()
    long = _add(scheduler, "", 8000)
    assert _read(scheduler, 64) is long
    short = _add(scheduler, "", 20)

    assert _read(scheduler, 64) is short
    assert _read(scheduler, 64) is long


def test_a_long_prompt_is_overtaken_by_as_much_as_it_asks_for_and_no_more() -> None:
    scheduler = Scheduler()
    long = _add(scheduler, "", 1000)
    overtaken = 0
    while not long.begun or long.left == 1000:
        _add(scheduler, "", 100)
        ask = _read(scheduler, 100)
        overtaken += 0 if ask is long else 100

    assert overtaken <= 1000


def test_equal_prompts_are_read_one_after_the_other() -> None:
    scheduler = Scheduler()
    for owner in "abcdef":
        _add(scheduler, owner, 100)
    read = [_read(scheduler, 50) for _ in range(6)]

    assert read[0] is read[1]
    assert read[2] is read[3]
    assert read[4] is read[5]


def test_without_a_slot_only_what_was_begun_goes_on() -> None:
    scheduler = Scheduler()
    begun = _add(scheduler, "", 100)
    _read(scheduler, 10)
    _add(scheduler, "", 1, priority=-1)

    assert _read(scheduler, 1000, has_slot=False) is begun
    assert _read(scheduler, 1000, has_slot=False) is None
    assert not scheduler.can_choose(has_slot=False)
    assert scheduler.waiting == 1


def test_owners_are_forgotten() -> None:
    scheduler = Scheduler()
    for number in range(1000):
        _add(scheduler, f"owner {number}", 5)
        _order(scheduler)

    assert len(scheduler._served) < 20


def test_short_prompts_of_one_owner_wait_for_a_part_of_anothers_long_one_only() -> None:
    scheduler = Scheduler()
    long = _add(scheduler, "long", 8000)
    for _ in range(2):
        assert _read(scheduler, 64) is long
    for _ in range(20):
        short = _add(scheduler, "short", 100)
        reads = 0
        while short.left > 0:
            _read(scheduler, 64)
            reads += 1
        assert reads <= 14

    assert long.left > 4000
