"""Letters whose other case is several characters, as of ß, which is SS: no graph of classes has them.

Where case is ignored, the library lets `ß` fit `ss`, and `ss` fit `ß`. An expression in which that may happen
is refused: the library itself is asked, as its rules differ between letters, sets and sequences of both.
"""

from collections.abc import Iterator, Sequence
from functools import cache

from tokenizers import Regex, pre_tokenizers

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.pattern import Chain, Choice, Class, Look, Node, Optional, Run
from modelservice_pipeline.text.unicode import members

_IGNORED = "(?i:"


def check_folding(node: Node) -> None:
    """Raise PipelineError where one character of an expression may fit several of a text, or several one."""
    for part, is_endless in _classes(node):
        if _IGNORED not in part.source:
            continue
        has = members(part.source)
        for fold in _fits(part.source, tuple(sorted(set(_folds().values())))):
            if not (is_endless and all(has[ord(one)] for one in fold)):
                raise _refuse(part.source, fold)
    for sequence in _sequences(node):
        for begin in range(len(sequence)):
            for end in range(begin + 2, min(begin + 3, len(sequence)) + 1):
                source = f"{_IGNORED}{''.join(sequence[begin:end])})"
                for letter in _fits(source, tuple(_folds())):
                    raise _refuse(source, letter)


def _refuse(source: str, text: str) -> PipelineError:
    return PipelineError(
        f"the regular expression {source!r} fits {text!r} too, as it ignores case, and that has another "
        "number of characters: a graph cannot do that; write both in the pattern, and leave (?i) out there"
    )


def _classes(node: Node) -> Iterator[tuple[Class, bool]]:
    """Yield each class, and whether it repeats without end, where longer members change nothing."""
    if isinstance(node, Class):
        yield node, False
    elif isinstance(node, Run):
        yield node.of, node.most is None and not node.possessive
    elif isinstance(node, Look | Optional):
        yield from _classes(node.of)
    elif isinstance(node, Chain | Choice):
        for part in node.parts:
            yield from _classes(part)


def _sequences(node: Node) -> Iterator[Sequence[str]]:
    """Yield what stands one after another and ignores case."""
    if isinstance(node, Optional):
        yield from _sequences(node.of)
    if not isinstance(node, Chain | Choice):
        return
    found: list[str] = []
    for part in node.parts:
        source = part.source if isinstance(part, Class) else ""
        if isinstance(node, Chain) and source.startswith(_IGNORED):
            found.append(source.removeprefix(_IGNORED).removesuffix(")"))
            continue
        yield found
        found = []
        yield from _sequences(part)
    yield found


@cache
def _folds() -> dict[str, str]:
    """Return the letters whose folded form is several characters; all of them are in the first plane."""
    return {chr(code): chr(code).casefold() for code in range(0x10000) if len(chr(code).casefold()) > 1}


@cache
def _fits(source: str, texts: tuple[str, ...]) -> list[str]:
    """Return the texts that an expression fits as a whole."""
    whole = pre_tokenizers.Split(Regex(rf"\A(?:{source})\z"), "removed")
    return [text for text in texts if not whole.pre_tokenize_str(text)]
