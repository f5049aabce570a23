"""Texts for models that take tokens: the tokenizer beside a graph, and how its states become a vector.

`1_Pooling/config.json` says which states of a text count, `modules.json` whether the vector is brought to
length 1, `config.json` what makes a relevance of a score; where they lie, `models.text_files` says.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from modelservice_runtime.errors import InferenceFailedError, ModelRejectedError, StartupError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.text_files import (
    CONFIG_NAME,
    FURTHER_NAMES,
    IDS,
    LENGTHS,
    MASK,
    MODULES_NAME,
    POOLING_NAME,
    TOKENIZER_NAME,
    TYPES,
    takes_tokens,
    text_folders,
)
from modelservice_runtime.tensors import BF16, Array, TensorSpec

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

log = logging.getLogger(__name__)

_MAX_JSON_BYTES = 1024 * 1024
_DEFAULT_MAX_TOKENS = 512
_PADDINGS = ("[PAD]", "<pad>", "<|endoftext|>")
# Vectors that the graph has pooled itself; BERT's own `pooler_output` is none that was trained for texts.
_VECTOR_NAMES = ("sentence_embedding", "embedding", "embeddings", "pooled")

# Enough for a CPU to be as fast as with more: 8 texts of 256 tokens, or hundreds of short ones.
_MAX_TOKENS_OF_A_RUN = 2048

Text: TypeAlias = str | tuple[str, str]
Pool: TypeAlias = Callable[[Array, Array], Array]
Activation: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """Texts of similar length as one run takes them, and their places among all.

    `mask` tells tokens from padding, (texts, length).
    """

    places: Sequence[int]
    inputs: dict[str, Array]
    mask: Array


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as a model takes them, in one run or several; `count`: all tokens."""

    groups: list[TokenGroup]
    count: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a model gives for a text: scores of pairs, vectors, or states that `pool` makes vectors of.

    `activation` makes the relevance of a score, and leaves the order as it is; None where there are none.
    """

    output: TensorSpec
    pool: Pool | None = None
    normalizes: bool = False
    activation: Activation | None = None


class TextInputs:
    """A model's tokenizer and pooling; used on any thread."""

    def __init__(self, tokenizer: "Tokenizer", spec: ModelSpec, told: Told) -> None:
        self.told = told
        self._tokenizer = tokenizer
        found = ((tokenizer.token_to_id(token), token) for token in _PADDINGS)
        self._padding = next((pair for pair in found if pair[0] is not None), (0, _PADDINGS[0]))
        self._kinds = {tensor.name: tensor.datatype.numpy for tensor in spec.inputs}

    @property
    def width(self) -> int:
        """Numbers of a vector; -1 where the graph does not say."""
        return (self.told.output.shape or (-1,))[-1]

    def read(self, texts: Sequence[Text]) -> Tokens:
        """Tokens of texts, or of pairs; other threads run meanwhile. Raises InferenceFailedError."""
        from modelservice_runtime.generation.text.panics import failures_told

        with failures_told(
            lambda told: InferenceFailedError(f"the model's tokenizer fails on a text: {told}")
        ):
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = [len(one) for one in encodings]
        places = group_places(lengths, _MAX_TOKENS_OF_A_RUN)
        groups = [self._group(some, encodings) for some in places]
        return Tokens(groups, sum(lengths))

    def _group(self, places: Sequence[int], encodings: Sequence["Encoding"]) -> TokenGroup:
        """One run's texts, padded to the longest, which is the last."""
        chosen = [encodings[place] for place in places]
        for one in chosen:
            one.pad(len(chosen[-1]), pad_id=self._padding[0], pad_token=self._padding[1])
        mask = np.array([one.attention_mask for one in chosen])
        found = {
            IDS: np.array([one.ids for one in chosen]),
            MASK: mask,
            TYPES: np.array([one.type_ids for one in chosen]),
        }
        inputs = {name: found[name].astype(kind) for name, kind in self._kinds.items()}
        return TokenGroup(places, inputs, mask.astype(bool))

    def finish(self, outputs: Sequence[Array], tokens: Tokens) -> Array:
        """The runs' outputs as float32 with a row for each text. Raises InferenceFailedError."""
        rows = [self._finish(*one) for one in zip(outputs, tokens.groups, strict=True)]
        places = np.concatenate([group.places for group in tokens.groups])
        found: Array = np.concatenate(rows)[np.argsort(places)]
        return found

    def _finish(self, values: Array, tokens: TokenGroup) -> Array:
        rows = len(tokens.mask)
        if self.told.pool is None:
            if not values.ndim or len(values) != rows:
                raise InferenceFailedError(f"the model gave {list(values.shape)} numbers for {rows} texts")
            vectors = values.reshape(rows, -1)
        elif values.shape[:2] != tokens.mask.shape:
            raise InferenceFailedError(
                f"the model gave {list(values.shape)} numbers for {list(tokens.mask.shape)} tokens"
            )
        else:
            vectors = self.told.pool(values.astype(np.float32, copy=False), tokens.mask)
        if self.told.normalizes:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return np.asarray(vectors, np.float32)


