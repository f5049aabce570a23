"""The seam between an engine and what runs its rows: all that an engine and its lane ask for.

`generation.decoder` stands behind it, on CPUs and on GPUs. Another one, such as a library with attention of
its own, has to keep what is said here, and nothing more: rows of keys and values are addressed by their
slots, rows of one step lie side by side, and who lies where is decided above (`generation.kv.slots`).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Logits: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int64]


class Backend(Protocol):
    """Rows of keys and values, and the runs that fill them; one thread, but for `stop`.

    After an error of `copy` or `swap` the rows they were about hold anything.
    """

    @property
    def slots(self) -> int:
        """How many rows there are."""

    @property
    def places(self) -> int:
        """How many tokens each can hold."""

    @property
    def scored_tokens(self) -> int:
        """How many tokens `score` may be given at once: each has logits of the whole vocabulary."""

    @property
    def cache_bytes(self) -> int:
        """Memory of all keys and values."""

    @property
    def adapters(self) -> Collection[str]:
        """Whose words rows may be beside the model's own."""

    def prefill(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        """Append `tokens` to a slot that holds `past` already; returns the logits behind the last one.

        `is_wanted` is asked when `stop` can end the run already. Raises DeadlineExceededError where it was
        stopped: the slot holds what it held; other ServingErrors where the model or its device failed.
        """

    def score(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        """As `prefill`, with the logits behind each of the tokens [tokens, vocabulary]."""

    def decode(
        self, tokens: Sequence[int], lengths: Ids, first: int = 0, adapter: str | None = None
    ) -> Logits:
        """One token for each row from the slot `first` on, which have these lengths before it; their logits.

        The next call may write to the same memory. Raises as `prefill` does.
        """

    def copy(self, source: int, target: int, length: int) -> None:
        """Give `target` the first `length` places of `source`. Raises ServingError: the device failed."""

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:
        """Exchange what two slots hold, whose lengths these are. Raises as `copy` does."""

    def stop(self) -> None:
        """End the run that is under way, if any; on any thread."""
