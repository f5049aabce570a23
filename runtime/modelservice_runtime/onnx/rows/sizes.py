"""Sizes of dimensions as products: a whole number times symbols, so that reshapes can be followed exactly.

A symbol stands for a number that only a request tells. `ROWS` is the number of rows in the batch; every
other symbol says whether it depends on it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

# Products beyond come from no exporter.
_MAX_SYMBOLS = 32
_MAX_FACTOR = 1 << 63


class MixingError(Exception):
    """Rows cannot be told apart behind a node; `str(error)` says why, to follow the node's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """An unknown number; equal only to itself.

    `is_size`: it is never negative. `is_float`: it is computed as a float, so it may not be whole.
    """

    number: int
    of_batch: bool = False
    is_size: bool = True
    is_float: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """`factor` times all of `symbols`, which stand in the order of their numbers."""

    factor: int
    symbols: tuple[Symbol, ...] = ()

    @property
    def of_batch(self) -> bool:
        """Depends on which requests, or how many, are in the batch."""
        return any(symbol.of_batch for symbol in self.symbols)

    @property
    def is_size(self) -> bool:
        """Is never negative."""
        return self.factor >= 0 and all(symbol.is_size for symbol in self.symbols)

    @property
    def is_float(self) -> bool:
        """Is computed as a float."""
        return any(symbol.is_float for symbol in self.symbols)

    @property
    def is_whole(self) -> bool:
        """Is a whole number that is never negative."""
        return self.is_size and not self.is_float

    @property
    def constant(self) -> int | None:
        """The number itself, where no symbol is in it."""
        return None if self.symbols else self.factor


# What an element of a small tensor is; floats are constants.
Number: TypeAlias = Size | float

ZERO = Size(0)
ONE = Size(1)
ROWS = Size(1, (Symbol(0, of_batch=True),))


def times(*sizes: Size) -> Size:
    """The product. Raises MixingError where it is larger than any tensor's size."""
    factor = 1
    symbols: list[Symbol] = []
    for size in sizes:
        factor *= size.factor
        symbols += size.symbols
    if not factor:
        return ZERO
    if len(symbols) > _MAX_SYMBOLS or abs(factor) >= _MAX_FACTOR:
        raise MixingError("it computes a size that no tensor has")
    return Size(factor, tuple(sorted(symbols, key=lambda symbol: symbol.number)))


def quotient(dividend: Size, divisor: Size) -> Size | None:
    """The exact quotient, where it can be seen to be a whole number for all values of the symbols."""
    if not divisor.factor or dividend.factor % divisor.factor:
        return None
    left = list(dividend.symbols)
    for symbol in divisor.symbols:
        if symbol not in left:
            return None
        left.remove(symbol)
    return Size(dividend.factor // divisor.factor, tuple(left))


@dataclass(slots=True)
class Symbols:
    """Makes symbols; what is derived in the same way from the same numbers gets the same symbol."""

    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _derived: dict[tuple[object, ...], Size] = field(default_factory=dict)
    _inner: dict[Symbol, Size] = field(default_factory=dict)

    def fresh(self, *, of_batch: bool = False, is_size: bool = True, is_float: bool = False) -> Size:
        """A number that nothing else is known to equal."""
        return Size(1, (Symbol(next(self._numbers), of_batch, is_size, is_float),))

    def derived(self, how: str, *operands: Number, is_size: bool = True, is_float: bool = False) -> Size:
        """The result of a function, named by `how`, of `operands`."""
        key = (how, *operands)
        if key not in self._derived:
            of_batch = any(isinstance(operand, Size) and operand.of_batch for operand in operands)
            self._derived[key] = self.fresh(of_batch=of_batch, is_size=is_size, is_float=is_float)
        return self._derived[key]

    def as_float(self, size: Size, kind: int) -> Size:
        """The same number as a float of some type, whose arithmetic is another one."""
        floating = self.derived(f"float {kind}", size, is_size=size.is_size, is_float=True)
        if not size.is_float:
            self._inner[floating.symbols[0]] = size
        return floating

    def float_origin(self, number: Number) -> Size | None:
        """The integer that was made a float, where `number` is one."""
        if isinstance(number, Size) and number.factor == 1 and len(number.symbols) == 1:
            return self._inner.get(number.symbols[0])
        return None

    def mark(self) -> int:
        """A number between those of the symbols made so far and those of later ones."""
        return next(self._numbers)
