"""Types of command line values; each raises argparse.ArgumentTypeError with a sentence."""

import argparse
import contextlib
import re

# More than any machine has cores for: a slip of the finger must not fill its memory with processes.
MAX_WORKERS = 256
_MAX_WHOLE = 10**15
_BYTE_UNITS = {"": 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}
_BYTES = re.compile(r"([1-9][0-9]{0,14})(|Ki|Mi|Gi|Ti)")


def parse_port(text: str) -> int:
    """A TCP port; 0 lets the kernel choose."""
    return _parse_whole(text, 0, 65535, "a port from 0 to 65535")


def parse_optional_port(text: str) -> int | None:
    """A TCP port, or `off` (None)."""
    return None if text == "off" else _parse_whole(text, 0, 65535, "'off' or a port from 0 to 65535")


def parse_count(text: str) -> int:
    """A whole number of at least 1."""
    return _parse_whole(text, 1, _MAX_WHOLE, "a whole number of at least 1")


def parse_worker_count(text: str) -> int:
    """A number of processes."""
    return _parse_whole(text, 1, MAX_WORKERS, f"a whole number from 1 to {MAX_WORKERS}")


def parse_index(text: str) -> int:
    """A whole number of at least 0."""
    return _parse_whole(text, 0, _MAX_WHOLE, "a whole number of at least 0")


def _parse_whole(text: str, lowest: int, highest: int, expected: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else -1
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def parse_bytes(text: str) -> int:
    """A size: bytes, or with a unit as in 512Mi or 8Gi."""
    match = _BYTES.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size in bytes such as 1048576, 512Mi or 8Gi")
    return int(match[1]) * _BYTE_UNITS[match[2]]


def parse_duration(text: str) -> float:
    """A time of at least 0, in the flag's own unit."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of at least 0")
    return value


def parse_optional_duration(text: str) -> float | None:
    """A time of more than 0, in the flag's own unit, or `off` (None)."""
    if text == "off":
        return None
    with contextlib.suppress(argparse.ArgumentTypeError):
        if value := parse_duration(text):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a time of more than 0, or 'off'")


def parse_rate(text: str) -> float:
    """A share: `off`, `all`, or a number from 0 to 1."""
    named = {"off": 0.0, "all": 1.0}.get(text)
    if named is not None:
        return named
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 'off', 'all' or a share from 0 to 1")
    return value
