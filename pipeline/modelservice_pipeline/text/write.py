"""Tokens to texts inside a graph: the bytes of all tokens, made valid UTF-8, joined to one text a row."""

from collections.abc import Sequence

import numpy as np

from modelservice_pipeline.text.characters import positions, shift_left, shift_right
from modelservice_pipeline.text.decoders import Spelling
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.spans import last_before

_LENGTHS = np.array([1] * 0x80 + [0] * 0x42 + [2] * 30 + [3] * 16 + [4] * 5 + [0] * 11)
"""By the first byte of a character, its length in UTF-8; 0 for bytes that begin none."""
_SECONDS = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}
_BAD = "\N{REPLACEMENT CHARACTER}"


def write_texts(graph: Graph, ids: Value, spelling: Spelling) -> Value:
    """Return the texts of tokens [N, S]; [N].

    Bytes that are no UTF-8 become U+FFFD, as many as the library writes. Numbers that are no token, such as
    -1, and special tokens are left out.
    """
    vocabulary = len(spelling.first)
    skipped = np.array([number in spelling.skipped for number in range(vocabulary)])
    within = (ids >= 0) & (ids < vocabulary)
    known = graph.where(within, ids, 0)
    shown = within & ~graph.constant(skipped).gather(known)
    places = positions(shown.reshape(-1))
    tokens = known.reshape(-1).gather(places)
    rows = places / graph.op("Max", ids.size(1), 1)
    later = shift_right(rows, -1).equals(rows).cast(INT64)
    numbers, owners = _spread(graph, tokens + later * vocabulary, [*spelling.first, *spelling.later])
    rows = rows.gather(owners)
    of_byte = _of_bytes(graph, spelling, tokens.gather(owners))
    texts, rows = _read_utf8(graph, numbers, rows, of_byte, spelling)
    for _ in range(spelling.stripped):
        blank = ~shift_right(rows, -1).equals(rows) & graph.op("Equal", texts, graph.strings([" "]))
        texts, rows = texts.compress(~blank), rows.compress(~blank)
    return join_rows(graph, texts, rows, ids.size(0))


def _of_bytes(graph: Graph, spelling: Spelling, tokens: Value) -> Value:
    flags = np.array([number in spelling.is_byte for number in range(len(spelling.first))])
    return graph.constant(flags).gather(tokens)


def _spread(graph: Graph, tokens: Value, spelled: Sequence[bytes]) -> tuple[Value, Value]:
    """Return the bytes of all tokens one after another, and the place of the token of each."""
    lengths = graph.constant(np.array([len(one) for one in spelled])).gather(tokens)
    offsets = graph.constant(np.cumsum([0, *map(len, spelled)])).gather(tokens)
    content = graph.constant(np.frombuffer(b"".join(spelled) + b"\0", np.uint8).astype(np.int64))
    starts = lengths.cumulate() - lengths
    some = lengths > 0
    total = lengths.sum()
    marks = graph.op(
        "ScatterElements",
        graph.full(total, 0),
        starts.compress(some),
        graph.full(starts.compress(some).size(0), 1),
    )
    owners = positions(some).gather(marks.cumulate() - 1)
    return content.gather(graph.range(total) - starts.gather(owners) + offsets.gather(owners)), owners


def _read_utf8(
    graph: Graph, numbers: Value, rows: Value, of_byte: Value, spelling: Spelling
) -> tuple[Value, Value]:
    """Return the characters of bytes [B] as texts, and their rows."""
    length = graph.constant(_LENGTHS).gather(numbers)
    span = _valid_bytes(graph, numbers, rows, length)
    here = graph.range(numbers.size(0))
    lead = length > 0
    owner = graph.op("Max", last_before(lead), 0)
    covered = (here - owner < span.gather(owner)) & (lead.cumulate() > 0)
    heads = lead | ~covered
    good = lead & span.equals(length)
    if spelling.is_byte:
        good, heads = _fail_whole_runs(graph, of_byte, rows, good, heads)
    strings = graph.strings([*(bytes([byte]) for byte in range(256)), b"", _BAD.encode()])
    text = strings.gather(graph.where(good, numbers, 257))
    following, left = numbers, graph.where(good, length, 1)
    for place in range(1, 4):
        following = shift_left(following, 0)
        text = graph.op("StringConcat", text, strings.gather(graph.where(left > place, following, 256)))
    return text.compress(heads), rows.compress(heads)


def _valid_bytes(graph: Graph, numbers: Value, rows: Value, length: Value) -> Value:
    """Return how many bytes from each first one on may be a character: as long as it is, if it is one."""
    lows, highs = np.full(256, 0x80), np.full(256, 0xBF)
    for lead, bounds in _SECONDS.items():
        lows[lead], highs[lead] = bounds
    low, high = (graph.constant(table).gather(numbers) for table in (lows, highs))
    span = graph.where(length > 0, 1, 0)
    following, row = numbers, rows
    for place in range(1, 4):
        following, row = shift_left(following, 0), shift_left(row, -1)
        fits = (following >= low) & (following <= high) & row.equals(rows)
        span = span + (fits & (length > place) & span.equals(place)).cast(INT64)
        low, high = graph.value(0x80), graph.value(0xBF)
    return span


def _fail_whole_runs(
    graph: Graph, of_byte: Value, rows: Value, good: Value, heads: Value
) -> tuple[Value, Value]:
    """Where bytes that follow one another are not all valid, each of them is wrong."""
    same = shift_right(of_byte.cast(INT64), -1).equals(of_byte.cast(INT64)) & shift_right(rows, -1).equals(
        rows
    )
    run = (~same).cumulate() - 1
    wrong = (heads & ~good & of_byte).cast(INT64)
    failed = graph.op("ScatterElements", graph.full(run.size(0), 0), run, wrong, reduction="max")
    bad = failed.gather(run).equals(1)
    return good & ~bad, heads | bad


def join_rows(graph: Graph, texts: Value, rows: Value, count: Value) -> Value:
    """Return the texts [T] of each row as one, [count]; `rows` [T] ascend."""
    counts = graph.op(
        "ScatterElements", graph.full(count, 0), rows, graph.full(rows.size(0), 1), reduction="add"
    )
    place = graph.range(rows.size(0)) - (counts.cumulate() - counts).gather(rows)
    width = graph.op("Max", graph.concat(counts, np.array([1])).max(), 1)
    which = graph.op(
        "ScatterND",
        graph.full(graph.concat(count.reshape(1), width.reshape(1)), 0),
        graph.concat(rows.unsqueeze(1), place.unsqueeze(1), axis=1),
        graph.range(rows.size(0)) + 1,
    )
    empty = graph.strings([""])
    matrix = graph.concat(empty, texts).gather(which)

    def halve(_: Value, matrix: Value) -> tuple[Value, ...]:
        odd = graph.op("Mod", matrix.size(1), 2)
        fill = empty.gather(graph.full(graph.concat(count.reshape(1), odd.reshape(1)), 0))
        even = graph.concat(matrix, fill, axis=1)
        sides = [
            graph.op("Slice", even, np.array([side]), np.array([2**62]), np.array([1]), np.array([2]))
            for side in (0, 1)
        ]
        joined = graph.op("StringConcat", *sides)
        return joined.size(1) > 1, joined

    (joined,) = graph.loop(halve, matrix, go_on=matrix.size(1) > 1)
    return joined.squeeze(1)
