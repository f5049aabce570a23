"""Whose prompt is read next, and how much of it between two steps of the rows that decode. Pure.

A lane decodes first and then reads at most one chunk, so no row waits longer for its next token than a step
and a chunk. Whose chunk it is:

- lower priority first;
- then the owner who has had the fewest tokens since it came back, so that nobody's many prompts keep out
  others' few (start-time fair queueing: who was away does not save up);
- then the prompt with the smaller sum of its tokens and of those that had been read when it came: a short one
  overtakes a long one, until as much as the long one asks for was read before it;
- and after seven chunks the next that it can have is for the one that came first, whatever else holds:
  everybody gets on.

A prompt that was begun keeps its owner's place for a while, so that equal ones are read one after the other.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

_OLDEST_EACH = 8
# As much of a prompt is read before its owner makes room for others' short ones.
_PATIENCE_TOKENS = 512


@dataclass(slots=True, eq=False)
class Ask:
    """A prompt that is not read to its end. `left` tokens of it are to be read; `since` is when it came."""

    owner: str
    priority: int
    left: int
    since: float
    begun: bool = False
    order: int = 0
    rank: int = 0
    done: int = 0
    owner_level: int = 0


class Scheduler:
    """The prompts that wait or are being read."""

    def __init__(self) -> None:
        # In the order in which they came.
        self._asks: dict[Ask, None] = {}
        self._begun: set[Ask] = set()
        self._asking: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._level = 0
        self._read = 0
        self._arrivals = 0
        self._chunks_since_oldest = 0

    @property
    def waiting(self) -> int:
        """Prompts that have not been begun."""
        return len(self._asks) - len(self._begun)

    @property
    def has_asks(self) -> bool:
        """Whether any prompt is not read to its end."""
        return bool(self._asks)

    def add(self, ask: Ask) -> None:
        """Let a prompt wait."""
        self._arrivals += 1
        ask.order, ask.rank = self._arrivals, self._read + ask.left
        if not self._asking[ask.owner]:
            self._served[ask.owner] = max(self._served.get(ask.owner, 0), self._level)
        self._asking[ask.owner] += 1
        self._asks[ask] = None

    def remove(self, ask: Ask) -> None:
        """Forget a prompt, read or not."""
        if ask in self._asks:
            del self._asks[ask]
            self._begun.discard(ask)
            self._asking[ask.owner] -= 1
            if not self._asking[ask.owner]:
                del self._asking[ask.owner]
                self._tidy()

    def can_choose(self, *, has_slot: bool) -> bool:
        """Whether there is a prompt to go on with."""
        return bool(self._asks if has_slot else self._begun)

    def choose(self, *, has_slot: bool) -> Ask | None:
        """Whose chunk is next; one that has not begun needs a slot."""
        candidates = self._asks if has_slot else self._begun
        if not candidates:
            return None
        self._chunks_since_oldest += 1
        oldest = next(iter(self._asks))
        # Where it has no slot yet it is the next that gets one: chunks of others end when slots become free.
        if self._chunks_since_oldest >= _OLDEST_EACH and (has_slot or oldest.begun):
            self._chunks_since_oldest = 0
            return oldest
        levels = self._owner_levels(candidates)
        return min(candidates, key=lambda ask: (ask.priority, levels[ask.owner], ask.rank, ask.order))

    def begin(self, ask: Ask, left: int) -> None:
        """It has a slot, and so many tokens of it are not known from before."""
        self._level = max(self._level, min(self._served[owner] for owner in self._asking))
        self._begun.add(ask)
        ask.begun, ask.owner_level, ask.left = True, self._served[ask.owner], left
        self._served[ask.owner] += left

    def read(self, ask: Ask, tokens: int) -> bool:
        """So many tokens were read; tells whether that was the last of them, and it asks no more."""
        self._read += tokens
        ask.left -= tokens
        ask.done += tokens
        if ask.left <= 0:
            self.remove(ask)
            return True
        return False

    def charge(self, owners: Iterable[str]) -> None:
        """A token was made for each of these."""
        for owner in owners:
            self._served[owner] = self._served.get(owner, self._level) + 1

    def longest_wait(self, now: float) -> float:
        """Seconds for which a prompt has been waiting or read."""
        return max((now - ask.since for ask in islice(self._asks, 1)), default=0.0)

    def _owner_levels(self, asks: Iterable[Ask]) -> dict[str, int]:
        """What owners had, without what is just being read for them, unless that is long."""
        levels: dict[str, int] = {}
        for ask in asks:
            level = self._served[ask.owner]
            if ask.begun:
                level = ask.owner_level + max(ask.done - _PATIENCE_TOKENS, 0)
            levels[ask.owner] = min(level, levels.get(ask.owner, level))
        return levels

    def _tidy(self) -> None:
        """Forget owners who are no better off than anybody new."""
        if not self._asking:
            self._level = max(self._served.values())
        for owner in [owner for owner, level in self._served.items() if level <= self._level]:
            if owner not in self._asking:
                del self._served[owner]
