"""What a command prints, before it is known where: sentences and tables. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts below their names."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Part = str | Table


def as_text(parts: Sequence[Part]) -> str:
    """Return the parts as plain text, an empty line between two of them."""
    return "\n\n".join(part if isinstance(part, str) else "\n".join(_lines(part)) for part in parts)


def _lines(table: Table) -> Iterator[str]:
    """Columns as wide as their longest text, two spaces apart; the last one is as long as it is."""
    rows = (table.header, *table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
