"""Adapters of peft: the graph with one answers as a model whose matrices have it added to them."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from tests.support.tiny_chat import Shape, draw_weights, halve, make_tiny_chat, write_model

from modelservice_cli.main import main
from modelservice_pipeline.convert.causal.closeness import Decoder, Reference
from modelservice_pipeline.convert.causal.lora import adapt, read_lora, to_inputs
from modelservice_pipeline.convert.causal.safetensors import read_safetensors
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import write_adapter
from modelservice_runtime.generation.adapters import open_adapter
from modelservice_runtime.settings.generation import AdapterSource

SHAPE = Shape(width=32, hidden=16, context=64)
REFERENCE = Reference(np.array([5, 6, 7]), np.array([9, 11, 13]), np.empty(0))
CONFIG = {
    "peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": ["q_proj"], "bias": "none",
    # What peft writes of kinds that are not used.
    "use_dora": False, "lora_bias": False, "modules_to_save": None, "layer_replication": None,
    "trainable_token_indices": None, "corda_config": None, "target_parameters": None,
}  # fmt: skip
MODULES = {"q_proj": "self_attn", "v_proj": "self_attn", "up_proj": "mlp", "down_proj": "mlp"}
Arrays = dict[str, Any]


def write_safetensors(path: Path, arrays: Arrays, dtype: str = "F32") -> None:
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, values in arrays.items():
        if dtype == "BF16":
            data = (np.float32(values).view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            data = values.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype]).tobytes()
        offsets = [len(content), len(content) + len(data)]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        content += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


def write_peft(folder: Path, arrays: Arrays, **fields: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **fields}))
    write_safetensors(folder / "adapter_model.safetensors", arrays)
    return folder


def key(layer: int, module: str, half: str) -> str:
    return f"base_model.model.model.layers.{layer}.{MODULES[module]}.{module}.lora_{half}.weight"


def draw(ranks: dict[tuple[int, str], int], weights: Arrays) -> Arrays:
    chance, arrays = np.random.default_rng(7), {}
    for (layer, module), rank in ranks.items():
        inputs, outputs = weights[f"{layer}.{module}"].shape
        arrays[key(layer, module, "A")] = chance.standard_normal((rank, inputs)).astype(np.float32) / 4
        arrays[key(layer, module, "B")] = chance.standard_normal((outputs, rank)).astype(np.float32) / 4
    return arrays


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_chat(tmp_path_factory.mktemp("chat") / "model", (), SHAPE)


@pytest.fixture(scope="module")
def weights(chat: Path) -> Arrays:
    vocabulary = json.loads((chat / "genai_config.json").read_text())["model"]["vocab_size"]
    return dict(draw_weights(SHAPE, vocabulary, 0))


def write_adapted(chat: Path, target: Path, *peft: Path) -> list[Any]:
    """The folder with a graph for adapters; returns them."""
    make_tiny_chat(target, (), SHAPE)
    adapters = [read_lora(folder.name, folder) for folder in peft]
    graph = onnx.load(target / "model.onnx", load_external_data=False)
    adapt(graph, adapters)
    (target / "model.onnx").write_bytes(graph.SerializeToString())
    return adapters


@pytest.mark.parametrize(
    ("ranks", "fields", "scales"),
    [
        ({(0, "q_proj"): 4}, {}, {(0, "q_proj"): 6 / 4}),
        (
            {(1, "down_proj"): 4, (1, "v_proj"): 4},
            {"use_rslora": True},
            {(1, "down_proj"): 3, (1, "v_proj"): 3},
        ),
        (
            {(0, "up_proj"): 2, (1, "up_proj"): 5},
            {"rank_pattern": {"layers.1.mlp.up_proj": 5}, "alpha_pattern": {"layers.1.mlp.up_proj": 15}},
            {(0, "up_proj"): 3, (1, "up_proj"): 3},
        ),
    ],
)  # fmt: skip
def test_the_graph_answers_as_a_model_with_the_adapter_added(tmp_path, chat, weights, ranks, fields, scales):
    arrays = draw(ranks, weights)
    (adapter,) = write_adapted(chat, tmp_path / "adapted", write_peft(tmp_path / "law", arrays, **fields))
    merged = dict(weights)
    for (layer, module), scale in scales.items():
        change = scale * arrays[key(layer, module, "B")] @ arrays[key(layer, module, "A")]
        merged[f"{layer}.{module}"] = (weights[f"{layer}.{module}"] + change.T).astype(np.float32)
    (tmp_path / "merged").mkdir()
    write_model(tmp_path / "merged", merged, SHAPE)

    decoder, plain = Decoder(tmp_path / "adapted", 1), Decoder(chat, 1).logits(REFERENCE)
    np.testing.assert_allclose(decoder.logits(REFERENCE), plain, atol=1e-5)
    decoder.take_adapter(to_inputs(adapter, decoder.dtype))
    found = decoder.logits(REFERENCE)
    np.testing.assert_allclose(found, Decoder(tmp_path / "merged", 1).logits(REFERENCE), atol=1e-4)
    assert np.abs(found - plain).max() > 0.01


def test_a_graph_of_half_numbers_takes_adapters_in_them(tmp_path, chat, weights):
    arrays = draw({(0, "q_proj"): 4}, weights)
    adapter = read_lora("law", write_peft(tmp_path / "law", arrays))
    adapted, merged = halve(chat, tmp_path / "adapted"), {**weights}
    graph = onnx.load(adapted / "model.onnx", load_external_data=False)
    adapt(graph, [adapter])
    (adapted / "model.onnx").write_bytes(graph.SerializeToString())
    change = 6 / 4 * arrays[key(0, "q_proj", "B")] @ arrays[key(0, "q_proj", "A")]
    merged["0.q_proj"] = (weights["0.q_proj"] + change.T).astype(np.float32)
    write_model(Path(shutil.copytree(chat, tmp_path / "whole")), merged, SHAPE)
    wanted = Decoder(halve(tmp_path / "whole", tmp_path / "merged"), 1).logits(REFERENCE)

    decoder = Decoder(adapted, 1)
    np.testing.assert_array_equal(
        decoder.logits(REFERENCE), Decoder(halve(chat, tmp_path / "half"), 1).logits(REFERENCE)
    )
    decoder.take_adapter(to_inputs(adapter, decoder.dtype))
    np.testing.assert_allclose(decoder.logits(REFERENCE), wanted, atol=0.05)


def take_fewer_bits(graph: onnx.GraphProto, name: str, values: Any) -> Any:
    """Make a matrix one of 4 bits, named as the builder names it; returns what it is then."""
    inputs, outputs = values.shape
    scales = np.abs(values).max(axis=0) / 7
    steps = np.clip(np.round(values / scales) + 8, 0, 15).astype(np.uint8)
    packed = (steps[0::2] | steps[1::2] << 4).T.reshape(outputs, 1, inputs // 2)
    (node,) = (one for one in graph.node if one.op_type == "MatMul" and one.input[1] == name)
    for end, constant in (("weight_Q4", packed), ("weight_scales", scales.astype(np.float32))):
        graph.initializer.append(numpy_helper.from_array(constant, name.replace("weight", end)))
        node.input.append(name.replace("weight", end))
    del node.input[1]
    fields = {"K": inputs, "N": outputs, "bits": 4, "block_size": inputs}
    node.attribute.extend(helper.make_attribute(*field) for field in fields.items())
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    return (steps.astype(np.float32) - 8) * scales


def test_a_matrix_of_fewer_bits_has_an_adapter_beside_it(tmp_path, chat, weights):
    arrays = draw({(0, "q_proj"): 4}, weights)
    adapter = read_lora("law", write_peft(tmp_path / "law", arrays))
    adapted, merged = Path(shutil.copytree(chat, tmp_path / "adapted")), {**weights}
    model = onnx.load(adapted / "model.onnx", load_external_data=False)
    rounded = take_fewer_bits(model.graph, "model.layers.0.q_proj.weight", weights["0.q_proj"])
    adapt(model, [adapter])
    (adapted / "model.onnx").write_bytes(model.SerializeToString())
    change = 6 / 4 * arrays[key(0, "q_proj", "B")] @ arrays[key(0, "q_proj", "A")]
    merged["0.q_proj"] = (rounded + change.T).astype(np.float32)
    write_model(Path(shutil.copytree(chat, tmp_path / "merged")), merged, SHAPE)

    decoder = Decoder(adapted, 1)
    decoder.take_adapter(to_inputs(adapter, decoder.dtype))
    wanted = Decoder(tmp_path / "merged", 1).logits(REFERENCE)
    np.testing.assert_allclose(decoder.logits(REFERENCE), wanted, atol=1e-3)


def test_adapters_of_other_ranks_and_matrices_are_heard_alone(tmp_path, chat, weights):
    ranks = {"law": {(0, "q_proj"): 4, (1, "v_proj"): 2}, "poet": {(1, "down_proj"): 7}}
    arrays = {name: draw(one, weights) for name, one in ranks.items()}
    folders = [write_peft(tmp_path / name, one) for name, one in arrays.items()]
    adapters = write_adapted(chat, tmp_path / "adapted", *folders)
    decoder, session = (
        Decoder(tmp_path / "adapted", 1),
        onnxruntime.InferenceSession(tmp_path / "adapted/model.onnx"),
    )
    for adapter in adapters:
        merged = dict(weights)
        for (layer, module), rank in ranks[adapter.name].items():
            own = arrays[adapter.name]
            change = 6 / rank * own[key(layer, module, "B")] @ own[key(layer, module, "A")]
            merged[f"{layer}.{module}"] = (weights[f"{layer}.{module}"] + change.T).astype(np.float32)
        target = Path(shutil.copytree(chat, tmp_path / f"merged-{adapter.name}"))
        write_model(target, merged, SHAPE)
        decoder.take_adapter(to_inputs(adapter, decoder.dtype))
        np.testing.assert_allclose(decoder.logits(REFERENCE), Decoder(target, 1).logits(REFERENCE), atol=1e-4)

        file = tmp_path / "out" / f"{adapter.name}.onnx_adapter"
        write_adapter(file, to_inputs(adapter, "float32"))
        opened = open_adapter(AdapterSource("chat", adapter.name, file), session)
        assert opened.values.keys() == to_inputs(adapter, "float32").keys()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"use_dora": True}, "use_dora is set"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
        ({"some_later_kind": {"a": 1}}, "some_later_kind is set"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"alpha_pattern": {"(": 1}}, "alpha_pattern has what is no pattern"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_its_field(tmp_path, weights, fields, word):
    folder = write_peft(tmp_path / "law", draw({(0, "q_proj"): 4}, weights), **fields)
    with pytest.raises(PipelineError) as caught:
        read_lora("law", folder)
    assert word in str(caught.value)
    assert "adapter 'law' cannot be converted" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("base_model.model.lm_head.lora_A.weight", "target_modules has 'lm_head'"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "is no matrix of plain LoRA"),
        (key(1, "v_proj", "A"), "lacks a half of 'model.layers.1.self_attn.v_proj'"),
    ],
)
def test_weights_that_are_not_of_the_layers_are_refused(tmp_path, weights, name, word):
    arrays = draw({(0, "q_proj"): 4}, weights)
    arrays[name] = arrays[key(0, "q_proj", "A")]
    if "lm_head" in name:
        arrays[name.replace("_A", "_B")] = arrays[key(0, "q_proj", "B")]
    with pytest.raises(PipelineError, match=word.replace(".", r"\.")):
        read_lora("law", write_peft(tmp_path / "law", arrays))


def test_halves_of_other_ranks_are_refused(tmp_path, weights):
    arrays = draw({(0, "q_proj"): 4}, weights)
    arrays[key(0, "q_proj", "B")] = arrays[key(0, "q_proj", "B")][:, :3]
    with pytest.raises(PipelineError, match="its ranks differ"):
        read_lora("law", write_peft(tmp_path / "law", arrays))
    arrays[key(0, "q_proj", "B")] = np.ones((64, 4, 1), np.float32)  # as of a convolution
    with pytest.raises(PipelineError, match="is no matrix of plain LoRA"):
        read_lora("law", write_peft(tmp_path / "law", arrays))


def test_files_that_are_missing_or_damaged_are_told(tmp_path):
    with pytest.raises(PipelineError, match=r"adapter_config\.json.*save_pretrained of peft"):
        read_lora("law", tmp_path)
    folder = write_peft(tmp_path / "law", {})
    with pytest.raises(PipelineError, match="has no weights"):
        read_lora("law", folder)
    (folder / "adapter_model.safetensors").write_bytes(b"\x80" * 40)
    with pytest.raises(PipelineError, match="no file of safetensors"):
        read_lora("law", folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(PipelineError, match="safe_serialization=True"):
        read_lora("law", folder)
    (folder / "adapter_config.json").write_text("[")
    with pytest.raises(PipelineError, match="not JSON"):
        read_lora("law", folder)


def test_adapters_of_another_model_are_refused_by_layer_and_size(tmp_path, chat, weights):
    far = {
        name.replace("layers.0", "layers.5"): one for name, one in draw({(0, "q_proj"): 4}, weights).items()
    }
    with pytest.raises(PipelineError, match="'q_proj' of layer 5, which is no matrix"):
        write_adapted(chat, tmp_path / "a", write_peft(tmp_path / "far", far))
    wide = draw({(0, "q_proj"): 4}, {**weights, "0.q_proj": np.empty((48, 64))})
    with pytest.raises(
        PipelineError, match="takes 48 numbers and answers 64, and that of the model 32 and 64"
    ):
        write_adapted(chat, tmp_path / "b", write_peft(tmp_path / "wide", wide))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_safetensors_are_read_in_their_numbers(tmp_path, dtype):
    values = {"a": np.float32([[1.5, -2], [0.25, 96]]), "b": np.float32([-0.5])}
    write_safetensors(tmp_path / "x", values, dtype)
    found = read_safetensors(tmp_path / "x")
    assert found.keys() == values.keys()
    for name, wanted in values.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], wanted)


def test_other_numbers_in_safetensors_are_refused(tmp_path):
    write_safetensors(tmp_path / "x", {"a": np.ones(2)}, "F64")
    with pytest.raises(PipelineError, match="F32, F16 or BF16"):
        read_safetensors(tmp_path / "x")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("transformers-causal", "--adapter", "law"), "must have the form NAME=DIR"),
        (("transformers-causal", "--adapter", "../law=x"), "must have the form NAME=DIR"),
        (("transformers-causal", "--adapter", "a=x", "--adapter", "a=y"), "the name 'a' is given twice"),
        (("sklearn", "--adapter", "a=x"), "--adapter is for transformers-causal"),
    ],
)
def test_flags_for_adapters_are_refused_with_a_sentence(tmp_path, capsys, flags, word):
    assert main(["model", "convert", str(tmp_path), "--output", str(tmp_path / "out"), "--from", *flags]) == 1
    assert word in capsys.readouterr().err


def test_rank_is_of_the_weights_and_not_of_the_configuration(tmp_path, weights):
    """Where the two differ, peft refuses; sqrt and plain division are told apart by more than one rank."""
    arrays = draw({(0, "q_proj"): 9}, weights)
    for fields, scale in (({}, 6 / 9), ({"use_rslora": True}, 6 / math.sqrt(9))):
        lora = read_lora("law", write_peft(tmp_path / "law", arrays, r=9, **fields))
        np.testing.assert_allclose(
            lora.pairs[0, "q_proj"].second, arrays[key(0, "q_proj", "B")].T * scale, rtol=1e-6
        )