def group_places(lengths: Sequence[int], most: int) -> list[list[int]]:
    """The texts' places by length, in groups of at most so much with their padding, or of one text.

    A run pads its texts to the longest, and takes memory for all: one long text among many short ones would
    make each of them as long.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths[place] > most:
            groups.append([])
        groups[-1].append(place)
    return groups


def load_text_inputs(spec: ModelSpec, path: Path) -> TextInputs | None:
    """What stands beside a graph that takes tokens; None where texts are no business of the model.

    Files that cannot be used are logged: the model serves tensors all the same.
    """
    folder = _find_folder(path) if _takes_tokens(spec) else None
    if folder is None:
        return None
    try:
        told = _find_told(spec, folder)
        return TextInputs(_load_tokenizer(folder), spec, told)
    except StartupError as error:
        log.warning("texts cannot be read for the model", extra={"model": spec.name, "error": error.sentence})
        return None


def text_files_of(spec: ModelSpec, path: Path) -> dict[str, Path]:
    """The files that tell how texts are read, by their names; none for a model that reads none."""
    folder = _find_folder(path) if _takes_tokens(spec) else None
    return {} if folder is None else {name: folder / name for name in (TOKENIZER_NAME, *FURTHER_NAMES)}


def _takes_tokens(spec: ModelSpec) -> bool:
    return takes_tokens(spec.input_by_name) and all(
        tensor.datatype.numpy.kind == "i" and len(tensor.shape or ()) == 2 for tensor in spec.inputs
    )


def _find_folder(path: Path) -> Path | None:
    """The folder with the model's tokenizer, if there is one."""
    graph = (path / "model.onnx" if path.is_dir() else path).absolute()
    folders = (graph.parent / folder for folder in text_folders(str(graph)))
    return next((folder for folder in folders if (folder / TOKENIZER_NAME).is_file()), None)


def _find_told(spec: ModelSpec, folder: Path) -> Told:
    """What to make of the outputs. Raises StartupError where nobody says it."""
    floats = [one for one in spec.outputs if one.datatype.is_float and one.datatype is not BF16]
    normalizes = _normalizes(folder)
    matrices = [one for one in floats if len(one.shape or ()) == 2]
    for one in matrices:
        if one.name in _VECTOR_NAMES:
            return Told(one, normalizes=normalizes)
    states = [one for one in floats if len(one.shape or ()) == 3]
    if states:
        return Told(states[0], _read_pooling(folder), normalizes)
    if len(matrices) == 1 and matrices[0].shape == (-1, 1):
        return Told(matrices[0], activation=_read_activation(folder))
    raise ModelRejectedError(
        "none of its outputs is a state for each token, a vector for each text (sentence_embedding) "
        "or a score"
    )


