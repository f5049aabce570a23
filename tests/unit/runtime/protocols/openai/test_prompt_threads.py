import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS

from modelservice_runtime.errors import OverloadedError
from modelservice_runtime.protocols.openai.answering.prompt_threads import PromptThreads

if TYPE_CHECKING:
    from concurrent.futures import Future


class Slow:
    """Work that has begun when `begun` is set, and goes on until all of it may."""

    def __init__(self, may_end: threading.Event) -> None:
        self.begun = threading.Event()
        self._may_end = may_end

    def __call__(self) -> None:
        self.begun.set()
        assert self._may_end.wait(PATIENCE_SECONDS)


@pytest.fixture
def may_end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def occupy(threads: PromptThreads, owner: str, count: int, may_end: threading.Event) -> "list[Future[None]]":
    """`count` threads do an owner's slow work."""
    works = [Slow(may_end) for _ in range(count)]
    futures = [threads.submit(owner, 1, work) for work in works]
    for work in works:
        assert work.begun.wait(PATIENCE_SECONDS)
    return futures


def test_slow_work_of_one_owner_leaves_a_thread_to_others(may_end: threading.Event) -> None:
    threads = PromptThreads(3, 100)
    slow = occupy(threads, "slow", 2, may_end)
    slow += [threads.submit("slow", 1, Slow(may_end)) for _ in range(5)]
    for _ in range(3):
        assert threads.submit("other", 1, lambda: "made").result(PATIENCE_SECONDS) == "made"
    may_end.set()
    for future in slow:
        future.result(PATIENCE_SECONDS)


def test_owners_take_turns(may_end: threading.Event) -> None:
    threads = PromptThreads(1, 100)
    occupy(threads, "first", 1, may_end)
    done: list[str] = []
    futures = [threads.submit(owner, 1, lambda owner=owner: done.append(owner)) for owner in "aaaabb"]
    may_end.set()
    for future in futures:
        future.result(PATIENCE_SECONDS)
    assert "".join(done) == "ababaa"


def test_one_owner_fills_half_of_the_room_and_a_newcomer_finds_some(may_end: threading.Event) -> None:
    threads = PromptThreads(1, 10)
    occupy(threads, "first", 1, may_end)
    kept = [threads.submit("many", 1, lambda: None) for _ in range(5)]
    with pytest.raises(OverloadedError, match="5 requests of yours wait") as refused:
        threads.submit("many", 1, lambda: None)
    assert refused.value.retry_after_seconds >= 1
    kept += [threads.submit("few", 1, lambda: None) for _ in range(3)]
    with pytest.raises(OverloadedError):
        threads.submit("few", 1, lambda: None)
    for owner in ("large", "first"):  # what waits for nothing of its owner's
        kept.append(threads.submit(owner, 1_000, lambda: None))
    may_end.set()
    for future in kept:
        future.result(PATIENCE_SECONDS)
    assert threads.submit("many", 5, lambda: "again").result(PATIENCE_SECONDS) == "again"


def test_what_runs_waits_no_more(may_end: threading.Event) -> None:
    threads, may_begin = PromptThreads(1, 10), threading.Event()
    occupy(threads, "any", 1, may_begin)
    second = Slow(may_end)
    kept = [threads.submit("any", 4, second), threads.submit("any", 1, lambda: None)]
    may_begin.set()
    assert second.begun.wait(PATIENCE_SECONDS)
    kept.append(threads.submit("any", 5, lambda: None))
    may_end.set()
    for future in kept:
        future.result(PATIENCE_SECONDS)


def test_work_that_fails_is_told_and_keeps_no_thread() -> None:
    threads = PromptThreads(1, 10)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            threads.submit("any", 1, lambda: 1 // 0).result(PATIENCE_SECONDS)
