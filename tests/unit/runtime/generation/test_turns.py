"""Each adapter's step comes once in a round, whoever comes and goes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.generation.turns import Turns

present = st.sets(st.sampled_from([None, "x", "y", "z"]), min_size=1)


@given(st.lists(present, max_size=40))
def test_no_adapter_has_two_steps_while_another_waits(script: list[set[str | None]]) -> None:
    turns = Turns()
    waits: dict[str | None, Counter[str | None]] = {}
    for adapters in script:
        chosen, _ = turns.take(adapters)
        assert chosen in adapters
        waits = {one: waits.get(one, Counter()) for one in adapters if one != chosen}
        for others in waits.values():
            others[chosen] += 1
            assert others[chosen] == 1


@given(st.lists(present, max_size=40))
def test_a_round_ends_when_each_that_is_there_had_its_step(script: list[set[str | None]]) -> None:
    turns, stepped = Turns(), set[str | None]()
    for adapters in script:
        chosen, is_last = turns.take(adapters)
        stepped.add(chosen)
        assert is_last == (adapters <= stepped)
        if is_last:
            stepped.clear()


def test_the_model_alone_has_each_step_and_each_ends_a_round() -> None:
    turns = Turns()

    assert [turns.take({None}) for _ in range(3)] == [(None, True)] * 3
