"""How an explanation looks: a table, a page, a picture."""

import html
import io
import warnings

from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.words import Words
from modelservice_pipeline.report.report import table

MOST_SHOWN = 30
"""Features in tables and pictures; those that moved the number least are left out."""
_SHOWN_CHARACTERS = 40
_RAISES, _LOWERS = "#d95f02", "#1b6ca8"
"""Orange and blue: told apart by those who do not tell red from green."""

_LEAST_FIT = 0.5
_POOR_FIT = (
    "That is less than half: the weights say little of this model; use the method shap (--method shap)."
)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Of the page: it runs nothing and asks nobody, whatever a text holds."""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .15rem .6rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.bar { width: 20rem; }
td.bar div { height: .9rem; }
p.text { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #ccc; padding: .8rem; }
p.text span { border-radius: .2rem; }
"""


def to_table(explanation: Explanation) -> str:
    """Return the features that moved the number most, as a table in Markdown."""
    has_values = any(explanation.values)
    rows = [
        (
            printable(explanation.features[index]),
            *((printable(explanation.values[index]),) if has_values else ()),
            f"{explanation.weights[index]:+.4f}",
        )
        for index in shown(explanation)
    ]
    return table(("feature", *(("value",) if has_values else ()), "weight"), rows)


def to_sentences(explanation: Explanation) -> list[str]:
    """Return what beside the features is to be known."""
    target = printable(str(explanation.target))
    answer = f"The model answers {explanation.prediction:.6g} as {target}"
    asked = f"{explanation.samples} variants of the input, {explanation.rows} rows asked."
    if explanation.fit is not None:
        model = f"A linear model near the input, with the intercept {explanation.base:.6g}, explains"
        return [
            f"{answer}; {asked}",
            f"{model} {explanation.fit:.1%} of what the variants differ in (R2).",
            *([_POOR_FIT] if explanation.fit < _LEAST_FIT else []),
        ]
    return [
        f"{answer}, and {explanation.base:.6g} without the input; {asked}",
        f"Base and weights add up to the answer within {explanation.additivity_error:.1e}.",
    ]


def shown(explanation: Explanation) -> list[int]:
    """Return the features that are shown: those with a weight, the strongest first."""
    found = [index for index in explanation.order() if explanation.weights[index] != 0]
    return found[:MOST_SHOWN]


def printable(text: str) -> str:
    """Return a text that no terminal takes for a command, cut to a length that tables bear."""
    safe = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return safe if len(safe) <= _SHOWN_CHARACTERS else safe[: _SHOWN_CHARACTERS - 3] + "..."


def to_html(explanation: Explanation, words: Words | None) -> str:
    """Return a page that needs nothing else and runs nothing; `words` where a text was explained."""
    title = html.escape(f"Explanation of {explanation.target} by {explanation.method}")
    sentences = "\n".join(f"<p>{html.escape(sentence)}</p>" for sentence in to_sentences(explanation))
    text = "" if words is None else f'<p class="text">{_marked(explanation, words)}</p>'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{sentences}\n"
        f"{text}\n{_bars(explanation)}\n"
        f'<p><span style="color:{_RAISES}">&#9632;</span> raises the number, '
        f'<span style="color:{_LOWERS}">&#9632;</span> lowers it.</p>\n</body>\n</html>\n'
    )


def _marked(explanation: Explanation, words: Words) -> str:
    strongest = max((abs(float(weight)) for weight in explanation.weights), default=0.0) or 1.0
    parts = []
    for piece, owner in zip(words.pieces, words.owners, strict=True):
        weight = float(explanation.weights[owner]) if owner >= 0 else 0.0
        if weight == 0:
            parts.append(html.escape(piece))
            continue
        strength = round(255 * 0.7 * abs(weight) / strongest)
        parts.append(
            f'<span style="background:{_color(weight)}{strength:02x}" title="{weight:+.4f}">'
            f"{html.escape(piece)}</span>"
        )
    return "".join(parts)


def _bars(explanation: Explanation) -> str:
    order = shown(explanation)
    strongest = max((abs(float(explanation.weights[index])) for index in order), default=1.0)
    rows = []
    for index in order:
        weight = float(explanation.weights[index])
        width = 100 * abs(weight) / strongest
        rows.append(
            f"<tr><td>{html.escape(printable(explanation.features[index]))}</td>"
            f"<td>{html.escape(printable(explanation.values[index]))}</td>"
            f'<td class="number">{weight:+.4f}</td><td class="bar">'
            f'<div style="width:{width:.1f}%;background:{_color(weight)}"></div></td></tr>'
        )
    head = "<tr><th>feature</th><th>value</th><th>weight</th><th></th></tr>"
    return f"<table>\n{head}\n" + "\n".join(rows) + "\n</table>"


def _color(weight: float) -> str:
    return _RAISES if weight > 0 else _LOWERS


def to_png(explanation: Explanation) -> bytes:
    """Return a picture of the features that moved the number most."""
    from matplotlib.figure import Figure

    order = shown(explanation)[::-1]
    weights = [float(explanation.weights[index]) for index in order]
    labels = [_label(explanation, index) for index in order]
    figure = Figure(figsize=(8, 1.2 + 0.3 * max(1, len(order))), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(order)), weights, color=[_color(weight) for weight in weights])
    # A dollar sign in a word is not the begin of a formula.
    axes.set_yticks(range(len(order)), labels, parse_math=False)
    axes.axvline(0, color="#888888", linewidth=0.8)
    title = printable(f"{explanation.target} = {explanation.prediction:.4g}, by {explanation.method}")
    axes.set_title(title, parse_math=False)
    axes.set_xlabel("weight")
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    return picture.getvalue()


def _label(explanation: Explanation, index: int) -> str:
    name, value = printable(explanation.features[index]), printable(explanation.values[index])
    return f"{name} = {value}" if value else name
