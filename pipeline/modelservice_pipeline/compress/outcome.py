"""Tells what came of a search: facts, a table, one sentence, and a picture of losses against gains."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelservice_pipeline.compress.machine import Cpu
from modelservice_pipeline.compress.picture import Point, draw
from modelservice_pipeline.compress.search import LEAST_GAIN, Aim, Tried, decisive_speed
from modelservice_pipeline.report.report import Report, table

PICTURE = "compress.png"


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
        "candidates": [_facts_of(one, outcome) for one in outcome.tried],
    }
    made = Report(f"Compression of {outcome.model.name}", facts, [sentence])
    measured = [one for one in outcome.tried if one.verdict and one.speeds]
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
    chosen, verdict = outcome.chosen, outcome.chosen.verdict
    assert verdict is not None
    smaller = outcome.size_bytes / chosen.size_bytes
    faster = decisive_speed(chosen, outcome.aim).run_gain.median
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
        "figure": one.verdict.candidate if one.verdict else None,
        "original_figure": one.verdict.original if one.verdict else None,
        "drop": one.verdict.drop if one.verdict else None,
        "drop_bound": one.verdict.drop_bound if one.verdict else None,
        "speeds": [dataclasses.asdict(speed) for speed in one.speeds],
        "refused": one.refusal,
    }


def _table(outcome: Outcome) -> str:
    head = (
        "candidate", "MB", "smaller", "run ms", "faster", "request ms", "faster", outcome.metric,
        "lost at most", "why not",
    )  # fmt: skip
    return table(head, [_original_row(outcome), *(_row(one, outcome) for one in outcome.tried)])


def _original_row(outcome: Outcome) -> tuple[str, ...]:
    measured = next((one for one in outcome.tried if one.speeds and one.verdict), None)
    if measured is None or measured.verdict is None:
        return ("original", f"{outcome.size_bytes / 1e6:.2f}", "1.0", *[""] * 7)
    speed = decisive_speed(measured, outcome.aim).original
    return (
        "original", f"{outcome.size_bytes / 1e6:.2f}", "1.0", f"{speed.run:.3f}", "1.00",
        f"{speed.request:.3f}", "1.00", f"{measured.verdict.original:.4f}", "", "",
    )  # fmt: skip


def _row(one: Tried, outcome: Outcome) -> tuple[str, ...]:
    size = ("", "")
    if one.size_bytes:
        size = (f"{one.size_bytes / 1e6:.2f}", f"{outcome.size_bytes / one.size_bytes:.1f}")
    speeds, figures = ("",) * 4, ("", "")
    if one.speeds:
        speed = decisive_speed(one, outcome.aim)
        speeds = (
            f"{speed.candidate.run:.3f}",
            f"{speed.run_gain.median:.2f}",
            f"{speed.candidate.request:.3f}",
            f"{speed.request_gain.median:.2f}",
        )
    if one.verdict:
        figures = (f"{one.verdict.candidate:.4f}", f"{one.verdict.drop_bound:.4f}")
    why = "chosen" if one is outcome.chosen else one.refusal or "slower than the chosen one"
    return (one.candidate.name, *size, *speeds, *figures, why)


def _notes(outcome: Outcome) -> list[str]:
    measured = [one for one in outcome.tried if one.speeds]
    notes = []
    if measured:
        speed = decisive_speed(measured[0], outcome.aim)
        spread = max(
            decisive_speed(one, outcome.aim).run_gain.high / decisive_speed(one, outcome.aim).run_gain.low
            for one in measured
        )
        notes.append(
            f"Each was asked in turns with the original, in the server, with {speed.rows} rows a request, on "
            f"{outcome.cpu}. *Run* is the model's own time as the server measures it, *request* the "
            f"client's. The middle half of the rounds differs by a factor of up to {spread:.2f}."
        )
    if outcome.chosen is not None and outcome.chosen.candidate.shares_scales:
        notes.append(
            "Its activations are quantized by the range of a whole request: rows of one request depend on "
            "each other, so the server does not join requests of it (`maxBatchSize` has no effect)."
        )
    return notes


def _point(one: Tried, outcome: Outcome) -> Point:
    assert one.verdict is not None
    gain = decisive_speed(one, outcome.aim).run_gain
    return Point(
        one.candidate.name, gain.median, gain.low, gain.high, one.verdict.drop, one.verdict.drop_bound,
        is_chosen=one is outcome.chosen,
    )  # fmt: skip
