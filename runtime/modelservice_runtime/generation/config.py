"""What `genai_config.json` says of a model; onnxruntime-genai's builder writes it beside the graph.

A folder with this file holds a generative model. Read here, checked, and what cannot be served is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.generation.values import LOWEST_REPETITION_PENALTY, Sampling
from modelservice_runtime.machine.readable import open_file

CONFIG_NAME = "genai_config.json"
# An optional input (int64, [places]): of which places of its input the graph tells logits; the last, where it
# is left out. `modelservice model convert` makes it of graphs that tell those of the last place alone.
PLACES_INPUT = "logits_places"
_MAX_BYTES = 1024 * 1024
# More than any model has; a slip in the file must not ask for all memory.
_MAX_COUNT = 1 << 24
# Each has inputs and outputs of its own, whose names are listed.
_MAX_LAYERS = 4096
# Parts of a model beside its decoder: they take pictures or sound, or encode what is to be answered first.
_OTHER_PARTS = {
    "vision": "takes pictures",
    "speech": "takes sound",
    "audio": "takes sound",
    "embedding": "puts pictures or sound beside words",
    "encoder": "has an encoder",
    "encoder_decoder_init": "has an encoder",
}
# GroupQueryAttention of the CPU provider turns heads in steps of this size.
_HEAD_STEP = 16


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The sizes and names of a decoder.

    `file` is the graph's name within the folder. `past_names` and `present_names` hold a `%d` for the layer:
    of keys, then of values. Graphs may lack `positions_name`. `eos_ids` end a text. `sampling` is what the
    model's makers advise.
    """

    file: str
    layers: int
    kv_heads: int
    head_size: int
    context_length: int
    vocabulary: int
    eos_ids: frozenset[int]
    ids_name: str
    mask_name: str
    positions_name: str
    logits_name: str
    past_names: tuple[str, str]
    present_names: tuple[str, str]
    sampling: Sampling

    def past(self) -> list[str]:
        """Names of the inputs that hold keys and values, layer by layer."""
        return [name % layer for layer in range(self.layers) for name in self.past_names]

    def present(self) -> list[str]:
        """Names of the outputs that belong to them."""
        return [name % layer for layer in range(self.layers) for name in self.present_names]


def is_generative(path: Path) -> bool:
    """Whether a folder holds a generative model."""
    return (path / CONFIG_NAME).exists()


def whole_model(path: Path) -> Path:
    """The folder of a generative model whose graph's file `path` is; of any other path, the path itself.

    Raises ModelLoadFailedError where the folder's `genai_config.json` does not tell.
    """
    if not path.is_file() or not is_generative(path.parent):
        return path
    model = _Fields(_read(path.parent / CONFIG_NAME), "").part("model")
    return path.parent if model.part("decoder").text("filename") == path.name else path


def read_config(folder: Path) -> DecoderConfig:
    """Read and check it.

    Raises ModelLoadFailedError (not what the builder writes), ModelRejectedError (not served here).
    """
    fields = _Fields(_read(folder / CONFIG_NAME), "")
    model = fields.part("model")
    _refuse_other_parts(model)
    decoder = model.part("decoder")
    _refuse_other_states(decoder)
    head_size = decoder.count("head_size")
    if head_size % _HEAD_STEP:
        raise ModelRejectedError(
            f"{CONFIG_NAME}: model.decoder.head_size is {head_size}, and only multiples of {_HEAD_STEP} can "
            "be served; take a model with other heads"
        )
    inputs, outputs = decoder.part("inputs"), decoder.part("outputs")
    return DecoderConfig(
        file=_file_name(decoder.text("filename")),
        layers=decoder.count("num_hidden_layers", _MAX_LAYERS),
        kv_heads=decoder.count("num_key_value_heads"),
        head_size=head_size,
        context_length=model.count("context_length"),
        vocabulary=model.count("vocab_size"),
        eos_ids=model.ids("eos_token_id"),
        ids_name=inputs.text("input_ids"),
        mask_name=inputs.text("attention_mask"),
        positions_name=inputs.text("position_ids") if "position_ids" in inputs.values else "position_ids",
        logits_name=outputs.text("logits"),
        past_names=(inputs.layer_names("past_key_names"), inputs.layer_names("past_value_names")),
        present_names=(outputs.layer_names("present_key_names"), outputs.layer_names("present_value_names")),
        sampling=_read_sampling(fields),
    )


