"""From tokens to a matrix: truncation, the tokens that frame a text, padding."""

from dataclasses import dataclass, replace
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.merges import Symbols


@dataclass(frozen=True)
class Encoded:
    """The tokens of a batch, as a model takes them.

    Attributes:
        ids: Tokens, padded; [N, S].
        mask: 1 for tokens, 0 for padding; [N, S].
        lengths: The number of tokens of each text, those of the frame included; [N].
    """

    ids: Value
    mask: Value
    lengths: Value


@dataclass(frozen=True)
class Frame:
    """What is done to the tokens of a text.

    Attributes:
        before: Tokens put before them.
        after: Tokens put behind them.
        most: The number of tokens at most, those of the frame included.
        cut_left: Whether the first ones are left out where there are more; else the last ones.
        pad: The token that fills up.
        pad_left: Whether it does so before the others.
        length: The number of columns; by default that of the longest text.
        multiple: The number of columns is a multiple of this.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    most: int | None = None
    cut_left: bool = False
    pad: int = 0
    pad_left: bool = False
    length: int | None = None
    multiple: int = 1


def read_frame(config: dict[str, Any]) -> Frame:
    """Return what a tokenizer.json says of it. Raises PipelineError for what is not supported."""
    before, after = _read_template(config.get("post_processor"))
    frame = Frame(before, after)
    if config.get("truncation"):
        truncation = config["truncation"]
        most, left = truncation["max_length"], truncation.get("direction", "Right") == "Left"
        frame = replace(frame, most=most, cut_left=left)
        if most < len(before) + len(after):
            raise PipelineError(f"truncation to {most} tokens leaves no room for the tokens around a text")
    padding = config.get("padding")
    if not padding:
        return replace(frame, pad=_guess_pad(config))
    strategy = padding["strategy"]
    return replace(
        frame,
        pad=padding["pad_id"],
        pad_left=padding["direction"] == "Left",
        length=strategy["Fixed"] if isinstance(strategy, dict) else None,
        multiple=padding.get("pad_to_multiple_of") or 1,
    )


def _guess_pad(config: dict[str, Any]) -> int:
    """Return the padding token by its usual names; 0, as good as any under the mask, if there is none."""
    ids = {token["content"]: token["id"] for token in config.get("added_tokens", [])}
    return next((ids[name] for name in ("[PAD]", "<pad>", "<|pad|>", "<PAD>") if name in ids), 0)


def _read_template(config: dict[str, Any] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if config is None:
        return (), ()
    match config["type"]:
        case "ByteLevel":
            return (), ()
        case "BertProcessing" | "RobertaProcessing":
            return (config["cls"][1],), (config["sep"][1],)
        case "TemplateProcessing":
            return _read_parts(config)
        case "Sequence":
            frames = [_read_template(part) for part in config["processors"]]
            before = sum((frame[0] for frame in reversed(frames)), ())
            return before, sum((frame[1] for frame in frames), ())
        case kind:
            raise PipelineError(f"the post-processor {kind} is not supported")


def _read_parts(config: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sides: tuple[list[int], list[int]] = ([], [])
    seen = 0
    for part in config["single"]:
        if "Sequence" in part:
            seen += 1
        else:
            sides[seen > 0].extend(config["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    if seen != 1:
        raise PipelineError(f"the post-processor's template has the text {seen} times; once is supported")
    return tuple(sides[0]), tuple(sides[1])


def assemble(graph: Graph, symbols: Symbols, frame: Frame) -> Encoded:
    """Put the tokens of a batch into a matrix."""
    tokens = symbols.keep(symbols.ids >= 0)
    counts = graph.op(
        "ScatterElements",
        graph.full(symbols.count, 0),
        tokens.rows,
        graph.full(tokens.rows.size(0), 1),
        reduction="add",
    )
    ends = counts.cumulate()
    place = graph.range(tokens.ids.size(0)) - (ends - counts).gather(tokens.rows)
    if frame.most is not None:
        room = frame.most - len(frame.before) - len(frame.after)
        cut = graph.op("Min", counts, room)
        place = place - (counts - cut).gather(tokens.rows) if frame.cut_left else place
        kept = (place >= 0) & (place < room)
        tokens, place, counts = tokens.keep(kept), place.compress(kept), cut
    lengths = counts + (len(frame.before) + len(frame.after))
    width = _width(graph, lengths, frame)
    shift = graph.where(lengths >= 0, width - lengths if frame.pad_left else 0, 0)
    ids = graph.full(graph.concat(symbols.count.reshape(1), width.reshape(1)), frame.pad)
    ids = _scatter(graph, ids, tokens.rows, place + len(frame.before) + shift.gather(tokens.rows), tokens.ids)
    every = graph.range(symbols.count)
    for offset, token in enumerate(frame.before):
        ids = _scatter(graph, ids, every, shift + offset, graph.full(symbols.count, token))
    for offset, token in enumerate(frame.after):
        at = shift + counts + (len(frame.before) + offset)
        ids = _scatter(graph, ids, every, at, graph.full(symbols.count, token))
    column = graph.range(width).unsqueeze(0) - shift.unsqueeze(1)
    mask = (column >= 0) & (column < lengths.unsqueeze(1))
    return Encoded(ids, mask.cast(INT64), lengths)


def _width(graph: Graph, lengths: Value, frame: Frame) -> Value:
    longest = lengths.max()
    if frame.length is not None:
        longest = graph.op("Max", longest, frame.length)
    return (longest + (frame.multiple - 1)) / frame.multiple * frame.multiple


def _scatter(graph: Graph, matrix: Value, rows: Value, columns: Value, values: Value) -> Value:
    places = graph.concat(rows.unsqueeze(1), columns.unsqueeze(1), axis=1)
    return graph.op("ScatterND", matrix, places, values)