def _read_pooling(folder: Path) -> Pool:
    """The one way that `1_Pooling/config.json` names. Raises StartupError."""
    config = _read(folder, POOLING_NAME)
    names = [str(config["pooling_mode"])] if isinstance(config.get("pooling_mode"), str) else []
    names += [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    known = [_POOLS.get(name) for name in names]
    if len(known) == 1 and known[0] is not None:
        return known[0]
    raise ModelRejectedError(
        f"{POOLING_NAME} says {', '.join(names) or 'nothing'} of how a text's states become a vector; write "
        'one of the ways of sentence-transformers there, such as {"pooling_mode_mean_tokens": true}; known '
        f"are {', '.join(_POOLS)}"
    )


def _read_activation(folder: Path) -> Activation:
    """That of `config.json`, as sentence-transformers writes it; its default. Raises StartupError."""
    config = _read(folder, CONFIG_NAME)
    newer = config.get("sentence_transformers")
    name = newer.get("activation_fn") if isinstance(newer, dict) else None
    name = name or config.get("sbert_ce_default_activation_function") or "torch.nn.modules.activation.Sigmoid"
    known = _ACTIVATIONS.get(str(name).rpartition(".")[2])
    if known is None:
        raise ModelRejectedError(
            f"{CONFIG_NAME} names {str(name)[:100]} for its scores (activation_fn), which is not served; "
            f"known are {', '.join(_ACTIVATIONS)} of torch.nn"
        )
    return known


def _normalizes(folder: Path) -> bool:
    """Whether `modules.json` ends in vectors of length 1. Raises StartupError for what is not served."""
    from modelservice_runtime.generation.text.files import read_text

    content = read_text(folder / MODULES_NAME, _MAX_JSON_BYTES)
    if content is None:
        return False
    kinds = [word for word in ("Normalize", "Dense", "LayerNorm", "CNN", "LSTM") if f".{word}" in content]
    others = [kind for kind in kinds if kind != "Normalize"]
    if others:
        raise ModelRejectedError(
            f"modules.json has a layer behind the graph ({others[0]}), which is not served; export "
            "it with the graph"
        )
    return bool(kinds)


def _load_tokenizer(folder: Path) -> "Tokenizer":
    """Read the tokenizer, with the longest text that the model takes. Raises StartupError."""
    # Imported here: few models of tensors have one.
    from modelservice_runtime.generation.text.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    known = [_read(folder, name).get(field) for name, field in LENGTHS]
    most = [one for one in known if isinstance(one, int) and not isinstance(one, bool) and 2 < one < 1 << 20]
    tokenizer.enable_truncation(min(most, default=_DEFAULT_MAX_TOKENS))
    tokenizer.no_padding()  # that of a run is that of its own texts
    return tokenizer


def _read(folder: Path, name: str) -> Mapping[str, Any]:
    from modelservice_runtime.generation.text.files import read_object

    return read_object(folder / name, _MAX_JSON_BYTES)


def _pool_mean(states: Array, mask: Array) -> Array:
    weights = mask[:, :, None].astype(np.float32)
    return np.asarray((states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9))


def _pool_max(states: Array, mask: Array) -> Array:
    return np.asarray(np.where(mask[:, :, None], states, np.float32(-1e9)).max(axis=1))


def _pool_first(states: Array, mask: Array) -> Array:
    return np.asarray(states[np.arange(len(mask)), mask.argmax(axis=1)])


def _pool_last(states: Array, mask: Array) -> Array:
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return np.asarray(states[np.arange(len(mask)), last])


def _sigmoid(scores: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores.astype(np.float64))))


_ACTIVATIONS: Mapping[str, Activation] = {"Sigmoid": _sigmoid, "Tanh": np.tanh, "Identity": np.asarray}
_POOLS: Mapping[str, Pool] = {
    "pooling_mode_mean_tokens": _pool_mean, "mean": _pool_mean,
    "pooling_mode_cls_token": _pool_first, "cls": _pool_first,
    "pooling_mode_max_tokens": _pool_max, "max": _pool_max,
    "pooling_mode_lasttoken": _pool_last, "lasttoken": _pool_last,
}  # fmt: skip