class _Fields:
    """One JSON object of the file; every refusal names the field's path."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.values = values
        self._path = path

    def part(self, name: str) -> "_Fields":
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return _Fields(value, f"{self._path}{name}.")

    def count(self, name: str, most: int = _MAX_COUNT) -> int:
        value = self.values.get(name)
        if not _is_whole(value) or not 1 <= value <= most:
            raise self._wrong(name, f"a whole number from 1 to {most}")
        return value

    def number(self, name: str, most: float, default: float) -> float:
        """A number from 0 to `most`; `default` where it is left out."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise self._wrong(name, f"a number from 0 to {most:g}")
        return float(value)

    def ids(self, name: str) -> frozenset[int]:
        value = self.values.get(name)
        values = value if isinstance(value, list) else [value]
        if not values or not all(_is_whole(one) and 0 <= one < _MAX_COUNT for one in values):
            raise self._wrong(name, "a token's number, or a list of them")
        return frozenset(values)

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise self._wrong(name, "a name")
        return value

    def layer_names(self, name: str) -> str:
        value = self.text(name)
        if value.count("%") != 1 or "%d" not in value:
            raise self._wrong(name, "a name with one %d for the layer")
        return value

    def _wrong(self, name: str, expected: str) -> ModelLoadFailedError:
        found = "is missing" if name not in self.values else f"is {str(self.values[name])[:80]!r}"
        return ModelLoadFailedError(
            f"{CONFIG_NAME}: {self._path}{name} {found}, expected {expected}; export the model with "
            "onnxruntime-genai's model builder"
        )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        with open_file(file) as opened:
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelLoadFailedError(f"cannot read {CONFIG_NAME} ({error.strerror})") from error
    if len(content) > _MAX_BYTES:
        raise ModelLoadFailedError(
            f"{CONFIG_NAME} is larger than {_MAX_BYTES} bytes; it must be a small JSON file"
        )
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelLoadFailedError(f"{CONFIG_NAME} is not JSON; export the model again") from error
    if not isinstance(values, dict):
        raise ModelLoadFailedError(f"{CONFIG_NAME} is not a JSON object; export the model again")
    return values


def _read_sampling(fields: "_Fields") -> Sampling:
    """The builder copies `search` from `generation_config.json`; without `do_sample` it is no advice."""
    if not fields.values.get("search"):
        return Sampling()
    search = fields.part("search")
    if search.values.get("do_sample") is not True:
        return Sampling()
    return Sampling(
        temperature=search.number("temperature", 2, 1.0),
        top_p=search.number("top_p", 1, 1.0) or 1.0,
        top_k=int(search.number("top_k", _MAX_COUNT, 0)),
        repetition_penalty=max(
            search.number("repetition_penalty", 10, 1.0) or 1.0, LOWEST_REPETITION_PENALTY
        ),
    )


def _refuse_other_parts(model: _Fields) -> None:
    for name, what in _OTHER_PARTS.items():
        if model.values.get(name):
            raise ModelRejectedError(
                f"{CONFIG_NAME}: the model {what} (model.{name}), and only decoders of texts are "
                "served; take a model of texts alone"
            )


def _refuse_other_states(decoder: _Fields) -> None:
    if decoder.values.get("sliding_window"):
        raise ModelRejectedError(
            f"{CONFIG_NAME}: the model attends through a sliding window (model.decoder.sliding_window), "
            "which is not served; take a model that attends to its whole context"
        )
    if decoder.values.get("pipeline"):
        raise ModelRejectedError(
            f"{CONFIG_NAME}: the model is cut into several graphs (model.decoder.pipeline); export it as one"
        )


def _file_name(name: str) -> str:
    if "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
        raise ModelRejectedError(
            f"{CONFIG_NAME}: model.decoder.filename {name[:200]!r} leads outside the model's folder; keep "
            "the graph beside this file"
        )
    return name


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
