"""Kubernetes quantities (`500m`, `2Gi`): exact values and the form in which the API server stores them.

Follows `k8s.io/apimachinery/pkg/api/resource`: values are rounded up to the next 1e-9, binary ones end
at 2^63 - 1; a quantity keeps the family of its suffix (decimal, binary, exponent).
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal

_PATTERN = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_SMALLEST = Decimal("1e-9")
_LARGEST = Decimal(2**63 - 1)
# 64 digits before and 64 after the point, times 1024^6 or 10^999: nothing is rounded before we say so.
_EXACT = Context(prec=1200, Emax=10_000, Emin=-10_000)


def parse_quantity(text: str) -> Decimal:
    """Return the exact value of a quantity.

    Raises:
        ValueError: `text` is not a quantity.

    """
    return _parse(text)[0]


def canonical_quantity(text: str) -> str:
    """Return the form in which the API server stores a quantity: `1000m` -> `1`, `2.5Gi` -> `2560Mi`.

    The API server keeps some other spellings as they are (`1.234`, `007`, `1E3`); it stores what this
    function returns unchanged, and both spellings of one quantity have the same canonical form.

    Raises:
        ValueError: `text` is not a quantity.

    """
    value, suffix = _parse(text)
    if value == 0:
        return "0"
    if suffix in _BINARY and abs(value) >= 1024 and value == int(value):
        return _format_binary(int(value))
    mantissa, power = _split_thousands(value)
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix not in _BINARY:
        return f"{mantissa}e{power}" if power else str(mantissa)
    largest = min(power, max(_DECIMAL_SUFFIX))
    return f"{mantissa * 10 ** (power - largest)}{_DECIMAL_SUFFIX[largest]}"


def _parse(text: str) -> tuple[Decimal, str]:
    """Return (value, suffix as written)."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a quantity such as 500m, 2 or 1.5Gi, got {text!r}")
    suffix = match["suffix"] or ""
    number = Decimal(match["number"])
    if suffix in _BINARY:
        value = _EXACT.multiply(number, Decimal(1024 ** _BINARY[suffix]))
    else:
        power = int(match["exponent"]) if match["exponent"] else _DECIMAL[suffix]
        value = _EXACT.scaleb(number, power)
    value = value.quantize(_SMALLEST, ROUND_UP, _EXACT)
    if suffix in _BINARY:
        value = min(value, _LARGEST)
    return (_EXACT.minus(value) if match["sign"] == "-" else value), suffix


def _format_binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < max(_BINARY_SUFFIX):
        value //= 1024
        power += 1
    return f"{value}{_BINARY_SUFFIX.get(power, '')}"


def _split_thousands(value: Decimal) -> tuple[int, int]:
    """Return (mantissa, power of ten): the power is the largest multiple of three with a whole mantissa."""
    sign, digits, exponent = value.normalize(_EXACT).as_tuple()
    assert isinstance(exponent, int)
    power = exponent - exponent % 3
    mantissa = int("".join(map(str, digits))) * 10 ** (exponent - power)
    return (-mantissa if sign else mantissa), power
