"""Arithmetic of known numbers: what the shape of a tensor becomes on its way into a Reshape."""

import math
import struct
from collections.abc import Callable

from modelservice_runtime.onnx.rows.sizes import ONE, ZERO, Number, Size, Symbols, quotient, times

# The types in which the sizes of tensors are computed; others are too short for them.
_INT32, _INT64, _BOOL = 6, 7, 9
_WHOLE = frozenset({_INT32, _INT64})
_FLOAT, _DOUBLE = 1, 11
_LONG_FLOATS = frozenset({_FLOAT, _DOUBLE})
# Whole numbers below are exact in every type that sizes are computed in.
_EXACT = 1 << 24


def calculate(symbols: Symbols, operator: str, operands: tuple[Number, ...]) -> Number:
    """An elementwise operator of known numbers; a symbol of its own where the result is not known."""
    known = _CALCULATIONS.get(operator)
    result = None if known is None else known(*operands)
    if result is not None and (result in operands or not _may_overflow(result)):
        return result
    signed = result is not None or operator not in _KEEPING_SIGNS
    positive = not signed and all(_is_positive(operand) for operand in operands)
    floating = any(_is_float(operand) for operand in operands)
    kind = " of floats" if floating else ""
    return symbols.derived(operator + kind, *operands, is_size=positive, is_float=floating)


def _may_overflow(number: Number) -> bool:
    """Beyond the smallest type in which sizes are computed."""
    return isinstance(number, Size) and abs(number.factor) >= 1 << 31


def cast(symbols: Symbols, number: Number, to: int) -> Number:
    """A known number in another type."""
    known = _cast_constant(number, to) if _is_constant(number) else _cast_symbol(symbols, number, to)
    if known is not None:
        return known
    return symbols.derived(f"cast to {to}", number, is_size=False, is_float=True)


def _is_constant(number: Number) -> bool:
    return isinstance(number, float) or number.constant is not None


def _cast_constant(number: Number, to: int) -> Number | None:
    if isinstance(number, float):
        if to == _DOUBLE or (to == _FLOAT and _is_fp32(number)):
            return number
        return Size(int(number)) if to in _WHOLE and abs(number) < _EXACT else None
    if to in _LONG_FLOATS and abs(number.factor) < _EXACT:
        return float(number.factor)
    if to == _INT64 or (to == _INT32 and not _may_overflow(number)):
        return number
    return number if to == _BOOL and number in (ZERO, ONE) else None


def _cast_symbol(symbols: Symbols, number: Number, to: int) -> Number | None:
    assert isinstance(number, Size)
    whole = symbols.float_origin(number)
    if to in _LONG_FLOATS:
        return symbols.as_float(whole or number, to) if number.factor < _EXACT else None
    if to not in _WHOLE:
        return None
    if number.is_float:  # beyond the type's range comes out what nobody says
        return whole or symbols.derived(f"whole {to}", number, is_size=False)
    return number if to == _INT64 or not _may_overflow(number) else None


def _is_fp32(number: float) -> bool:
    """Some FP32 is exactly this number."""
    return abs(number) < _EXACT and struct.unpack("<f", struct.pack("<f", number))[0] == number


def _is_float(number: Number) -> bool:
    return isinstance(number, float) or number.is_float


def _is_positive(number: Number) -> bool:
    """Never negative, and not so large that sums wrap around."""
    return number >= 0 if isinstance(number, float) else number.is_size and number.factor < _EXACT


# Their results are no sizes only where an operand is none.
_KEEPING_SIGNS = frozenset(
    {"Add", "Mul", "Div", "Max", "Min", "Floor", "Ceil", "Identity", "Sqrt", "Mod", "Abs"}
)


def _whole(*numbers: Number) -> tuple[int, ...] | None:
    found = [number.constant for number in numbers if isinstance(number, Size)]
    known = tuple(number for number in found if number is not None)
    return known if len(known) == len(numbers) else None


