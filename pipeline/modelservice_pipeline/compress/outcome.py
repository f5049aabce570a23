"""Tells what came of a search: facts, a table, one sentence, and a picture of losses against gains."""

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelservice_pipeline.compress.judge import Verdict
from modelservice_pipeline.compress.machine import Cpu
from modelservice_pipeline.compress.picture import Point, draw
from modelservice_pipeline.compress.search import LEAST_GAIN, Aim, Tried
from modelservice_pipeline.report.report import Report, table

PICTURE = "compress.png"
_REASON_WIDTH = 100


@dataclass(frozen=True)
class Outcome:
    """What was asked, and what came of it.

    Attributes:
        model: The original.
        size_bytes: Its size.
        data: What it was judged by.
        rows: How many rows that were.
        metric: The figure.
        aim: What was looked for.
        cpu: Where it was measured.
        tried: The candidates.
        chosen: The best one; None where the original stays.
        nothing: Why nothing was tried; None where something was.
        notes: How the rows were read, where a reader has to know it.
    """

    model: Path
    size_bytes: int
    data: str
    rows: int
    metric: str
    aim: Aim
    cpu: Cpu
    tried: Sequence[Tried] = ()
    chosen: Tried | None = None
    nothing: str | None = None
    notes: Sequence[str] = ()


def report(outcome: Outcome) -> Report:
    """Return the report of a search."""
    sentence = _conclude(outcome)
    facts = {
        "model": str(outcome.model),
        "bytes": outcome.size_bytes,
        "data": outcome.data,
        "rows": outcome.rows,
        "metric": outcome.metric,
        "max_drop": outcome.aim.max_drop,
        "objective": outcome.aim.objective,
        "cpu": dataclasses.asdict(outcome.cpu),
        "chosen": outcome.chosen.candidate.name if outcome.chosen else None,
        "conclusion": sentence,
        "notes": list(outcome.notes),
        "candidates": [_facts_of(one, outcome) for one in outcome.tried],
    }
    made = Report(f"Compression of {outcome.model.name}", facts, [sentence, *outcome.notes])
    measured = [one for one in outcome.tried if one.verdict and one.speed]
    if outcome.tried:
        made.sections += [_table(outcome), *_notes(outcome)]
    if measured:
        made.pictures[PICTURE] = draw([_point(one, outcome) for one in measured], outcome.metric, outcome.aim)
        made.sections.append(f"![What is lost against what is won]({PICTURE})")
    return made


def _conclude(outcome: Outcome) -> str:
    if outcome.nothing is not None:
        return f"The original stays: {outcome.nothing}."
    if outcome.chosen is None:
        wanted = "smaller" if outcome.aim.objective == "size" else "faster"
        return (
            f"The original stays: no candidate is at least {LEAST_GAIN:g} times {wanted} and loses less than "
            f"{outcome.aim.max_drop:g} of {outcome.metric}."
        )
    chosen, verdict, speed = outcome.chosen, outcome.chosen.verdict, outcome.chosen.speed
    assert verdict is not None
    assert speed is not None
    smaller = outcome.size_bytes / chosen.size_bytes
    faster = speed.run_gain.median
    return (
        f"Chosen is {chosen.candidate.name} ({chosen.candidate.what}): {smaller:.1f} times smaller, "
        f"{faster:.2f} times as fast; {outcome.metric} {verdict.candidate:.4f} instead of "
        f"{verdict.original:.4f}, with 95 % confidence no more than {max(verdict.drop_bound, 0):.4f} lost."
    )


def _facts_of(one: Tried, outcome: Outcome) -> dict[str, Any]:
    return {
        "name": one.candidate.name,
        "what": one.candidate.what,
        "bytes": one.size_bytes or None,
        "times_smaller": outcome.size_bytes / one.size_bytes if one.size_bytes else None,
        **_facts_of_verdict(one.verdict),
        "speed": dataclasses.asdict(one.speed) if one.speed else None,
        "alone_ms": dataclasses.asdict(one.alone) if one.alone else None,
        "refused": one.refusal,
    }


