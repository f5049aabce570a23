"""Operators on texts. Splitting pads every row to the longest one of the batch, which only some may see."""

import re
import warnings
from dataclasses import replace

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.rules.elementwise import cast_numbers, elementwise
from modelservice_runtime.onnx.rows.sizes import MixingError, Size
from modelservice_runtime.onnx.rows.values import Padding, Tensor, Value, dims_of

_PADDED = "its input is padded to the longest row of the batch"


def _normalizer(call: Call) -> list[Value]:
    """Element by element, unless stop words are dropped: then the rest moves up."""
    x = call.tensor(0)
    stopwords = call.attribute("stopwords")
    if stopwords is not None and any(True for _ in stopwords.texts()):
        raise MixingError("it drops stop words, and whatever stands behind moves into their place")
    if x.axis is not None and len(dims_of(x)) != 1:
        raise MixingError("it takes one row only")
    return [Tensor(x.dims, x.axis, x.before)]


def _split(call: Call) -> list[Value]:
    """Adds an axis as long as the longest row needs; an empty text, as padding is, has no parts."""
    x = call.tensor(0)
    dims = dims_of(x)
    if x.axis is None:
        return [Tensor((*dims, call.symbols.fresh())), Tensor(dims)]
    old = x.padding or Padding(frozenset(), "")
    if old.fill != "":
        raise MixingError(_PADDED)
    longest = call.symbols.fresh(of_batch=True)
    padding = Padding(old.axes | {len(dims)}, "", old.scattered)
    counts = replace(x, padding=Padding(old.axes, 0.0, old.scattered) if old.axes else None)
    return [Tensor((*dims, longest), x.axis, x.before, padding=padding), counts]


def _tokenizer(call: Call) -> list[Value]:
    """com.microsoft's: parts of every text, padded with a text of the model's choice."""
    x = call.tensor(0)
    dims = dims_of(x)
    if x.axis is None:
        return [Tensor((*dims, call.symbols.fresh()))]
    longest = call.symbols.fresh(of_batch=True)
    fill = call.text("pad_value", "")
    return [Tensor((*dims, longest), x.axis, x.before, padding=Padding(frozenset({len(dims)}), fill))]


def _tf_idf(call: Call) -> list[Value]:
    """Counts n-grams of a pool; padding that is in no n-gram of the pool changes nothing."""
    x = call.tensor(0)
    dims = dims_of(x)
    if x.axis is not None and (x.axis != 0 or len(dims) != 2):
        raise MixingError("the rows are not its documents")
    if x.padding is not None:
        _check_unseen(call, x.padding)
    indexes = call.integers("ngram_indexes") or (0,)
    width = Size(max(indexes) + 1)
    return [Tensor((*dims[:-1], width), x.axis, x.before)]


def _check_unseen(call: Call, padding: Padding) -> None:
    pool = call.attribute("pool_strings")
    fill = padding.fill.encode("utf-8", "surrogateescape") if isinstance(padding.fill, str) else None
    if pool is None or fill is None or fill in set(pool.texts()):
        raise MixingError("its pool holds the text that pads rows to the longest one of the batch")
    # Padding between two words parts an n-gram that they make up without it.
    if padding.scattered and call.integer("max_gram_length", 0) != 1:
        raise MixingError("rows that are padded in between change its n-grams")


def _full_match(call: Call) -> list[Value]:
    x = call.tensor(0)
    if x.padding is None:
        return elementwise(call)
    if x.padding.fill != "" or _may_match_nothing(call.text("pattern", "")):
        raise MixingError(_PADDED)
    return [replace(x, padding=replace(x.padding, fill=0.0))]


def _may_match_nothing(pattern: str) -> bool:
    """False where an empty text matches neither by Python's reading of the pattern nor by RE2's.

    For empty texts the two differ in classes by name and in some backslashes only: those are not judged.
    """
    if "[:" in pattern or "\\" in pattern:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.fullmatch(pattern, "") is not None
    except (re.error, FutureWarning, DeprecationWarning, OverflowError, RecursionError):
        return True


def _cast(call: Call) -> list[Value]:
    """A number that pads stays the same number in the types that are large enough for 0 and 1."""
    x = call.tensor(0)
    if x.padding is None:
        return cast_numbers(call)
    if x.padding.fill != 0 or call.integer("to", 0) == 8:
        raise MixingError(_PADDED)
    return [x]


RULES: Rules = {
    ("", "StringNormalizer"): Rule(_normalizer),
    ("", "StringConcat"): Rule(elementwise),
    ("", "StringSplit"): Rule(_split, padded=True),
    ("", "TfIdfVectorizer"): Rule(_tf_idf, padded=True),
    ("", "RegexFullMatch"): Rule(_full_match, padded=True),
    ("", "Cast"): Rule(_cast, keeps_values=True, places=True, padded=True),
    ("com.microsoft", "Tokenizer"): Rule(_tokenizer),
}
