from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.generation.pace import Pace

seconds = st.floats(1e-6, 100)


def _measured(token_seconds: float, step_seconds: float, target: float = 0.2) -> Pace:
    pace = Pace(target)
    for _ in range(100):
        pace.note_chunk(64, 64 * token_seconds)
        pace.note_step(step_seconds)
    return pace


@given(seconds, seconds, seconds, st.floats(0, 1e6), st.booleans())
def test_chunks_are_whole_steps_within_bounds(
    token: float, step: float, target: float, wait: float, decoding: bool
) -> None:
    size = _measured(token, step, target).chunk(decoding=decoding, longest_wait_seconds=wait)

    assert 16 <= size <= 512
    assert size % 16 == 0


def test_a_chunk_takes_what_a_step_leaves_of_the_target() -> None:
    pace = _measured(token_seconds=0.002, step_seconds=0.1)

    assert pace.chunk(decoding=True, longest_wait_seconds=0) == 48  # 0.1 s are 50 tokens


def test_chunks_grow_while_somebody_waits_and_not_for_ever() -> None:
    pace = _measured(token_seconds=0.002, step_seconds=0.1)
    sizes = [pace.chunk(decoding=True, longest_wait_seconds=wait) for wait in (0, 1, 2, 3, 30)]

    assert sizes == [48, 96, 144, 192, 192]


def test_a_step_beyond_the_target_leaves_a_part_to_prompts() -> None:
    pace = _measured(token_seconds=0.001, step_seconds=5.0)

    assert pace.chunk(decoding=True, longest_wait_seconds=0) == 48  # a quarter of 0.2 s


def test_where_nobody_decodes_chunks_are_large() -> None:
    pace = _measured(token_seconds=0.002, step_seconds=0.1)

    assert pace.chunk(decoding=False, longest_wait_seconds=0) == 240


def test_a_size_that_was_chosen_stays() -> None:
    pace = Pace(0.2, chunk_tokens=33)
    pace.note_chunk(33, 10.0)

    assert pace.chunk(decoding=True, longest_wait_seconds=100) == 33


def test_when_to_come_back_follows_the_measured_rate() -> None:
    pace = _measured(token_seconds=0.01, step_seconds=0.1)

    assert pace.retry_seconds(1000) in (10, 11)
    assert pace.retry_seconds(10**9) == 60
    assert Pace(0.2).retry_seconds(1000) == 1


def test_the_short_end_of_a_prompt_says_little_of_long_ones() -> None:
    pace = _measured(token_seconds=0.002, step_seconds=0.1)
    pace.note_chunk(1, 0.05)
    rate = pace.prefill_tokens_per_second

    assert rate is not None
    assert rate > 350
