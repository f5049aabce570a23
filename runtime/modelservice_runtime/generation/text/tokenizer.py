"""The tokenizer of a model's folder, checked before it is trusted with texts.

A `tokenizer.json` is data, but data that says what is done to every text: rules that make a text longer, or
pad it, would take the memory of the server.
"""

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.generation.text.files import parse_object, read_text
from modelservice_runtime.generation.text.panics import failures_told

FILE_NAME = "tokenizer.json"
# Those of the largest vocabularies have 35 MB.
_MAX_BYTES = 100_000_000
# Llama 2 makes three bytes of a space; nobody needs rules that make a page of a word.
_MAX_GROWTH = 64
_MAX_ADDED_TOKENS = 64
# The same as a graph may have; forms are kept by a table with a place for every id up to the largest.
_MAX_ID = 1 << 24
_EXPORT = "export the model again with onnxruntime-genai's model builder"


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read and check it. Raises ModelLoadFailedError (no tokenizer), ModelRejectedError (not served)."""
    content = read_text(folder / FILE_NAME, _MAX_BYTES)
    if content is None:
        raise ModelLoadFailedError(f"the folder has no {FILE_NAME}; {_EXPORT}")
    config = parse_object(content, FILE_NAME)
    try:
        _check(config)
    except RecursionError as error:
        raise ModelRejectedError(f"{FILE_NAME}: rules lie too deep within each other; {_EXPORT}") from error
    with failures_told(lambda sentence: ModelLoadFailedError(f"{FILE_NAME}: {sentence}; {_EXPORT}")):
        tokenizer = Tokenizer.from_str(content)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.decode(tokenizer.encode("A text").ids)
    return tokenizer


def _check(config: Mapping[str, Any]) -> None:
    largest = _largest_id(config.get("model"))
    if largest >= _MAX_ID:
        raise ModelRejectedError(
            f"{FILE_NAME}: model.vocab has the id {largest}, expected less than {_MAX_ID}; {_EXPORT}"
        )
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        rules = list(_rules(config.get(part)))
        growth = prod(map(_growth, rules))
        if growth > _MAX_GROWTH:
            raise ModelRejectedError(f"{FILE_NAME}: {part} makes texts {growth} times as long; {_EXPORT}")
    added = sum(map(_added_tokens, _rules(config.get("post_processor"))))
    if added > _MAX_ADDED_TOKENS:
        raise ModelRejectedError(f"{FILE_NAME}: post_processor adds {added} tokens to every text; {_EXPORT}")


def _largest_id(model: object) -> int:
    """Of a vocabulary that names ids; what is none is for the library to refuse."""
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids = vocabulary.values() if isinstance(vocabulary, dict) else ()
    return max((one for one in ids if isinstance(one, int)), default=0)


def _rules(part: object) -> Iterator[Mapping[str, Any]]:
    """All rules of a part, with those within sequences of them."""
    if isinstance(part, list):
        for one in part:
            yield from _rules(one)
    elif isinstance(part, dict):
        yield part
        for value in part.values():
            if isinstance(value, list | dict):
                yield from _rules(value)


def _growth(rule: Mapping[str, Any]) -> int:
    """How much longer a rule may make a text: what one character, or the place before one, can become."""
    texts = [rule.get(field) for field in ("content", "prepend", "replacement")]
    return max((len(text) for text in texts if isinstance(text, str)), default=1) or 1


def _added_tokens(rule: Mapping[str, Any]) -> int:
    """How many tokens a rule puts around a text."""
    return sum(
        len(value) for field in ("single", "pair", "ids") if isinstance(value := rule.get(field), list)
    )
