"""LoRA adapters as peft saves them, and a decoder's graph that takes their weights as optional inputs.

A folder of peft has, for each matrix W of (outputs, inputs) that it adapts, A of (rank, inputs) and B of
(outputs, rank); the layer answers x W' + s x A' B', where s is alpha / rank, or alpha / sqrt(rank) with
rsLoRA (https://huggingface.co/docs/peft/main/en/conceptual_guides/lora). Here A and B are turned as MatMul
takes them, and B has s in it. The builder itself would write the weights of one adapter into the graph as
constants, in few bits where the model's are, so it makes the model alone and the graph is changed here.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelservice_pipeline.convert.causal.safetensors import read_safetensors
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_MATRICES = ("MatMul", "MatMulNBits")
# How the builder names the weights of a layer: ...attn.q_proj.MatMul.weight, or weight_Q4 and so on.
_WEIGHT = re.compile(r"model\.layers\.(\d+)\.(?:\w+\.)*?(\w+_proj)\.(?:MatMul\.)?\w*weight\w*")
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_MODULE = re.compile(r"model\.layers\.(\d+)\.(?:\w+\.)*(\w+)")
# What does not change the sum above, or is read; anything else that is set would be missed.
_HARMLESS = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform",
    "loftq_config", "lora_alpha", "lora_dropout", "megatron_core", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "task_type",
    "use_rslora",
}  # fmt: skip
# Others take a part out of the model's own weights.
_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")

Place = tuple[int, str]
"""A matrix of the model: its layer, and its name there."""


@dataclass(frozen=True)
class Pair:
    """The two matrices beside one of the model: `first` of (inputs, rank), `second` of (rank, outputs)."""

    first: Array
    second: Array


@dataclass(frozen=True)
class Lora:
    """An adapter; its pairs may differ in rank."""

    name: str
    pairs: Mapping[Place, Pair]


def read_lora(name: str, folder: Path) -> Lora:
    """Read a folder of peft. Raises PipelineError, with the field that cannot be served."""
    try:
        config = _read_config(folder)
        return Lora(name, _read_pairs(folder, config))
    except PipelineError as error:
        raise PipelineError(f"adapter {name!r} cannot be converted: {error}") from None


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(
            f"cannot read {path}: {error.strerror}; give the folder that save_pretrained of peft wrote"
        ) from None
    except (ValueError, RecursionError):
        raise PipelineError(f"{path} is not JSON; take the adapter's own file") from None
    if not isinstance(config, dict):
        raise PipelineError(f"{path} is no JSON object; take the adapter's own file")
    _check_config(config)
    return config


def _check_config(config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise PipelineError(f"peft_type is {config.get('peft_type')!r}, and only LORA is served")
    if config.get("bias", "none") != "none":
        raise PipelineError(f"bias is {config['bias']!r}, and only adapters with bias none are served")
    if config.get("init_lora_weights") not in _BEGINNINGS:
        raise PipelineError(
            f"init_lora_weights is {config['init_lora_weights']!r}, which changes the model's own weights; "
            "save it with path_initial_model_for_weight_conversion, as peft describes"
        )
    known = _HARMLESS | {"bias", "init_lora_weights"}
    if unknown := sorted(name for name, value in config.items() if value and name not in known):
        raise PipelineError(f"{unknown[0]} is set, and only plain LoRA is served; train it without")
    if not isinstance(config.get("lora_alpha"), (int, float)):
        raise PipelineError(f"lora_alpha is {config.get('lora_alpha')!r}, and has to be a number")


def _read_pairs(folder: Path, config: Mapping[str, Any]) -> dict[Place, Pair]:
    if not (folder / WEIGHTS_NAME).is_file():
        raise PipelineError(f"there is no {folder / WEIGHTS_NAME}; save it with safe_serialization=True")
    found: dict[str, dict[str, Array]] = {}
    for key, values in read_safetensors(folder / WEIGHTS_NAME).items():
        match = _KEY.fullmatch(key)
        if match is None or values.ndim != 2:
            raise PipelineError(f"{WEIGHTS_NAME} has {key!r}, which is no matrix of plain LoRA")
        found.setdefault(match[1], {})[match[2]] = values
    if not found:
        raise PipelineError(f"{WEIGHTS_NAME} has no weights")
    return {_place(module): _pair(module, parts, config) for module, parts in sorted(found.items())}


def _place(module: str) -> Place:
    match = _MODULE.fullmatch(module)
    if match is None:
        raise PipelineError(
            f"target_modules has {module!r}, and only matrices of the layers (q_proj, down_proj, ...) "
            "are served"
        )
    return int(match[1]), match[2]


def _pair(module: str, parts: Mapping[str, Array], config: Mapping[str, Any]) -> Pair:
    if parts.keys() != {"A", "B"} or len(parts["A"]) != parts["B"].shape[1] or not len(parts["A"]):
        raise PipelineError(f"{WEIGHTS_NAME} lacks a half of {module!r}, or its ranks differ; save it again")
    rank = len(parts["A"])
    alpha = _of_module(module, config.get("alpha_pattern") or {}, config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Pair(parts["A"].T, parts["B"].T * np.float32(scale))


def _of_module(module: str, patterns: Mapping[str, float], default: float) -> float:
    """The number of the first pattern that a module's name ends with, as peft looks it up."""
    try:
        return next(
            (value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default
        )
    except re.error as error:
        raise PipelineError(f"alpha_pattern has what is no pattern: {error}") from None


def adapt(model: onnx.ModelProto, adapters: Sequence[Lora]) -> None:
    """Give the graph optional inputs for every matrix that one of the adapters has. Raises PipelineError."""
    matrices = _find_matrices(model.graph)
    kind = _kind_of_numbers(model.graph)
    nodes = {node.name or node.output[0]: [node] for node in model.graph.node}
    for adapter in adapters:
        for place, pair in adapter.pairs.items():
            _check_fits(model.graph, matrices, adapter.name, place, pair)
    places = sorted({place for adapter in adapters for place in adapter.pairs})
    wanted = {place: next(one.pairs[place] for one in adapters if place in one.pairs) for place in places}
    for place, pair in wanted.items():
        node = matrices[place]
        nodes[node.name or node.output[0]] += _add_pair(model.graph, node, place, pair, kind)
    ordered = [node for group in nodes.values() for node in group]
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def input_names(place: Place) -> tuple[str, str]:
    """What the graph calls the two matrices of a place."""
    layer, name = place
    return f"model.layers.{layer}.{name}.lora_A.weight", f"model.layers.{layer}.{name}.lora_B.weight"


def to_inputs(adapter: Lora, dtype: str) -> dict[str, Array]:
    """The adapter's values by the names of the graph's inputs, in the numbers that the graph takes."""
    return {
        name: np.ascontiguousarray(values, dtype)
        for place, pair in adapter.pairs.items()
        for name, values in zip(input_names(place), (pair.first, pair.second), strict=True)
    }


def _find_matrices(graph: onnx.GraphProto) -> dict[Place, onnx.NodeProto]:
    found = {}
    for node in graph.node:
        match = _WEIGHT.fullmatch(node.input[1]) if node.op_type in _MATRICES else None
        if match is not None:
            found[int(match[1]), match[2]] = node
    return found


def _kind_of_numbers(graph: onnx.GraphProto) -> int:
    """What the layers compute in: the numbers of keys and values."""
    kinds = {
        one.type.tensor_type.elem_type
        for one in graph.input
        if one.type.tensor_type.elem_type != TensorProto.INT64
    }
    if len(kinds) != 1:
        raise PipelineError(f"the graph keeps keys and values in {len(kinds)} kinds of numbers")
    return int(kinds.pop())


def _check_fits(
    graph: onnx.GraphProto, matrices: Mapping[Place, onnx.NodeProto], name: str, place: Place, pair: Pair
) -> None:
    if place not in matrices:
        known = ", ".join(sorted({module for _, module in matrices})) or "none"
        raise PipelineError(
            f"adapter {name!r}: target_modules has {place[1]!r} of layer {place[0]}, which is no matrix of "
            f"its own in the model's graph; that has {known} "
            f"(of {len({layer for layer, _ in matrices})} layers)"
        )
    sizes, own = _sizes(graph, matrices[place]), (len(pair.first), pair.second.shape[1])
    if sizes != own:
        raise PipelineError(
            f"adapter {name!r}: {place[1]} of layer {place[0]} takes {own[0]} numbers and answers {own[1]}, "
            f"and that of the model {sizes[0]} and {sizes[1]}; give the model that the adapter was trained "
            "on (base_model_name_or_path)"
        )


def _sizes(graph: onnx.GraphProto, node: onnx.NodeProto) -> tuple[int, int]:
    """How many numbers a matrix takes and answers."""
    if node.op_type == "MatMul":
        weight = next(one for one in graph.initializer if one.name == node.input[1])
        return weight.dims[0], weight.dims[1]
    attributes = {one.name: one.i for one in node.attribute}
    return attributes["K"], attributes["N"]


def _add_pair(
    graph: onnx.GraphProto, node: onnx.NodeProto, place: Place, pair: Pair, kind: int
) -> list[onnx.NodeProto]:
    """Declare the inputs, empty where none are given; return the nodes that go behind the matrix's own."""
    first, second = input_names(place)
    numbers = helper.tensor_dtype_to_np_dtype(kind)
    inputs, outputs = len(pair.first), pair.second.shape[1]
    # A symbol for each: ONNX Runtime shares buffers among shapes of one, and adapters may lack some matrices.
    rank = f"{place[1]}_rank_{place[0]}"
    for name, shape, empty in (
        (first, (inputs, rank), np.empty((inputs, 0), numbers)),
        (second, (rank, outputs), np.empty((0, outputs), numbers)),
    ):
        graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        graph.initializer.append(numpy_helper.from_array(empty, name))
    own, total = node.output[0], f"{node.output[0]}/adapted"
    for other in graph.node:
        for index, name in enumerate(other.input):
            if name == own:
                other.input[index] = total
    return [
        helper.make_node("MatMul", [node.input[0], first], [f"{own}/lora_A"], f"{own}/lora_A"),
        helper.make_node("MatMul", [f"{own}/lora_A", second], [f"{own}/lora_B"], f"{own}/lora_B"),
        helper.make_node("Add", [own, f"{own}/lora_B"], [total], f"{own}/lora"),
    ]
