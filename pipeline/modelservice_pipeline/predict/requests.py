"""How many rows a request has, and which rows are next: shared by the threads that ask; no HTTP here."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from modelservice_pipeline.predict.patience import Clock
from modelservice_pipeline.predict.predictor import Array

_FIRST_ROWS = 32
_MOST_ROWS = 1024
_BYTES_AT_ONCE = 8 * 2**20
"""Far below the 64 MiB that our server takes, so that an answer of several times the size fits too."""
_ELEMENTS_AT_ONCE = 200_000
"""Below the 262,144 texts that our server takes in an input, and the million values in JSON."""
_QUICK_SECONDS = 0.25
"""A request that was answered within this time may have twice the rows: its own cost is what counts."""

Ask = Callable[[int, int], dict[str, Array] | None]


@dataclass(frozen=True)
class Plan:
    """How many rows there are, and what one has: bytes, and elements of all inputs."""

    rows: int
    row_bytes: int
    row_elements: int


class Sizes:
    """How many rows a request has. It grows while answers come quickly, and halves where it was too large."""

    def __init__(self, most: int | None, fixed: int | None) -> None:
        self._most = fixed or most or _MOST_ROWS
        self._now = fixed or min(_FIRST_ROWS, self._most)
        self._fixed = fixed

    def choose(self, plan: Plan) -> int:
        """How many rows the next request has at most."""
        if self._fixed is not None:
            return self._fixed
        fitting = min(_BYTES_AT_ONCE // plan.row_bytes, _ELEMENTS_AT_ONCE // max(1, plan.row_elements))
        return max(1, min(self._now, fitting))

    def answered(self, rows: int, seconds: float) -> None:
        """A request of so many rows was answered in this time."""
        if seconds <= _QUICK_SECONDS and rows >= self._now:
            self._now = min(self._most, 2 * rows)

    def was_too_large(self, rows: int) -> None:
        """A request of so many rows was too large: none is as large again."""
        self._most = max(1, min(self._most, rows // 2))
        self._now = min(self._now, self._most)


class Work:
    """The rows of one call, handed out to threads; the first failure ends it for all of them."""

    def __init__(self, plan: Plan, sizes: Sizes, clock: Clock) -> None:
        self._plan, self._sizes, self._clock = plan, sizes, clock
        self._lock = threading.Lock()
        self._next, self._done = 0, dict[int, tuple[int, dict[str, Array]]]()
        self._failure: BaseException | None = None

    def share(self, ask: Ask, concurrency: int) -> None:
        """Ask for all rows, by as many threads as there are requests to send at the same moment."""
        requests = -(-self._plan.rows // self._sizes.choose(self._plan))
        others = [
            threading.Thread(target=self._go_on, args=(ask,), daemon=True)  # Ctrl-C waits for none of them
            for _ in range(min(concurrency, requests) - 1)
        ]
        for thread in others:
            thread.start()
        self._go_on(ask)
        for thread in others:
            thread.join()

    def _go_on(self, ask: Ask) -> None:
        while (part := self._take()) is not None:
            try:
                self._ask(ask, *part)
            except BaseException as error:
                with self._lock:
                    self._failure = self._failure or error
                if not isinstance(error, Exception):  # Ctrl-C in the main thread
                    raise

    def results(self) -> list[tuple[int, dict[str, Array]]]:
        """The outputs of all parts in the order of rows; raises what ended the work."""
        if self._failure is not None:
            raise self._failure
        return [self._done[start] for start in sorted(self._done)]

    def _take(self) -> tuple[int, int] | None:
        with self._lock:
            if self._failure is not None or self._next >= self._plan.rows:
                return None
            start = self._next
            self._next = min(self._plan.rows, start + self._sizes.choose(self._plan))
            return start, self._next

    def _ask(self, ask: Ask, start: int, stop: int) -> None:
        """Ask for these rows; where they are too many at once, for fewer at a time."""
        while start < stop:
            end = min(stop, start + self._sizes.choose(self._plan))
            began = self._clock.now()
            outputs = ask(start, end)
            with self._lock:
                if outputs is None:
                    self._sizes.was_too_large(end - start)
                    continue
                self._done[start] = (end - start, outputs)
                self._sizes.answered(end - start, self._clock.now() - began)
            start = end
