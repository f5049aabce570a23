"""Counts words and characters as scikit-learn does, in the operators of ONNX.

skl2onnx has converters for these, which this replaces: theirs cut words at every letter outside of ASCII,
leave stop words between the words of an n-gram, and know neither whitespace that is collapsed nor `char_wb`.
Here a text becomes numbers, one for each token; numbers are dropped where scikit-learn drops tokens, and
counted by TfIdfVectorizer, whose n-grams are then the same.
"""

import re
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from modelservice_pipeline.convert.inside.classical.graphs import Graph
from modelservice_pipeline.errors import PipelineError

# What Python's \w and \s are, in RE2's words.
_WORD = r"\p{L}\p{N}_"
_SPACE = r"\s\x{0b}\x{1c}-\x{1f}\x{85}\p{Z}"
_SPACES = f"[{_SPACE}]+"

# Numbers of tokens: those of the vocabulary count from 0.
_UNKNOWN, _DROPPED, _BOUNDARY = -1, -2, -3
_PADDING = "\x02padding"
# Where a batch has no token at all the Tokenizer's output loses a dimension: a row that has one is added, and
# taken away in the end.
_EXTRA = "aa00"


class _Graph(Graph):
    """With what numbers of tokens need."""

    def same(self, numbers: str, number: int) -> str:
        """Where numbers are a number."""
        return self.node("Equal", numbers, self.constant([number]), version=13)

    def where(self, condition: str, value: int, otherwise: str) -> str:
        """The value where the condition holds."""
        return self.node("Where", condition, self.constant([value]), otherwise, version=16)

    def shifted(self, numbers: str, columns: int) -> str:
        """Each number's neighbour, `columns` to the right; beyond the end they are dropped ones."""
        pads = self.constant([0, max(0, -columns), 0, max(0, columns)])
        wide = self.node("Pad", numbers, pads, self.constant(_DROPPED), version=18)
        start, end = (columns, 1 << 40) if columns > 0 else (0, columns)
        return self.node(
            "Slice", wide, self.constant([start]), self.constant([end]), self.constant([1]), version=13
        )


def register() -> None:
    """Make skl2onnx use these."""
    for kind in (CountVectorizer, TfidfVectorizer):
        update_registered_converter(
            kind, f"ModelService{kind.__name__}", _shape, _convert, overwrite=True, options=None
        )


