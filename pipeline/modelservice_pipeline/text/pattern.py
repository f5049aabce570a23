"""Reads the regular expressions by which tokenizers cut texts.

Characters and classes are kept as they are written: which characters they mean is asked of the library. What
is not among the kinds below, such as groups that repeat or look behind, is refused.
"""

from dataclasses import dataclass
from typing import TypeAlias

from modelservice_pipeline.errors import PipelineError

_ESCAPES_OF_CLASSES = frozenset("sSdDwWhH")


@dataclass(frozen=True)
class Class:
    """One character of a class."""

    source: str


@dataclass(frozen=True)
class Run:
    """Characters of one class: as many as fit, at least `least`. `possessive` ones are never given back."""

    of: Class
    least: int
    most: int | None
    possessive: bool = False


@dataclass(frozen=True)
class Look:
    """The next character is of a class, or is not; none is read. Behind the last one there is none."""

    of: Class
    negative: bool


@dataclass(frozen=True)
class End:
    """The end of the text."""


@dataclass(frozen=True)
class Optional:
    """A part that may be left out."""

    of: "Node"


@dataclass(frozen=True)
class Chain:
    """One part after another."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Choice:
    """The first part that fits."""

    parts: tuple["Node", ...]


Node: TypeAlias = Class | Run | Look | End | Optional | Chain | Choice


def parse(source: str) -> Node:
    """Return the expression as a tree. Raises PipelineError for what is not supported, with its place."""
    parser = _Parser(source)
    node = parser.choice(ignore_case=False)
    if parser.place < len(source):
        raise parser.error("unbalanced parenthesis")
    return node


class _Parser:
    """Recursive descent: choice, chain, one part with what follows it, one character."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.place = 0

    def error(self, what: str) -> PipelineError:
        return PipelineError(
            f"the regular expression {self.source!r} has at character {self.place} "
            f"what a graph cannot do: {what}"
        )

    def choice(self, ignore_case: bool) -> Node:
        parts = [self.chain(ignore_case)]
        while self.take("|"):
            parts.append(self.chain(ignore_case))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def chain(self, ignore_case: bool) -> Node:
        parts: list[Node] = []
        while self.place < len(self.source) and self.source[self.place] not in "|)":
            if self.take("(?i)"):
                # All that follows in the group, its other alternatives too.
                parts.append(self.choice(ignore_case=True))
                break
            parts.append(self.quantified(self.part(ignore_case)))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def part(self, ignore_case: bool) -> Node:
        for opening, is_case in (("(?i:", True), ("(?:", ignore_case)):
            if self.take(opening):
                return self.closed(self.choice(is_case))
        for opening, negative in (("(?!", True), ("(?=", False)):
            if self.take(opening):
                return self.look(self.closed(self.choice(ignore_case)), negative)
        if self.take("(?"):
            raise self.error("this kind of group")
        if self.take("("):
            return self.closed(self.choice(ignore_case))
        if self.take("$") or self.take("\\z"):
            return End()
        source = self.character()
        return Class(f"(?i:{source})" if ignore_case else source)

    def closed(self, node: Node) -> Node:
        if not self.take(")"):
            raise self.error("unbalanced parenthesis")
        return node

    def look(self, node: Node, negative: bool) -> Node:
        if isinstance(node, Chain) and not node.parts:
            raise self.error("a group that looks at nothing")
        if isinstance(node, Choice) and all(isinstance(part, Class) for part in node.parts):
            sources = "|".join(part.source for part in node.parts if isinstance(part, Class))
            node = Class(f"(?:{sources})")
        if isinstance(node, Run) and node.least == 1:
            node = node.of
        if not isinstance(node, Class):
            raise self.error("looking further than one character")
        return Look(node, negative)

    def character(self) -> str:
        begin = self.place
        character = self.source[begin]
        if character == "[":
            return self.set()
        if character in "^*+?{":
            raise self.error(repr(character))
        if character == "\\":
            return self.escape()
        self.place += 1
        return character

    def escape(self) -> str:
        begin = self.place
        self.place += 2
        letter = self.source[begin + 1 : begin + 2]
        if letter in "pPxu" and letter:
            self.place = self.end_of_name(letter)
        elif letter.isalnum() and letter not in _ESCAPES_OF_CLASSES and letter not in "rntfvae0":
            raise self.error(f"\\{letter}")
        return self.source[begin : self.place]

    def end_of_name(self, letter: str) -> int:
        if self.source[self.place : self.place + 1] == "{":
            return self.source.index("}", self.place) + 1
        return self.place + {"x": 2, "u": 4}.get(letter, 1)

    def set(self) -> str:
        begin = self.place
        self.place += 1
        self.take("^")
        if self.source[self.place : self.place + 1] == "]":
            self.place += 1
        while not self.take("]"):
            if self.place >= len(self.source):
                raise self.error("a set without an end")
            if self.source[self.place] == "[" and self.source[self.place + 1 : self.place + 2] != ":":
                self.set()
            elif self.take("[:"):
                self.place = self.source.index(":]", self.place) + 2
            else:
                self.place += 2 if self.source[self.place] == "\\" else 1
        return self.source[begin : self.place]

    def quantified(self, node: Node) -> Node:
        bounds = self.bounds()
        if bounds is None:
            return node
        if self.take("?"):
            raise self.error("a lazy repetition")
        possessive = self.take("+")
        if isinstance(node, Class):
            return self.quantified(Run(node, *bounds, possessive))
        if bounds == (0, 1) and not possessive:
            return Optional(node)
        raise self.error("a group that repeats")

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, simple in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(sign):
                return simple
        if not self.take("{"):
            return None
        end = self.source.index("}", self.place)
        least, comma, most = self.source[self.place : end].partition(",")
        self.place = end + 1
        return int(least or 0), (int(most) if most else None) if comma else int(least)

    def take(self, token: str) -> bool:
        if self.source.startswith(token, self.place):
            self.place += len(token)
            return True
        return False
