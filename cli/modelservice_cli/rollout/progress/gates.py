"""What the gates of a change said: rows for a table, words for a line, courses over time. Pure."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from modelservice_cli.rollout.facts import Object
from modelservice_cli.rollout.progress.durations import ago_text
from modelservice_cli.rollout.report import Table
from modelservice_operator.api.spec.analysis import SECONDS
from modelservice_operator.facts.text.quantity import parse_quantity

_NOTHING = "-"
_TRENDS = (
    ("ErrorRatio", "error ratio"),
    *(
        (f"{name}P{share}", f"{words}p{share}")
        for name, words in (
            ("Latency", ""),
            ("TimeToFirstToken", "first token "),
            ("InterTokenLatency", "between tokens "),
        )
        for share in (99, 95, 50)
    ),
)
_BLOCKS = "▁▂▃▄▅▆▇█"
_REMEMBERED = 400
"""Verdicts of which courses are drawn: more than any terminal is wide."""


class Trend(NamedTuple):
    """The course of one metric of one revision."""

    metric: str
    role: str
    line: str
    """One block for each look, a space where it said nothing."""
    last: str


def rounds(verdicts: Sequence[Object]) -> list[list[Object]]:
    """Return what was said at one time by one gate together, the oldest first."""
    found: dict[tuple[str, str], list[Object]] = {}
    for one in verdicts:
        found.setdefault((str(one.get("time")), str(one.get("gate"))), []).append(one)
    return list(found.values())


def verdict_table(verdicts: Sequence[Object], now: datetime, most_rows: int) -> Table:
    """Return the last rounds, whole ones, the newest last; that one is shown however long it is."""
    shown: list[Object] = []
    for one in reversed(rounds(verdicts)):
        if shown and len(shown) + len(one) > most_rows:
            break
        shown = [*one, *shown]
    header = ("METRIC", "CANDIDATE", "STABLE", "BOUND", "N", "RESULT", "AGO")
    return Table(header, tuple(_row(one, now) for one in shown))


def _row(one: Object, now: datetime) -> tuple[str, ...]:
    count = one.get("requests", one.get("rows"))
    return (
        _title(one),
        *(_number(one, key) for key in ("value", "stable", "threshold")),
        _NOTHING if count is None else str(count),
        str(one.get("result")),
        ago_text(one.get("time"), now),
    )


def verdict_notes(verdicts: Sequence[Object]) -> list[str]:
    """Return what the newest round says in words; of the contract, what was said of it last."""
    newest = rounds(verdicts)[-1:]
    contract = [one for one in verdicts if one.get("gate") == "Contract"][-1:]
    shown = [*(one for one in contract if newest and one not in newest[0]), *(newest[0] if newest else ())]
    return [f"{_title(one)}: {one['message']}" for one in shown if one.get("message")]


def verdict_line(verdicts: Sequence[Object]) -> str:
    """Return the newest round for a log."""
    return ", ".join(_words(one) for one in (rounds(telling(verdicts)) or [[]])[-1])


def telling(verdicts: Sequence[Object]) -> list[Object]:
    """Return the verdicts without contracts that are kept: that word stands beside the phase."""
    return [one for one in verdicts if (one.get("gate"), one.get("result")) != ("Contract", "Passed")]


def _words(one: Object) -> str:
    figures = (
        ("", "value"),
        ("stable ", "stable"),
        ("bound ", "threshold"),
        ("n ", "requests"),
        ("n ", "rows"),
    )
    said = [f"{name}{_number(one, key)}" for name, key in figures if one.get(key) is not None]
    if one.get("message") and one.get("result") != "Passed":
        said.append(str(one["message"]))
    return f"{_title(one)} {one.get('result')}" + (f" ({', '.join(said)})" if said else "")


def _title(one: Object) -> str:
    """The metric; a gate that is no analysis says which one it is."""
    gate, metric = str(one.get("gate")), str(one.get("metric") or "")
    return metric if gate == "Analysis" and metric else f"{gate} {metric}".strip()


def _number(one: Object, key: str) -> str:
    text, number = one.get(key), _parse(one.get(key))
    if text is None:
        return _NOTHING
    if number is None or key in ("requests", "rows"):
        return str(text)
    # Its place is added where the type stands there twice.
    if str(one.get("metric")).partition("[")[0] in SECONDS:
        return f"{number:.3g} s" if number >= 1 else f"{number * 1000:.3g} ms"
    return f"{number:.4g}" if abs(number) < 1000 else f"{number:.0f}"


def _parse(text: object) -> float | None:
    """Return a number that can be drawn: NaN and infinity are none."""
    if text is None:
        return None
    try:
        number = float(parse_quantity(str(text)))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def merge(known: Iterable[Object], newer: Iterable[Object]) -> tuple[Object, ...]:
    """Return verdicts of several looks at a status, each once, by time: it forgets the older ones."""
    found = {(str(one.get("time")), one.get("gate"), one.get("metric")): one for one in (*known, *newer)}
    return tuple(sorted(found.values(), key=lambda one: str(one.get("time"))))[-_REMEMBERED:]


def trends(verdicts: Sequence[Object], width: int) -> list[Trend]:
    """Return the courses of errors and latency, those of one metric on one scale that begins at 0.

    A course without any number is left out: nothing is known of it, not even that it is 0.
    """
    return [trend for metric, title in _TRENDS for trend in _trends_of(verdicts, metric, title, width)]


def _trends_of(verdicts: Sequence[Object], metric: str, title: str, width: int) -> list[Trend]:
    # Where an analysis looks at one type twice, the names say at which place: what was measured is the same.
    named = [one for one in verdicts if str(one.get("metric")).partition("[")[0] == metric]
    looks = [one for one in named if one.get("metric") == named[-1].get("metric")][-width:]
    courses = {
        role: [_parse(one.get(key)) for one in looks]
        for role, key in (("candidate", "value"), ("stable", "stable"))
    }
    top = max((value for one in courses.values() for value in one if value is not None), default=0.0)
    return [
        Trend(title, role, sparkline(values, top), _number({"metric": metric, "v": _last(values)}, "v"))
        for role, values in courses.items()
        if _last(values) is not None
    ]


def _last(values: Sequence[float | None]) -> float | None:
    return next((one for one in reversed(values) if one is not None), None)


def sparkline(values: Sequence[float | None], top: float) -> str:
    """Return a block for each value between 0 and `top`, a space where there is none."""
    return "".join(" " if one is None else _block(one, top) for one in values)


def _block(value: float, top: float) -> str:
    share = min(1.0, max(0.0, value / top)) if top > 0 else 0.0
    return _BLOCKS[math.ceil(share * (len(_BLOCKS) - 1))]
