"""What the two sides of a request say to each other, in turn. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Fields:
    """A head, or trailers."""

    headers: Sequence[tuple[bytes, bytes]]
    is_last: bool


@dataclass(slots=True)
class Data:
    """A part of a body; it grows while nobody takes it, within the window of the stream."""

    content: bytearray = field(default_factory=bytearray)
    window_bytes: int = 0
    """What of the sender's window it takes, padding included; to be given back."""
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The end before the end."""

    code: int
    is_last: bool = True


Message = Fields | Data | Reset
