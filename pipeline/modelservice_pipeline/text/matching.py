"""Regular expressions as vectors: for every place of a text at once, where a match that begins there ends.

A node of the expression is asked with `after`: for each place, where the whole match ends if the rest begins
there, or -1 where the rest does not fit. So choices are taken in order and runs give back characters exactly
as a backtracking matcher would. Separators belong to no class: no match crosses one.
"""

from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.text.characters import SEPARATOR, shift_left
from modelservice_pipeline.text.graph import Graph, Value
from modelservice_pipeline.text.pattern import Chain, Choice, Class, End, Look, Node, Optional, Run
from modelservice_pipeline.text.spans import first_after, last_before
from modelservice_pipeline.text.unicode import look_up, members


@dataclass(frozen=True)
class _Ends:
    """Where the match ends, for each place [T]; `always` if no place is -1."""

    places: Value
    always: bool


def match_ends(graph: Graph, codes: Value, node: Node) -> Value:
    """Return where the match from each place ends, -1 where there is none; [T]. It may be empty."""
    return _Matcher(graph, codes, node).ends(node, _Ends(graph.range(codes.size(0)), True)).places


class _Matcher:
    def __init__(self, graph: Graph, codes: Value, node: Node) -> None:
        self.graph = graph
        self.codes = codes
        self.here = graph.range(codes.size(0))
        self.classes: dict[str, Value] = {}
        self._read_classes(sorted(_sources(node)))

    def _read_classes(self, sources: list[str]) -> None:
        """Ask one table for all classes: a bit for each."""
        for begin in range(0, len(sources), 60):
            part = sources[begin : begin + 60]
            entries = sum((members(source).astype(np.int64) << bit for bit, source in enumerate(part)))
            bits = look_up(self.graph, self.codes, np.asarray(entries))
            for bit, source in enumerate(part):
                self.classes[source] = ~self.graph.op("BitwiseAnd", bits, 1 << bit).equals(0)

    def ends(self, node: Node, after: _Ends) -> _Ends:
        match node:
            case Class():
                return self._class(node, after)
            case Run():
                return self._run(node, after)
            case Look():
                fits = self.classes[node.of.source]
                return self._where(~fits if node.negative else fits, after)
            case End():
                return self._where(self.codes.equals(SEPARATOR), after)
            case Optional():
                return self._first(self.ends(node.of, after), after)
            case Chain():
                for part in reversed(node.parts):
                    after = self.ends(part, after)
                return after
            case Choice():
                first, *others = (self.ends(part, after) for part in node.parts)
                for other in others:
                    first = self._first(first, other)
                return first

    def _class(self, node: Class, after: _Ends) -> _Ends:
        return self._where(self.classes[node.source], _Ends(shift_left(after.places, -1), after.always))

    def _run(self, node: Run, after: _Ends) -> _Ends:
        if node.most is None:
            result = self._star(node, after)
        else:
            result = after
            for _ in range(node.most - node.least):
                longer = self._class(node.of, result)
                rest = after
                if node.possessive:
                    rest = self._where(~self.classes[node.of.source], after)
                result = self._first(longer, rest)
        for _ in range(node.least):
            result = self._class(node.of, result)
        return result

    def _star(self, node: Run, after: _Ends) -> _Ends:
        stop = first_after(~self.classes[node.of.source])
        if after.always or node.possessive:
            return _Ends(after.places.gather(stop), after.always)
        given_back = last_before(after.places >= 0).gather(stop)
        fits = given_back >= self.here
        places = after.places.gather(self.graph.op("Max", given_back, 0))
        return _Ends(self.graph.where(fits, places, -1), False)

    def _where(self, condition: Value, after: _Ends) -> _Ends:
        return _Ends(self.graph.where(condition, after.places, -1), False)

    def _first(self, one: _Ends, other: _Ends) -> _Ends:
        if one.always:
            return one
        return _Ends(self.graph.where(one.places >= 0, one.places, other.places), other.always)


def _sources(node: Node) -> set[str]:
    match node:
        case Class():
            return {node.source}
        case Run() | Look():
            return {node.of.source}
        case Optional():
            return _sources(node.of)
        case Chain() | Choice():
            return set().union(*map(_sources, node.parts))
        case End():
            return set()