def _shape(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    size = max(operator.raw_operator.vocabulary_.values()) + 1
    operator.outputs[0].type = FloatTensorType([rows, size])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    vectorizer = operator.raw_operator
    _check(vectorizer)
    graph = _Graph(scope, container)
    terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    grams = [_split(vectorizer, term) for term in terms]
    ids = {token: number for number, token in enumerate(sorted({token for gram in grams for token in gram}))}
    extra = grams[0][0] if vectorizer.analyzer == "word" else _EXTRA
    texts = graph.node("Reshape", operator.inputs[0].full_name, graph.constant([-1]), version=14)
    texts = graph.node("Concat", texts, graph.constant([extra], TensorProto.STRING), axis=0, version=13)
    if vectorizer.lowercase:
        texts = graph.node(
            "StringNormalizer",
            texts,
            case_change_action="LOWER",
            is_case_sensitive=0,
            locale="C.UTF-8",
            version=10,
        )
    numbers = _number_words(graph, vectorizer, texts, ids)
    counts = _count(graph, numbers, grams, ids)
    counts = graph.node(
        "Slice", counts, graph.constant([0]), graph.constant([-1]), graph.constant([0]), version=13
    )
    result = _weigh(graph, vectorizer, counts)
    container.add_node(
        "Identity",
        [result],
        [operator.outputs[0].full_name],
        op_version=16,
        name=scope.get_unique_operator_name("Identity"),
    )


def _check(vectorizer: Any) -> None:
    """Refuse what has no counterpart. Raises PipelineError."""
    for name in ("preprocessor", "tokenizer", "strip_accents"):
        if getattr(vectorizer, name) is not None:
            raise PipelineError(
                f"{type(vectorizer).__name__}({name}=...) has no counterpart in ONNX; "
                "do it to the texts before they are sent, or leave it out and train again"
            )
    if vectorizer.analyzer not in ("word", "char", "char_wb"):
        raise PipelineError(
            f"{type(vectorizer).__name__}(analyzer={vectorizer.analyzer!r}) is a function of your own, which "
            "has no counterpart in ONNX; 'word', 'char' and 'char_wb' have one"
        )
    if vectorizer.analyzer == "char_wb" and vectorizer.ngram_range[0] > 3:
        raise PipelineError(
            "analyzer='char_wb' is converted for n-grams that begin with 3 characters at most"
        )


def _split(vectorizer: Any, term: str) -> list[str]:
    """The tokens of a term of the vocabulary."""
    return term.split(" ") if vectorizer.analyzer == "word" else list(term)


def to_re2(pattern: str) -> str:
    r"""A pattern of Python's as RE2 has it: \w, \d and \s mean all scripts there. Raises PipelineError.

    RE2 looks at nothing beside a match; as long as a pattern is a run of word characters, `\b` around it
    holds anyway.
    """
    text = pattern.removeprefix("(?u)")
    run = re.fullmatch(r"\\b((?:\\w)+[+]?(?:\{\d+,?\d*\})?)\\b", text)
    if run:
        text = run[1]
    if "(?<" in text or "(?=" in text or "(?!" in text or re.search(r"(?<!\\)\((?!\?)", text):
        raise PipelineError(
            f"token_pattern={pattern!r} has no counterpart in ONNX Runtime's regular expressions, which know "
            r"no groups and no looking around; (?u)\b\w\w+\b, the default, \w+ and \S+ have one"
        )
    inside = re.sub(r"\[[^\]]*\]", lambda found: _classes(found[0], nested=True), text)
    return _classes(inside, nested=False)


def _classes(text: str, *, nested: bool) -> str:
    for short, meaning in ((r"\w", _WORD), (r"\d", r"\p{Nd}"), (r"\s", _SPACE)):
        text = text.replace(short, meaning if nested else f"[{meaning}]")
    return text if nested else text.replace(r"\S", f"[^{_SPACE}]").replace(r"\W", f"[^{_WORD}]")


def _number_words(graph: _Graph, vectorizer: Any, texts: str, ids: dict[str, int]) -> str:
    """Numbers of the tokens of each text, [rows, tokens]."""
    is_word = vectorizer.analyzer == "word"
    # A run of spaces is one character; a single one stays what it is.
    pattern = to_re2(vectorizer.token_pattern) if is_word else f"(?s){_SPACES}|."
    tokens = graph.node(
        "Tokenizer",
        texts,
        domain="com.microsoft",
        version=1,
        mark=0,
        mincharnum=1,
        pad_value=_PADDING,
        tokenexp=pattern,
    )
    numbers = dict(ids)
    dropped = [_PADDING, *((vectorizer.get_stop_words() or ()) if is_word else ())]
    numbers.update(dict.fromkeys(dropped, _DROPPED))
    found = graph.node(
        "LabelEncoder",
        tokens,
        domain="ai.onnx.ml",
        version=2,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=_UNKNOWN,
    )
    if not is_word:
        found = _number_spaces(graph, vectorizer, tokens, found, ids)
    return (
        _compact(graph, found)
        if vectorizer.analyzer != "char" and (len(dropped) > 1 or not is_word)
        else found
    )


def _number_spaces(graph: _Graph, vectorizer: Any, tokens: str, numbers: str, ids: dict[str, int]) -> str:
    """Make a run of spaces one space; for `char_wb` the end of a word and the beginning of the next."""
    space = ids.get(" ", _UNKNOWN)
    if vectorizer.analyzer == "char":
        several = graph.node("RegexFullMatch", tokens, pattern=f"[{_SPACE}]{{2,}}", version=20)
        return graph.where(several, space, numbers)
    is_space = graph.node("RegexFullMatch", tokens, pattern=_SPACES, version=20)
    # Spaces before the first word and behind the last are none.
    numbers = graph.where(is_space, _BOUNDARY, numbers)
    behind = graph.same(graph.shifted(numbers, 1), _DROPPED)
    before = graph.same(graph.shifted(numbers, -1), _DROPPED)
    at_edge = graph.node("Or", behind, before, version=7)
    outer = graph.node("And", is_space, at_edge, version=7)
    numbers = graph.where(outer, _DROPPED, numbers)
    inner = graph.same(numbers, _BOUNDARY)
    beside = graph.where(inner, space, graph.where(graph.node("Not", inner, version=1), _DROPPED, numbers))
    axis = graph.constant([2])
    three = [graph.node("Unsqueeze", one, axis, version=13) for one in (beside, numbers, beside)]
    wide = graph.node("Concat", *three, axis=2, version=13)
    flat = graph.node("Reshape", wide, graph.constant([0, -1]), version=14)
    most = graph.node("ReduceMax", numbers, graph.constant([1]), keepdims=1, version=18)
    # A text without words has no end of a word either.
    edge = graph.where(graph.same(most, _DROPPED), _DROPPED, graph.constant([[space]]))
    return graph.node("Concat", edge, flat, edge, axis=1, version=13)


def _compact(graph: _Graph, numbers: str) -> str:
    """Move what was dropped behind the rest of its row, in order: n-grams reach over it."""
    dropped = graph.node("Cast", graph.same(numbers, _DROPPED), to=TensorProto.INT64, version=13)
    shape = graph.node("Shape", numbers, version=15)
    width = graph.node("Gather", shape, graph.constant([1]), axis=0, version=13)
    places = graph.node(
        "CumSum", graph.node("ConstantOfShape", shape, version=9, value=_one()), graph.constant(1), version=14
    )
    keys = graph.node("Add", graph.node("Mul", dropped, width, version=14), places, version=14)
    _, order = graph.nodes("TopK", keys, width, count=2, axis=1, largest=0, sorted=1, version=11)
    return graph.node("GatherElements", numbers, order, axis=1, version=13)


def _one() -> Any:
    from onnx import helper

    return helper.make_tensor("value", TensorProto.INT64, [1], [1])


def _count(graph: _Graph, numbers: str, grams: list[list[str]], ids: dict[str, int]) -> str:
    """How often each n-gram is in each row, [rows, terms]."""
    order = sorted(range(len(grams)), key=lambda index: len(grams[index]))
    longest = len(grams[order[-1]])
    lengths = [len(grams[index]) for index in order]
    pool = [ids[token] for index in order for token in grams[index]]
    starts, size = [], 0
    for length in range(1, longest + 1):
        starts.append(size)
        size += length * lengths.count(length)
    return graph.node(
        "TfIdfVectorizer",
        numbers,
        version=9,
        mode="TF",
        min_gram_length=lengths[0],
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=order,
        pool_int64s=pool,
    )


def _weigh(graph: _Graph, vectorizer: Any, counts: str) -> str:
    """Counts as the vectorizer weighs them."""
    real = TensorProto.FLOAT
    if vectorizer.binary:
        counts = graph.node("Sign", counts, version=13)
    if not isinstance(vectorizer, TfidfVectorizer):
        return counts
    if vectorizer.sublinear_tf:
        safe = graph.node("Max", counts, graph.constant([1.0], real), version=13)
        counts = graph.node(
            "Mul",
            graph.node("Sign", counts, version=13),
            graph.node("Add", graph.node("Log", safe, version=13), graph.constant([1.0], real), version=14),
            version=14,
        )
    if vectorizer.use_idf:
        counts = graph.node(
            "Mul", counts, graph.constant(vectorizer.idf_.astype(np.float32), real), version=14
        )
    if vectorizer.norm is None:
        return counts
    kind = "ReduceL2" if vectorizer.norm == "l2" else "ReduceL1"
    norm = graph.node(kind, counts, graph.constant([1]), keepdims=1, version=18)
    least = graph.node("Max", norm, graph.constant([1e-30], real), version=13)
    return graph.node("Div", counts, least, version=14)
