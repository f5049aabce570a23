"""A Hugging Face tokenizer.json as a part of a graph: texts in, the same tokens out as of the library."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.added import AddedToken, mark_tokens, read_added_tokens
from modelservice_pipeline.text.assemble import Encoded, Frame, assemble, read_frame
from modelservice_pipeline.text.characters import read_characters
from modelservice_pipeline.text.graph import Graph, Value
from modelservice_pipeline.text.models import Model, read_model
from modelservice_pipeline.text.normalize import read_normalizer
from modelservice_pipeline.text.split import Step, read_pre_tokenizer
from modelservice_pipeline.text.unicode import library_normalizer


@dataclass(frozen=True)
class GraphTokenizer:
    """A tokenizer that writes itself into graphs.

    Attributes:
        raw_tokens: Added tokens that are looked for in the text as it is.
        normalized_tokens: Added tokens that are looked for in the normalized text.
        normalize: The steps that rewrite texts.
        split: The steps that cut them into pieces.
        model: Makes tokens of pieces.
        frame: Truncation, the tokens around a text, padding.
    """

    raw_tokens: list[AddedToken]
    normalized_tokens: list[AddedToken]
    normalize: list[Step]
    split: list[Step]
    model: Model
    frame: Frame

    def encode(self, graph: Graph, text: Value) -> Encoded:
        """Return the tokens of texts [N]. An answer for one text never depends on the others."""
        characters = mark_tokens(graph, read_characters(graph, text), self.raw_tokens)
        for step in self.normalize:
            characters = step(graph, characters)
        characters = mark_tokens(graph, characters, self.normalized_tokens)
        for step in self.split:
            characters = step(graph, characters)
        return assemble(graph, self.model(graph, characters), self.frame)


def read_tokenizer(config: dict[str, Any]) -> GraphTokenizer:
    """Return the tokenizer of a tokenizer.json. Raises PipelineError for what is not supported."""
    try:
        return _read(config)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise PipelineError(
            f"this is no tokenizer.json of Hugging Face as it should be: {type(error).__name__} {error}"
        ) from error


def _read(config: dict[str, Any]) -> GraphTokenizer:
    added = read_added_tokens(config.get("added_tokens") or [])
    normalize = read_normalizer(config.get("normalizer"))  # before the library is asked for the same
    return GraphTokenizer(
        [token for token in added if not token.normalized],
        _normalize([token for token in added if token.normalized], config.get("normalizer")),
        normalize,
        read_pre_tokenizer(config.get("pre_tokenizer")),
        read_model(config["model"]),
        read_frame(config),
    )


def _normalize(tokens: list[AddedToken], normalizer: dict[str, Any] | None) -> list[AddedToken]:
    """Return tokens written as they are after normalizing, such as "▁<x>" for "<x>"."""
    if normalizer is None:
        return tokens
    library = library_normalizer(normalizer)
    written = [replace(token, content=library.normalize_str(token.content)) for token in tokens]
    return [token for token in written if token.content]


def load_tokenizer(path: Path) -> GraphTokenizer:
    """Read a tokenizer.json. Raises PipelineError where it cannot be read or used."""
    return read_tokenizer(load_config(path))


def load_config(path: Path) -> dict[str, Any]:
    """Read a tokenizer.json as it is. Raises PipelineError where it is none."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise PipelineError(f"{path} is no tokenizer.json of Hugging Face: it has no 'model'")
    if config["model"].get("vocab") in ({}, []):
        raise PipelineError(f"the vocabulary of {path} is empty: expected the tokens of a trained tokenizer")
    return config