def _are_same(a: Number, b: Number) -> bool:
    """Their difference is zero: not known of what may be infinite, no number, or wrapped around."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, float) and a == b and math.isfinite(a)
    return a == b and (a.constant is not None or (a.is_size and not a.is_float))


def _add(a: Number, b: Number) -> Number | None:
    if a == ZERO or b == ZERO:
        return b if a == ZERO else a
    both = _whole(a, b)
    return None if both is None else Size(both[0] + both[1])


def _subtract(a: Number, b: Number) -> Number | None:
    if _are_same(a, b):
        return ZERO if isinstance(a, Size) else 0.0
    if b == ZERO:
        return a
    both = _whole(a, b)
    return None if both is None else Size(both[0] - both[1])


def _multiply(a: Number, b: Number) -> Number | None:
    if isinstance(a, float) or a.is_float or isinstance(b, float) or b.is_float:
        return _exact_product(a, b)
    return times(a, b)


def _exact_product(a: Number, b: Number) -> Number | None:
    if a == 1.0 or b == 1.0:
        return b if a == 1.0 else a
    if isinstance(a, float) and isinstance(b, float) and a.is_integer() and b.is_integer():
        return a * b if abs(a * b) < _EXACT else None
    return None


def _divide(a: Number, b: Number) -> Number | None:
    if b in (ONE, 1.0):
        return a
    if isinstance(a, Size) and isinstance(b, Size):
        both = _whole(a, b)
        if both is not None:
            return Size(int(both[0] / both[1])) if both[1] and abs(both[0]) < _EXACT else None
        return None if a.is_float or b.is_float else quotient(a, b)
    if isinstance(a, float) and isinstance(b, float) and b and (a / b).is_integer() and a.is_integer():
        return a / b
    return None


def _modulo(a: Number, b: Number) -> Number | None:
    both = _whole(a, b)
    return Size(both[0] % both[1]) if both is not None and min(both) >= 0 and both[1] else None


def _floor(a: Number) -> Number | None:
    return float(math.floor(a)) if isinstance(a, float) and abs(a) < _EXACT else None


def _ceil(a: Number) -> Number | None:
    return float(math.ceil(a)) if isinstance(a, float) and abs(a) < _EXACT else None


def _equal(a: Number, b: Number) -> Number | None:
    if _are_same(a, b):
        return ONE
    if isinstance(a, float) or isinstance(b, float):
        return ZERO if isinstance(a, float) and isinstance(b, float) and a != b else None
    both = _whole(a, b)
    negative_and_size = (a.factor < 0 and not a.symbols and b.is_size) or (
        b.factor < 0 and not b.symbols and a.is_size
    )
    return ZERO if both is not None or negative_and_size else None


def _compare(test: Callable[[int, int], bool]) -> Callable[[Number, Number], Number | None]:
    def compared(a: Number, b: Number) -> Number | None:
        both = _whole(a, b)
        return None if both is None else Size(int(test(*both)))

    return compared


def _not(a: Number) -> Number | None:
    return {ZERO: ONE, ONE: ZERO}.get(a) if isinstance(a, Size) else None


def _and(a: Number, b: Number) -> Number | None:
    if ZERO in (a, b):
        return ZERO
    return ONE if a == b == ONE else None


def _or(a: Number, b: Number) -> Number | None:
    if ONE in (a, b):
        return ONE
    return ZERO if a == b == ZERO else None


def _where(condition: Number, a: Number, b: Number) -> Number | None:
    if a == b:
        return a
    return {ONE: a, ZERO: b}.get(condition) if isinstance(condition, Size) else None


def _largest(*numbers: Number) -> Number | None:
    known = _whole(*numbers)
    return Size(max(known)) if known else (numbers[0] if len(set(numbers)) == 1 else None)


def _smallest(*numbers: Number) -> Number | None:
    known = _whole(*numbers)
    return Size(min(known)) if known else (numbers[0] if len(set(numbers)) == 1 else None)


def _identity(a: Number) -> Number | None:
    return a


def _negative(a: Number) -> Number | None:
    return -a if isinstance(a, float) else times(Size(-1), a)


_CALCULATIONS: dict[str, Callable[..., Number | None]] = {
    "Add": _add, "Sub": _subtract, "Mul": _multiply, "Div": _divide, "Mod": _modulo, "Floor": _floor,
    "Ceil": _ceil, "Equal": _equal, "Not": _not, "And": _and, "Or": _or, "Where": _where, "Max": _largest,
    "Min": _smallest, "Identity": _identity, "Neg": _negative,
    "Greater": _compare(lambda a, b: a > b), "GreaterOrEqual": _compare(lambda a, b: a >= b),
    "Less": _compare(lambda a, b: a < b), "LessOrEqual": _compare(lambda a, b: a <= b),
}  # fmt: skip
