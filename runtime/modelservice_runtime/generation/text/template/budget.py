"""What one rendering may cost, in steps that are counted and not in seconds: the same on every machine."""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from jinja2 import Undefined

# A template of today spends some hundred steps on a conversation, about a microsecond each.
_STEPS = 100_000
_STEPS_PER_PART = 100
# With much input a template still must not take seconds of the server.
_MAX_STEPS = 2_000_000
# Characters that cost one step: to copy them.
_CHARACTERS_SHIFT = 8
# How often all characters of the conversation may be copied.
_COPIES = 16
_MAX_CHARACTERS = 16_000_000


class TemplateTooCostlyError(Exception):
    """A rendering asked for more than it may cost."""


class Budget:
    """The steps that are left to one rendering."""

    __slots__ = ("_steps",)

    def __init__(self, parts: int, characters: int) -> None:
        steps = min(_STEPS + _STEPS_PER_PART * parts, _MAX_STEPS)
        self._steps = steps + (_COPIES * characters >> _CHARACTERS_SHIFT)

    def spend(self, steps: int) -> None:
        """Take steps away. Raises TemplateTooCostlyError."""
        self._steps -= steps
        if self._steps < 0:
            raise TemplateTooCostlyError("it takes too many steps")

    def spend_characters(self, characters: int) -> None:
        """Take away what a text of this length costs, before it is made. Raises TemplateTooCostlyError."""
        if characters > _MAX_CHARACTERS:
            raise TemplateTooCostlyError(f"it makes a text of {characters} characters")
        self.spend(1 + (characters >> _CHARACTERS_SHIFT))


CURRENT: ContextVar[Budget] = ContextVar("budget")


def budget_for(values: object) -> Budget:
    """A budget that grows with the conversation: with its parts, and with the length of its texts."""
    parts = characters = 0
    for part in walk(values):
        parts += 1
        if isinstance(part, str):
            characters += len(part)
    return Budget(parts, characters)


def walk(value: object) -> Iterator[object]:
    """All parts of nested lists and objects, itself first; a list that is there twice comes twice."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, dict):
            waiting.extend(part)
            waiting.extend(part.values())
        elif isinstance(part, list | tuple):
            waiting.extend(part)


def spend_on_all_of(value: object) -> None:
    """Take away what it costs to look at every part of a value."""
    budget = CURRENT.get()
    if isinstance(value, str):
        budget.spend_characters(len(value))
        return
    for part in walk(value):
        if isinstance(part, str):
            budget.spend_characters(len(part))
        elif isinstance(part, dict | list | tuple):
            budget.spend(1 + len(part))
        elif isinstance(part, int | float | None | Undefined):
            budget.spend(1)
        else:  # what it holds cannot be seen
            raise TemplateTooCostlyError(f"it uses a {type(part).__name__} as a value")


def spend_on_items_of(values: Iterable[object]) -> Iterable[object]:
    """The same values, paid for: at once where their number is known, one by one otherwise."""
    if isinstance(values, str | dict | list | tuple | range):
        CURRENT.get().spend(1 + len(values))
        return values
    # What is nothing holds nothing, to Jinja2.
    return _paid_one_by_one(values) if values else values


def _paid_one_by_one(values: Iterable[object]) -> Iterator[object]:
    budget = CURRENT.get()
    for value in values:
        budget.spend(1)
        yield value
