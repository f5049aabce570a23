"""Which adapter's rows decode next. Pure.

An adapter is active for a whole run, so rows of different ones, and those of the model itself, cannot share a
step. Each that has rows gets one step in a round, the one that has waited longest first; a piece of a prompt
is read between two rounds. So nobody waits for more than one step of each other adapter and one piece.
"""

from collections.abc import Collection


class Turns:
    """Whose turn it is; an adapter of None is the model itself."""

    def __init__(self) -> None:
        self._steps = 0
        self._round_began = 0
        self._last: dict[str | None, int] = {}

    def take(self, adapters: Collection[str | None]) -> tuple[str | None, bool]:
        """The adapter, of those that have rows, whose step is next, and whether that ends a round."""
        chosen = min(adapters, key=lambda one: self._last.get(one, 0))
        self._steps += 1
        self._last[chosen] = self._steps
        is_last = all(self._last.get(one, 0) > self._round_began for one in adapters)
        if is_last:
            self._round_began = self._steps
        return chosen, is_last
