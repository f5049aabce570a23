"""What a slot holds serves the prompts that begin like it, as far as they do."""

from itertools import takewhile

from hypothesis import example, given
from hypothesis import strategies as st

from modelservice_runtime.generation.kv.slots import Slots

# Two tokens, so that many begin alike.
texts = st.lists(st.integers(0, 1), min_size=1, max_size=40)


@given(texts, texts)
@example([0] * 20, [0] * 20)
@example([0] * 20, [*[0] * 19, 1])
@example([0] * 9, [1, *[0] * 8])
def test_a_prompt_finds_as_much_as_it_has_in_common_and_leaves_a_token_to_read(
    kept: list[int], prompt: list[int]
) -> None:
    slots = Slots(2)
    first, _ = slots.claim(kept, "a") or (None, [])
    assert first is not None
    first.tokens.extend(kept)
    slots.end(first)
    found, _ = slots.claim(prompt, "a") or (None, [])

    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(kept, prompt, strict=False)))
    known = min(alike, len(prompt) - 1)
    assert found is not None
    assert found.tokens == (prompt[:known] if known >= 8 else [])
