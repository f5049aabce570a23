from dataclasses import replace

import pytest

from modelservice_runtime.errors import OverloadedError
from modelservice_runtime.generation.admission import PromptQueue, queued_tokens
from modelservice_runtime.generation.values import GenerationRequest


def _queue(limit: int = 1000) -> PromptQueue:
    return PromptQueue(limit, lambda tokens: tokens // 100)


def test_texts_of_one_prompt_count_it_once_where_it_is_read_once() -> None:
    one, other = GenerationRequest(tuple(range(100)), 1), GenerationRequest(tuple(range(50)), 1)
    texts = [one, one, other, other, one]
    assert queued_tokens(texts, keeps_prefixes=True) == [100, 32, 50, 32, 32]
    assert queued_tokens(texts, keeps_prefixes=False) == [100, 100, 50, 50, 100]
    scored = replace(one, scores_prompt=True)
    assert queued_tokens([scored, scored], keeps_prefixes=True) == [100, 100]


def test_a_request_enters_whole_where_nothing_waits_and_not_at_all_where_it_is_too_much() -> None:
    queue = _queue()
    queue.enter("a", [600] * 64)
    with pytest.raises(
        OverloadedError,
        match="38400 prompt tokens are waiting, this request has 64 more and the limit is 1000",
    ) as raised:
        queue.enter("a", [32, 32])
    assert (queue.waiting, raised.value.retry_after_seconds) == (64, 384)
    for _ in range(63):
        queue.leave("a", 600)
    queue.enter("a", [200, 200])
    assert queue.waiting == 3


def test_what_one_owner_has_beyond_the_limit_is_not_held_against_others() -> None:
    queue = _queue()
    queue.enter("loud", [600] * 64)
    queue.enter("quiet", [250, 250])  # half of the limit, and no more
    with pytest.raises(OverloadedError):
        queue.enter("quiet", [32])
    queue.enter("late", [333])
    with pytest.raises(OverloadedError):
        queue.enter("last", [300])
