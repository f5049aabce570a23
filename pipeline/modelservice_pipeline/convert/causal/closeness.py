"""How near a converted language model is to transformers: its scores of the tokens that those took.

Both read the same prompts, and then the tokens that transformers take greedily, so each place is compared on
its own: where the first is another one, the greedy texts part.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.job import REFERENCE_NAME
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.proof.proof import Array, Tolerance


@dataclass(frozen=True)
class Reference:
    """One prompt in transformers: its tokens, those taken greedily, and the scores each was taken by.

    `logits` has the shape (tokens, vocabulary).
    """

    prompt: Array
    tokens: Array
    logits: Array


@dataclass(frozen=True)
class Closeness:
    """What the comparison found.

    Attributes:
        tokens: How many places were compared.
        equal_tokens: Places before the greedy texts part, of all.
        same_best: Places where both find the same token best, of all.
        mean_divergence: Kullback-Leibler divergence of the converted model's probabilities from those of
            transformers, in nats, on average over the places.
        worst_divergence: The largest of them.
        largest_difference: Of two scores.
        surely_other: Places where another token is best by more than the tolerance: no tie.
    """

    tokens: int
    equal_tokens: int
    same_best: int
    mean_divergence: float
    worst_divergence: float
    largest_difference: float
    surely_other: int


def read_references(folder: Path) -> list[Reference]:
    """Read what the framework's process wrote."""
    with np.load(folder / REFERENCE_NAME, allow_pickle=False) as file:
        count = int(file["count"])
        return [
            Reference(file[f"prompt_{one}"], file[f"tokens_{one}"], file[f"logits_{one}"])
            for one in range(count)
        ]


class Decoder:
    """A folder of the builder, run as it stands: without memory that is shared, one text at a time."""

    def __init__(self, folder: Path, threads: int) -> None:
        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        decoder = config["decoder"]
        self.layers: int = decoder["num_hidden_layers"]
        self._model = OnnxModel(folder / decoder["filename"], threads)
        self._names: Mapping[str, Mapping[str, str]] = decoder
        dtypes = {port.name: port.dtype for port in self._model.inputs}
        shape = (1, decoder["num_key_value_heads"], 0, decoder["head_size"])
        self._adapter: Mapping[str, Array] = {}
        self.dtype = dtypes[next(iter(self._caches("inputs", "past")))]
        self._empty = {name: np.zeros(shape, dtypes[name]) for name in self._caches("inputs", "past")}

    @property
    def inputs(self) -> list[str]:
        """Names of what it takes."""
        return [port.name for port in self._model.inputs]

    @property
    def outputs(self) -> list[str]:
        """Names of what it answers."""
        return [port.name for port in self._model.outputs]

    def take_adapter(self, values: Mapping[str, Array]) -> None:
        """Run with an adapter from now on: the values of the graph's optional inputs."""
        self._adapter = values

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Any]:
        """Run the graph. Raises PipelineError."""
        return self._model.run({**inputs, **self._adapter})

    def logits(self, reference: Reference) -> Array:
        """The scores by which each token of a reference would be taken, of the shape of its own."""
        past, found, length = self._empty, [], 0
        for ids in (reference.prompt, *reference.tokens[:-1, None]):
            length += len(ids)
            names = self._names["inputs"]
            given = {names["input_ids"]: ids[None], names["attention_mask"]: np.ones((1, length), np.int64)}
            outputs = self.run({**given, **past})
            found.append(outputs[self._names["outputs"]["logits"]][0, -1].astype(np.float32))
            present = [outputs[name] for name in self._caches("outputs", "present")]
            past = dict(zip(self._empty, present, strict=True))
        return np.stack(found)

    def _caches(self, side: str, kind: str) -> list[str]:
        names = [self._names[side][f"{kind}_{part}_names"] for part in ("key", "value")]
        return [name % layer for layer in range(self.layers) for name in names]


def measure(references: Sequence[Reference], found: Sequence[Array], tolerance: Tolerance) -> Closeness:
    """Compare scores with those of transformers. Raises PipelineError where some are no numbers."""
    wanted = np.concatenate([reference.logits for reference in references])
    actual = np.concatenate(found)
    if not np.isfinite(actual).all():
        raise PipelineError("the converted model scores tokens with NaN or infinity, and nothing was written")
    same = wanted.argmax(axis=1) == actual.argmax(axis=1)
    bounds = np.cumsum([len(reference.tokens) for reference in references])[:-1]
    divergences = _divergences(wanted, actual)
    return Closeness(
        tokens=len(wanted),
        equal_tokens=sum(int(np.logical_and.accumulate(part).sum()) for part in np.split(same, bounds)),
        same_best=int(same.sum()),
        mean_divergence=float(divergences.mean()),
        worst_divergence=float(divergences.max()),
        largest_difference=float(np.abs(wanted - actual).max()),
        surely_other=int((~same & (_margins(wanted, actual) > _allowed(wanted, tolerance))).sum()),
    )


def _divergences(wanted: Array, actual: Array) -> Array:
    logs = _log_probabilities(wanted)
    return np.asarray((np.exp(logs) * (logs - _log_probabilities(actual))).sum(axis=1))


def _log_probabilities(logits: Array) -> Array:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _margins(wanted: Array, actual: Array) -> Array:
    """How much better transformers find their own token than that of the converted model."""
    rows = np.arange(len(wanted))
    return np.asarray(wanted.max(axis=1) - wanted[rows, actual.argmax(axis=1)])


def _allowed(wanted: Array, tolerance: Tolerance) -> Array:
    """What two scores of a place may be off together."""
    scale = max(1.0, float(np.sqrt(np.mean(wanted.astype(np.float64) ** 2))))
    return np.asarray(2 * (tolerance.relative * np.abs(wanted).max(axis=1) + tolerance.absolute * scale))
