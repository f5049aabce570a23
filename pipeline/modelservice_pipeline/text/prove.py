"""Holds a graph of a tokenizer to the library: the same tokens for every text, alone as in a batch."""

import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tokenizers import Tokenizer

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.report.progress import track

_BATCH = 32


def load_library_tokenizer(config: dict[str, Any]) -> Tokenizer:
    """Return the library's own tokenizer, without padding. Raises PipelineError where it is refused."""
    try:
        tokenizer = Tokenizer.from_str(json.dumps(config))
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        raise PipelineError(f"the library tokenizers refuses this tokenizer: {error}") from None
    tokenizer.no_padding()
    return tokenizer


def prove_tokens(model: OnnxModel, library: Tokenizer, texts: Sequence[str]) -> None:
    """Compare the tokens of texts; raises PipelineError with the first text that differs.

    Args:
        model: Answers input_ids and attention_mask for text.
        library: What it is held to.
        texts: What is compared: each in a batch, and the first ones alone too.
    """
    alone = [[text] for text in texts[: 2 * _BATCH]]
    batches = [list(texts[begin : begin + _BATCH]) for begin in range(0, len(texts), _BATCH)]
    for batch in track([*batches, *alone], "Comparing tokens"):
        expected = _encode(library, batch)
        for text, ours, theirs in zip(batch, tokens_of(model, batch), expected, strict=True):
            if ours != theirs:
                raise PipelineError(_describe(library, text, ours, theirs))


def prove_texts(model: OnnxModel, library: Tokenizer, texts: Sequence[str]) -> int:
    """Compare the texts of tokens: those of texts, and as many at random. Returns how many were compared.

    Raises PipelineError with the first tokens whose texts differ.
    """
    draw = random.Random(0)  # noqa: S311 - chosen texts, no secrets
    size = library.get_vocab_size(with_added_tokens=True)
    rows = _encode(library, list(texts))
    rows += [[draw.randrange(size) for _ in range(draw.randrange(1, 12))] for _ in texts]
    for begin in track(range(0, len(rows), _BATCH), "Comparing texts"):
        batch = rows[begin : begin + _BATCH]
        width = max(1, *map(len, batch))
        ids = np.array([[*row, *[-1] * (width - len(row))] for row in batch], np.int64)
        for row, text in zip(batch, model.run({"ids": ids})["text"], strict=True):
            expected = library.decode(row)
            if text != expected:
                raise PipelineError(
                    f"this tokenizer's decoder cannot be written into a graph: of the tokens {row[:12]} the "
                    f"graph makes {text[:80]!r}, the library {expected[:80]!r}"
                )
    return len(rows)


def _encode(library: Tokenizer, texts: list[str]) -> list[list[int]]:
    try:
        return [encoding.ids for encoding in library.encode_batch(texts)]
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        raise PipelineError(f"the library tokenizers fails on texts with this tokenizer: {error}") from None


def tokens_of(model: OnnxModel, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts, without padding."""
    answer = model.run({"text": np.array(texts, object)})
    pairs: Iterable[tuple[Any, Any]] = zip(answer["input_ids"], answer["attention_mask"], strict=True)
    return [ids[mask == 1].tolist() for ids, mask in pairs]


def prove_answers(
    model: OnnxModel, core: OnnxModel, roles: Mapping[str, str], library: Tokenizer, texts: Sequence[str]
) -> float:
    """Compare what a joined model answers with what its core answers for the library's tokens.

    Each text is asked alone, without padding. Returns the largest difference; raises PipelineError for one
    beyond what the order of sums explains.

    Args:
        model: Takes text; its outputs are those of the core.
        core: Takes tokens.
        roles: What each input of the core is for: ids, mask or types.
        library: Makes the tokens.
        texts: What is compared; those without a token are left out.
    """
    worst = 0.0
    for text in track(texts, "Comparing answers"):
        ids = np.array([library.encode(text).ids])
        if ids.size == 0:
            continue
        values = {"ids": ids, "mask": np.ones_like(ids), "types": np.zeros_like(ids)}
        types = {port.name: port.dtype for port in core.inputs}
        expected = core.run({name: values[role].astype(types[name]) for name, role in roles.items()})
        got = model.run({"text": np.array([text], object)})
        for name, answer in got.items():
            worst = max(worst, _difference(name, text, answer, expected[name]))
    return worst


def _difference(name: str, text: str, got: Any, expected: Any) -> float:
    if got.shape != expected.shape or not np.allclose(got, expected, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise PipelineError(f"the output {name!r} for {text[:80]!r} is not what the model itself answers")
    return float(np.max(np.abs(got.astype(np.float64) - expected), initial=0.0))


def prove_batches(model: OnnxModel, texts: Sequence[str]) -> float:
    """Compare answers of batches with those alone; returns the largest difference. Raises PipelineError.

    Only outputs of one vector a text are compared: others have the length of the longest text of the batch.
    """
    names = [port.name for port in model.outputs if len(port.shape) == 2]
    together = model.run({"text": np.array(texts, object)})
    worst = 0.0
    for row, text in enumerate(track(texts, "Comparing batches")):
        alone = model.run({"text": np.array([text], object)})
        for name in names:
            worst = max(worst, _difference(name, text, together[name][row : row + 1], alone[name]))
    return worst


@contextmanager
def loaded(model: onnx.ModelProto) -> Iterator[OnnxModel]:
    """Load a model that is not written yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx.save(model, path)
        yield OnnxModel(path)


def measure_microseconds(model: OnnxModel, texts: Sequence[str]) -> int:
    """Return the CPU time that a text takes in batches, on one thread."""
    batches = [list(texts[begin : begin + _BATCH]) for begin in range(0, len(texts), _BATCH)]
    begin = time.process_time()
    for batch in batches:
        model.run({"text": np.array(batch, object)})
    return round((time.process_time() - begin) / len(texts) * 1e6)


def _describe(library: Tokenizer, text: str, ours: list[int], theirs: list[int]) -> str:
    place = next(
        (place for place, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(ours), len(theirs)),
    )
    shown = [[library.id_to_token(token) for token in ids[place : place + 5]] for ids in (ours, theirs)]
    return (
        f"this tokenizer cannot be written into a graph: for {text[:80]!r} the graph has from token {place} "
        f"on {shown[0]}, the library {shown[1]}"
    )
