"""A RuntimeRollout as text: the parts of a report, and one line for a log. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from modelservice_cli.fleet.status import UNOBSERVED, FleetStatus, Turn, WaveProgress
from modelservice_cli.rollout.facts import Object
from modelservice_cli.rollout.progress.durations import ago_text
from modelservice_cli.rollout.report import Part, Table, one_line

_FAILURES_SHOWN = 10
_MOVING_SHOWN = 8
_BAR_CELLS = 24
_WORDS: Mapping[str, str] = {
    UNOBSERVED: "not seen by the operator yet",
    "Pending": "has not started",
    "Progressing": "in progress",
    "Paused": "paused, it waits for you",
    "AwaitingApproval": "it waits for your approval",
    "AwaitingWindow": "it waits for its maintenance window",
    "Halted": "halted, it needs you",
    "RollingBack": "being taken back",
    "RolledBack": "taken back",
    "Aborted": "aborted",
    "Superseded": "superseded by a newer one",
    "Complete": "complete",
}
_BAR: Mapping[str, str] = {"■": "U", "▪": "MCG", "✗": "FVX", "◄": "R", "-": "BNED", "·": "P"}
"""What a member's state looks like in a bar."""
_TURNS: Mapping[Turn, str] = {"done": "[x]", "now": "[>]", "stopped": "[!]", "next": "[ ]"}


def fleet_report(status: FleetStatus, now: datetime) -> list[Part]:
    """Return the status for people."""
    parts: list[Part] = ["\n".join([headline(status), *_lines(status)])]
    if status.waves:
        parts.append(_wave_table(status.waves))
    if status.status.get("moving"):
        parts.append(_moving_table(status.status["moving"], now))
    if status.failures:
        parts.append(_failure_table(status.failures, now))
    return parts


def headline(status: FleetStatus) -> str:
    """Return how far it is, and why."""
    said = f"\n{status.reason}: {one_line(status.message)}" if status.message else ""
    progress = f", {status.progress} updated" if status.progress else ""
    return f"{status.name}: {_words(status)}{progress}{said}"


def _words(status: FleetStatus) -> str:
    return _WORDS.get(status.phase, status.phase)


def _lines(status: FleetStatus) -> Iterator[str]:
    image = f", {status.image}" if status.image else ""
    yield one_line(f"To ModelRuntime {status.runtime}{image}")
    if status.waits_for:
        why, _, verbs = status.waits_for.partition("; say ")
        command = f"modelservice fleet {verbs.split()[0]} {status.name}"
        yield one_line(f"{why[0].upper()}{why[1:]}: say {verbs} ({command}).")
    newer = status.status.get("supersededBy")
    if newer:
        yield one_line(f"Superseded by {newer} (modelservice fleet status {newer}).")


def _wave_table(waves: Sequence[WaveProgress]) -> Table:
    columns = {
        "WAVE": [f"{_TURNS[one.turn]} {one.name}" for one in waves],
        "": [wave_bar(one) for one in waves],
        "MEMBERS": [str(one.members) for one in waves],
        "UPDATED": [str(one.updated) for one in waves],
        "MOVING": [str(one.moving) for one in waves],
        "FAILED": [str(one.failed) for one in waves],
    }
    if any(one.skipped for one in waves):
        columns["SKIPPED"] = [str(one.skipped) for one in waves]
    if any(one.rolled_back for one in waves):
        columns["TAKEN BACK"] = [str(one.rolled_back) for one in waves]
    if any(one.needs_approval for one in waves):
        columns["APPROVAL"] = ["needs one" if one.needs_approval else "" for one in waves]
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def wave_bar(wave: WaveProgress, cells: int = _BAR_CELLS) -> str:
    """Return a bar of a wave's members: updated, on their way, failed, taken back, left out, to come.

    Whoever is there is seen, as far as there is room for each kind.
    """
    counts = [sum(wave.states.count(letter) for letter in letters) for letters in _BAR.values()]
    return "".join(mark * width for mark, width in zip(_BAR, _widths(counts, cells), strict=True))


def _widths(counts: Sequence[int], cells: int) -> list[int]:
    """Split cells by counts: by the largest remainder, and at least one for each that is not 0."""
    total = sum(counts)
    if total == 0:
        return [0] * len(counts)
    widths = [max(count * cells // total, 1 if count else 0) for count in counts]
    while sum(widths) > cells:
        widest = max(range(len(counts)), key=lambda at: widths[at])
        widths[widest] -= 1
    while sum(widths) < cells:
        short = max(range(len(counts)), key=lambda at: counts[at] * cells - widths[at] * total)
        widths[short] += 1
    return widths


def _moving_table(moving: Sequence[Object], now: datetime) -> Table:
    rows = [(str(one.get("member")), ago_text(one.get("since"), now)) for one in moving]
    return Table(("MOVING", "FOR"), _bounded(rows, _MOVING_SHOWN))


def _failure_table(failures: Sequence[Object], now: datetime) -> Table:
    rows = [
        (
            str(one.get("member")),
            ago_text(one.get("time"), now),
            ": ".join(str(one[key]) for key in ("reason", "message") if one.get(key)),
        )
        for one in reversed(failures)
    ]
    return Table(("FAILED OR SKIPPED", "AGO", "WHY"), _bounded(rows, _FAILURES_SHOWN))


def _bounded(rows: Sequence[tuple[str, ...]], most: int) -> tuple[tuple[str, ...], ...]:
    more = len(rows) - most
    blank = ("",) * (len(rows[0]) - 1)
    return (*rows[:most], (f"and {more} more", *blank)) if more > 0 else tuple(rows)


def fleet_line(status: FleetStatus) -> str:
    """Return the status as one line, for a log; it differs only where something has changed."""
    parts = (
        f"{status.name}: {_words(status)}",
        f"{status.progress} updated" if status.progress else "",
        _wave_words(status),
        f"{status.reason}: {status.message}" if status.message else status.reason,
        *(f"{one.get('member')}: {one.get('reason')}: {one.get('message')}" for one in status.failures[-1:]),
    )
    return one_line("; ".join(part for part in parts if part))


def _wave_words(status: FleetStatus) -> str:
    wave = next((one for one in status.waves if one.name == status.wave), None)
    if wave is None:
        return ""
    counted = (("moving", wave.moving), ("failed", wave.failed), ("skipped", wave.skipped))
    counts = ", ".join(f"{count} {what}" for what, count in counted if count)
    done = f"wave {wave.name} {wave.updated} of {wave.members}"
    return f"{done} ({counts})" if counts else done
