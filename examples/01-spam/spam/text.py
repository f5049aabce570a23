"""How a message becomes features, in plain Python.

The exported graph (`spam.export`) does the same with standard ONNX operators; the tests hold the two
together. Everything here is therefore limited to what those operators do: lower-casing one code point at
a time, splitting at four ASCII separators, counting whole tokens, matching whole tokens by RE2 patterns.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

# ONNX Runtime's StringSplit without a delimiter splits at the space character only, so the other
# separators that messages contain are named here and in the graph.
SEPARATORS = ("\r", "\n", "\t", " ")

# Properties of a token that a vocabulary cannot know: a telephone number never seen before is still one.
TOKEN_PATTERNS = {
    "long_number": ".*[0-9]{5}.*",
    "digit": ".*[0-9].*",
    "pound_sign": ".*£.*",
    "web_address": ".*(www|http|[.]co).*",
    "exclamation": ".*!.*",
    "short_word": ".{1,3}",
    "long_word": ".{9,}",
}
_COMPILED = [re.compile(pattern) for pattern in TOKEN_PATTERNS.values()]
_SPLIT = re.compile("[" + "".join(SEPARATORS) + "]+")
# str.lower() maps this letter to two code points; towlower(), which ONNX Runtime calls, to one.
_DOTTED_CAPITAL_I = "\u0130"


def lower(text: str) -> str:
    """Lower-case `text` one code point at a time, as StringNormalizer does with locale C.UTF-8."""
    if text.isascii():
        return text.lower()
    return "".join("i" if char == _DOTTED_CAPITAL_I else char.lower() for char in text)


def tokenize(text: str) -> list[str]:
    """Return the lower-case tokens of a message; an empty or blank message has none."""
    return [token for token in _SPLIT.split(lower(text)) if token]


def build_vocabulary(texts: Iterable[str], minimum_messages: int) -> list[str]:
    """Return, sorted, the tokens that occur in at least `minimum_messages` of the texts."""
    messages_with = Counter(token for text in texts for token in set(tokenize(text)))
    return sorted(token for token, count in messages_with.items() if count >= minimum_messages)


def count_features(texts: Sequence[str], vocabulary: Sequence[str]) -> npt.NDArray[np.float32]:
    """Count vocabulary tokens and token patterns: float32 [messages, vocabulary + patterns]."""
    index = {token: i for i, token in enumerate(vocabulary)}
    counts = np.zeros((len(texts), len(vocabulary) + len(_COMPILED)), dtype=np.float32)
    for row, text in zip(counts, texts, strict=True):
        for token in tokenize(text):
            if token in index:
                row[index[token]] += 1
            for i, pattern in enumerate(_COMPILED):
                row[len(vocabulary) + i] += pattern.fullmatch(token) is not None
    return counts
