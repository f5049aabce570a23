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
    return "\n\n".join(
        printable(part) if isinstance(part, str) else "\n".join(_lines(printable_table(part)))
        for part in parts
    )


def printable(text: str) -> str:
    """Return lines of text with all escaped that could move a cursor, recolour or reorder them.

    What a cluster says was written by anybody: codes in it must not reach a terminal.
    """
    return "\n".join(map(one_line, text.split("\n")))


def one_line(text: str) -> str:
    """Return the same as one line."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_table(table: Table) -> Table:
    """Return the table with each cell on one line."""
    return Table(table.header, tuple(tuple(map(one_line, row)) for row in table.rows))


def _lines(table: Table) -> Iterator[str]:
    """Columns as wide as their longest text, two spaces apart; the last one is as long as it is."""
    rows = (table.header, *table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
