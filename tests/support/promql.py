"""Which series and labels a PromQL expression names; it need not be valid otherwise, promtool checks that."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OF_TARGETS = frozenset(
    {"namespace", "pod", "instance", "job", "modelservice_dev_name", "modelservice_dev_revision"}
)
"""Labels that Prometheus sets where it scrapes as the documentation says."""
_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<duration>\[[^\]]*\])|(?P<name>[a-zA-Z_:][\w:]*)'
    r"|(?P<number>\d[\w.]*)|(?P<sign>[{}(),]|=~|!~|!=|==|>=|<=|[^\s])"
)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_CALLS = frozenset({"(", "by", "without"})
"""What follows the name of a function."""
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})


@dataclass
class Named:
    """What an expression names."""

    selected: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """Series with the labels that choose among them."""
    patterns: list[str] = field(default_factory=list)
    """Regular expressions of series' names."""
    grouped: set[str] = field(default_factory=set)
    """Labels by which series are summed up or joined."""


def names_in(expression: str) -> Named:
    """Read an expression."""
    tokens = [(match.lastgroup, match.group()) for match in _TOKEN.finditer(expression)]
    named, place = Named(), 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        if text in _LISTS:
            if following == "(":
                end = tokens.index(("sign", ")"), place)
                named.grouped.update(
                    name for kind, name in tokens[place:end] if kind == "name" and name != text
                )
                place = end
        elif text == "{" or (kind == "name" and following not in _CALLS and text.lower() not in _WORDS):
            end = place
            labels: dict[str, str] = {}
            if "{" in (text, following):
                end = tokens.index(("sign", "}"), place)
                inside = tokens[place:end]
                labels = {
                    one[1]: inside[at + 2][1]
                    for at, one in enumerate(inside)
                    if one[0] == "name"
                    and at + 2 < len(inside)
                    and inside[at + 1][1] in ("=", "!=", "=~", "!~")
                }
            if text == "{":
                named.patterns.append(labels.pop("__name__").strip('"'))
            else:
                named.selected.append((text, frozenset(labels)))
            place = end
        place += 1
    return named


def find_unknown(expression: str, series: Mapping[str, Iterable[str]]) -> list[str]:
    """What an expression names that is not there; `series` are those that exist, with their labels."""
    named = names_in(expression)
    known = {name: {*labels, *OF_TARGETS} for name, labels in series.items()}
    unknown = [f"series {name}" for name, _ in named.selected if name not in known]
    available = set(OF_TARGETS)
    for name, labels in named.selected:
        found = known.get(name, set())
        available |= found
        unknown += [f"label {label} of {name}" for label in sorted(labels - found)]
    for pattern in named.patterns:
        matching = [name for name in known if re.fullmatch(pattern, name)]
        unknown += [] if matching else [f"series like {pattern}"]
        available.update(*(known[name] for name in matching))
    return unknown + [f"label {label}" for label in sorted(named.grouped - available)]