def _facts_of_verdict(verdict: Verdict | None) -> dict[str, float | None]:
    names = {
        "figure": "candidate",
        "original_figure": "original",
        "drop": "drop",
        "drop_bound": "drop_bound",
    }
    figures = {name: getattr(verdict, of, math.nan) for name, of in names.items()}
    return {name: figure if math.isfinite(figure) else None for name, figure in figures.items()}


def _table(outcome: Outcome) -> str:
    head = (
        "candidate", "MB", "smaller", "alone", "run ms", "faster", "request ms", "faster", outcome.metric,
        "lost at most", "why not",
    )  # fmt: skip
    return table(head, [_original_row(outcome), *(_row(one, outcome) for one in outcome.tried)])


def _original_row(outcome: Outcome) -> tuple[str, ...]:
    measured = next((one for one in outcome.tried if one.speed and one.verdict), None)
    if measured is None or measured.verdict is None or measured.speed is None:
        return ("original", f"{outcome.size_bytes / 1e6:.2f}", "1.0", *[""] * 8)
    speed = measured.speed.original
    return (
        "original", f"{outcome.size_bytes / 1e6:.2f}", "1.0", "1.00", f"{speed.run:.3f}", "1.00",
        f"{speed.request:.3f}", "1.00", f"{measured.verdict.original:.4f}", "", "",
    )  # fmt: skip


def _row(one: Tried, outcome: Outcome) -> tuple[str, ...]:
    size = ("", "")
    if one.size_bytes:
        size = (f"{one.size_bytes / 1e6:.2f}", f"{outcome.size_bytes / one.size_bytes:.1f}")
    speeds, figures = ("",) * 5, ("", "")
    if one.speed:
        speeds = (
            f"{one.alone.original / one.alone.candidate:.2f}" if one.alone else "",
            f"{one.speed.candidate.run:.3f}",
            f"{one.speed.run_gain.median:.2f}",
            f"{one.speed.candidate.request:.3f}",
            f"{one.speed.request_gain.median:.2f}",
        )
    if one.verdict:
        figures = (f"{one.verdict.candidate:.4f}", f"{one.verdict.drop_bound:.4f}")
    worse = "larger" if outcome.aim.objective == "size" else "slower"
    why = "chosen" if one is outcome.chosen else one.refusal or f"{worse} than the chosen one"
    why = textwrap.shorten(why, _REASON_WIDTH, placeholder=" ...")
    return (one.candidate.name, *size, *speeds, *figures, why)


def _notes(outcome: Outcome) -> list[str]:
    speeds = [one.speed for one in outcome.tried if one.speed]
    notes = []
    if speeds:
        spread = max(speed.run_gain.high / speed.run_gain.low for speed in speeds)
        notes.append(
            f"Each was asked in turns with the original, in the server, {speeds[0].rows} rows a request, "
            f"on {outcome.cpu}. *Run* is the model's own time as the server measures it, *request* the "
            f"client's. The middle half of the rounds differs by a factor of up to {spread:.2f}."
        )
    alone = [one.alone for one in outcome.tried if one.alone]
    if alone:
        notes.append(
            "*Alone* is the gain of a run in ONNX Runtime without the server, where the original takes "
            f"{alone[0].original:.3f} ms: what a request takes beside that is the server's and the client's, "
            "and no compression changes it."
        )
    if outcome.chosen is not None and outcome.chosen.candidate.shares_scales:
        notes.append(
            "Its activations are quantized by the range of a whole request: rows of one request depend on "
            "each other, so the server does not join requests of it (`maxBatchSize` has no effect)."
        )
    return notes


def _point(one: Tried, outcome: Outcome) -> Point:
    assert one.verdict is not None
    assert one.speed is not None
    gain = one.speed.run_gain
    return Point(
        one.candidate.name, gain.median, gain.low, gain.high, one.verdict.drop, one.verdict.drop_bound,
        is_chosen=one is outcome.chosen,
    )  # fmt: skip
