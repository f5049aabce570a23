"""A report's sections and picture from its facts, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelservice_pipeline.evaluate.plots import new_figure, to_png
from modelservice_pipeline.report.report import table
from modelservice_pipeline.robustness.stress import Level, choose_knee, was_client_busy

_SHOWN_CHARACTERS = 60


def show_changes(facts: Mapping[str, Any]) -> list[str]:
    """Return the sections about perturbed rows."""
    score = facts["score"]
    usual = [one for one in facts["perturbations"] if not one["boundary"]]
    edges = [one for one in facts["perturbations"] if one["boundary"]]
    if not usual and not edges:
        return ["No perturbation changes these rows."]
    sections = [f"{score} of the rows as they are: {_number(facts['score_before'])}"] if score else []
    if usual:
        sections.append("## Changed answers\n\n" + _show_rates(usual, score))
        sections += _show_examples(usual)
    if edges:
        sections.append("## Numbers at the edge\n\n" + _show_edges(edges))
    return sections


def _show_rates(facts: Sequence[Mapping[str, Any]], score: str | None) -> str:
    head = ("perturbation", "what", "rows", "changed", *([score] if score else []))
    rows = [
        (
            one["name"], one["title"], str(one["rows"]), _percent(one),
            *([_number(one.get("score"))] if score else []),
        )
        for one in facts
    ]  # fmt: skip
    return table(head, rows)


def _show_edges(facts: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one["name"], one["title"], _percent(one), str(one.get("not_finite", "-")),
            _cut(one["refused"] or ""),
        )
        for one in facts
    ]  # fmt: skip
    return table(("number", "what", "changed", "NaN or infinite answers", "refused"), rows)


def _show_examples(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (one["name"], *(_cut(str(example[key])) for key in ("perturbed", "answer", "answer_perturbed")))
        for one in facts
        for example in one.get("examples", [])[:1]
    ]
    return (
        [table(("perturbation", "row", "answer", "answer before"), [(a, b, d, c) for a, b, c, d in rows])]
        if rows
        else []
    )


def show_fuzz(facts: Mapping[str, Any]) -> str:
    """Return the section about wrong requests."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in facts["outcomes"].items())
    sentence = f"## Wrong requests\n\n{facts['requests']} requests: {outcomes}."
    if not facts["wrong"]:
        return sentence + " Each was refused with a sentence, or could be answered; the server went on."
    rows = [
        (one["request"], one["outcome"], str(one["status"] or "-"), _cut(one["said"]))
        for one in facts["wrong"]
    ]
    return sentence + "\n\n" + table(("request", "outcome", "status", "said"), rows)


def show_levels(levels: Sequence[Level]) -> str:
    """Return the section about load."""
    knee = choose_knee(levels)
    head = ("clients", "requests/s", "p50 ms", "p95 ms", "p99 ms", "refused for load", "errors")
    rows = [
        (
            str(level.clients), f"{level.requests_per_second:.0f}",
            *(_ms(value) for value in (level.p50_ms, level.p95_ms, level.p99_ms)),
            str(level.shed), str(level.errors),
        )
        for level in levels
    ]  # fmt: skip
    sentence = (
        f"The knee is at {knee.clients} requests at the same time: {knee.requests_per_second:.0f} "
        f"requests/s, p95 {_ms(knee.p95_ms)} ms."
    )
    if was_client_busy(knee):
        sentence += " This client itself was busy all the time: the server may do more."
    return f"## Load\n\n{table(head, rows)}\n\n{sentence}"


def draw_levels(levels: Sequence[Level]) -> bytes:
    """Return a PNG: latency and throughput over the number of clients, with the knee."""
    figure = new_figure(6, 6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    clients, knee = [level.clients for level in levels], choose_knee(levels)
    upper.plot(clients, [level.requests_per_second for level in levels], marker="o")
    upper.set(ylabel="requests/s", title="Load", xscale="log", ylim=(0, None))
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        lower.plot(
            clients, [getattr(level, name) for level in levels], marker="o", label=name.removesuffix("_ms")
        )
    lower.set(xlabel="requests at the same time", ylabel="latency, ms", ylim=(0, None))
    for axes in (upper, lower):
        axes.axvline(knee.clients, color="grey", linestyle="dotted", label="knee")
    lower.set_xticks(clients, [str(count) for count in clients])
    lower.minorticks_off()
    lower.legend()
    return to_png(figure)


def _cut(text: str) -> str:
    """Cut what others say to a length that a line of a table bears; the facts have all of it."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _percent(one: Mapping[str, Any]) -> str:
    return "-" if one["refused"] else f"{100 * one['rate']:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 1e12 else f"{value:.4g}"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value == value else "-"
