"""Which slot holds what: rows that decode lie first, and what has ended is kept until its place is needed.

Those of one adapter lie side by side, for they share their steps.

Pure: every change is told as a list of moves for the decoder to make. A prompt that begins as something kept
does takes that over, in place or by a copy: copying 512 tokens takes some milliseconds, reading them seconds.
Only for the same owner, for the time it takes tells what others have asked, and for the same adapter, whose
keys and values are others than the model's own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

# Shorter beginnings are not worth a copy; nearly all prompts of a model share some tokens of its template.
_MIN_REUSED = 8


class Use(Enum):
    """What a slot is used for. KEPT: by nobody, and what it holds may serve again. HELD: by a paused row."""

    EMPTY = "empty"
    KEPT = "kept"
    FILLING = "filling"
    HELD = "held"
    DECODING = "decoding"


_IDLE = (Use.EMPTY, Use.KEPT)


@dataclass(frozen=True, slots=True)
class Swap:
    """Exchange two slots that hold so many tokens."""

    one: int
    other: int
    one_length: int
    other_length: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Give `target` the first `length` tokens of `source`."""

    source: int
    target: int
    length: int


Move: TypeAlias = Swap | Copy


@dataclass(slots=True, eq=False)
class Held:
    """What a slot holds; it moves from slot to slot. `tokens` are those whose keys and values are there."""

    slot: int
    use: Use = Use.EMPTY
    tokens: list[int] = field(default_factory=list)
    owner: str = ""
    adapter: str | None = None
    used_at: int = 0


class Slots:
    """All slots of a decoder."""

    def __init__(self, count: int, *, keeps: bool = True) -> None:
        self._held = [Held(slot) for slot in range(count)]
        self._decoding = 0
        # Rows that decode, by adapter, in the order in which they lie.
        self._groups: dict[str | None, int] = {}
        self._keeps = keeps
        self._clock = 0

    @property
    def decoding(self) -> int:
        """Rows that decode: they lie in the slots from 0 to this."""
        return self._decoding

    @property
    def adapters(self) -> Collection[str | None]:
        """Of the rows that decode; None for the model itself."""
        return self._groups.keys()

    @property
    def has_idle(self) -> bool:
        """Whether a prompt can have a slot."""
        return any(held.use in _IDLE for held in self._held)

    @property
    def tokens_in_use(self) -> int:
        """Tokens of all rows, without what is kept."""
        return sum(len(held.tokens) for held in self._held if held.use not in _IDLE)

    def claim(
        self, prompt: Sequence[int], owner: str, adapter: str | None = None, *, reuses: bool = True
    ) -> tuple[Held, list[Move]] | None:
        """A slot to read a prompt into, which holds its beginning where that is known; None without one.

        At least the last token is left to be read, and all of them where it `reuses` nothing.
        """
        idle = [held for held in self._held if held.use in _IDLE]
        if not idle:
            return None
        source, length = self._find_beginning(prompt, owner, adapter) if reuses else (None, 0)
        target, moves = self._choose(idle, source, length)
        del target.tokens[length:]
        if source is not None and source is not target:
            target.tokens[:] = source.tokens[:length]
        target.use, target.owner, target.adapter = Use.FILLING, owner, adapter
        self._touch(target)
        return target, moves

    def start(self, held: Held) -> list[Move]:
        """Let a filled or held row decode, behind the others of its adapter."""
        free = self._held[self._decoding]
        moves: list[Move] = []
        for first, _ in reversed(self._groups_from(held.adapter)[1:]):
            moves += self._exchange(free, self._held[first])
        moves += self._exchange(held, free)
        held.use = Use.DECODING
        self._groups[held.adapter] = self._groups.get(held.adapter, 0) + 1
        self._decoding += 1
        return moves

    def hold(self, held: Held) -> list[Move]:
        """Let a row decode no more for now."""
        moves = self._leave(held)
        held.use = Use.HELD
        return moves

    def end(self, held: Held) -> list[Move]:
        """Give up a row; what it holds is kept."""
        moves = self._leave(held)
        held.use = Use.KEPT if self._keeps and held.tokens else Use.EMPTY
        if held.use is Use.EMPTY:
            held.tokens.clear()
        self._touch(held)
        return moves

    def forget(self) -> None:
        """Keep nothing of what nobody uses."""
        for held in self._held:
            if held.use is Use.KEPT:
                held.use = Use.EMPTY
                held.tokens.clear()

    def _find_beginning(
        self, prompt: Sequence[int], owner: str, adapter: str | None
    ) -> tuple[Held | None, int]:
        """Who holds the most of the prompt's beginning; of equals one that nobody uses."""
        if not self._keeps:
            return None, 0
        asked = owner, adapter
        own = [held for held in self._held if held.tokens and (held.owner, held.adapter) == asked]
        wanted = list(prompt)
        found = [(_common(held.tokens, wanted), held.use is Use.KEPT, held.slot) for held in own]
        length, _, slot = max(found, default=(0, False, 0))
        length = min(length, len(prompt) - 1)
        return (self._held[slot], length) if length >= _MIN_REUSED else (None, 0)

    def _choose(self, idle: list[Held], source: Held | None, length: int) -> tuple[Held, list[Move]]:
        if source is None:
            return _oldest(idle), []
        others = [held for held in idle if held is not source]
        loses_little = 2 * length >= len(source.tokens)
        if source.use is Use.KEPT and (loses_little or not others):
            return source, []
        target = _oldest(others)
        return target, [Copy(source.slot, target.slot, length)]

    def _leave(self, held: Held) -> list[Move]:
        if held.use is not Use.DECODING:
            return []
        moves: list[Move] = []
        for first, rows in self._groups_from(held.adapter):
            moves += self._exchange(held, self._held[first + rows - 1])
        self._groups[held.adapter] -= 1
        if not self._groups[held.adapter]:
            del self._groups[held.adapter]
        self._decoding -= 1
        return moves

    def _groups_from(self, adapter: str | None) -> list[tuple[int, int]]:
        """The first slot and the rows of an adapter, and of each that lies behind it."""
        found: list[tuple[int, int]] = []
        first = 0
        for one, rows in self._groups.items():
            if found or one == adapter:
                found.append((first, rows))
            first += rows
        return found

    def _exchange(self, one: Held, other: Held) -> list[Move]:
        """Let two change places; what nobody needs is not carried."""
        if one is other:
            return []
        first, second = len(one.tokens), len(other.tokens)
        move: Move
        if not second:
            move = Copy(one.slot, other.slot, first)
        elif not first:
            move = Copy(other.slot, one.slot, second)
        else:
            move = Swap(one.slot, other.slot, first, second)
        one.slot, other.slot = other.slot, one.slot
        self._held[one.slot], self._held[other.slot] = one, other
        return [move]

    def _touch(self, held: Held) -> None:
        self._clock += 1
        held.used_at = self._clock


def _oldest(idle: Sequence[Held]) -> Held:
    """Empty ones first, and of those the one nearest to the rows that decode."""
    return min(idle, key=lambda held: (held.use is Use.KEPT, held.used_at if held.tokens else 0, held.slot))


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens two begin with alike; slices are compared many times as fast as tokens one by one."""
    alike, end = 0, min(len(one), len(other))
    while alike < end:
        middle = (alike + end + 1) // 2
        if one[alike:middle] == other[alike:middle]:
            alike = middle
        else:
            end = middle - 1
    return alike
