"""Language models: which can be served, what the built graph may hold, and how near two of them are."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from tests.support.tiny_chat import Shape, make_tiny_chat

from modelservice_cli.main import main
from modelservice_pipeline.convert.causal.closeness import Decoder, Reference, measure
from modelservice_pipeline.convert.causal.graph import find_fault, open_places
from modelservice_pipeline.convert.causal.support import check_source, find_refusal
from modelservice_pipeline.convert.inside.builder import PRECISIONS, builder_command
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Tolerance

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "head_dim": None,
    "num_hidden_layers": 2, "sliding_window": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"architectures": ["Qwen2ForCausalLM"], "sliding_window": 4096, "use_sliding_window": False},
        {
            "architectures": ["Qwen2ForCausalLM"],
            "sliding_window": 4096,
            "layer_types": ["full_attention"] * 2,
        },
        {"architectures": ["MistralForCausalLM"]},
        {"architectures": ["GemmaForCausalLM"], "num_attention_heads": 3, "head_dim": 256},
        {"rope_parameters": {"rope_type": "llama3"}, "num_experts": 1},
    ],
)
def test_plain_decoders_are_converted(fields):
    assert find_refusal({**LLAMA, **fields}) == ""


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 4096}, "sliding window (4096 tokens)"),
        ({"architectures": ["Phi3ForCausalLM"], "sliding_window": 2047}, "sliding window"),
        ({"sliding_window": 512, "layer_types": ["full_attention", "sliding_attention"]}, "sliding window"),
        ({"architectures": ["MixtralForCausalLM"], "num_local_experts": 8}, "mixture of experts"),
        ({"architectures": ["Qwen3MoeForCausalLM"]}, "mixture of experts"),
        ({"architectures": ["MambaForCausalLM"], "state_size": 16}, "recurrent state"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "recurrent state (linear_attention)"),
        ({"architectures": ["LlavaForConditionalGeneration"], "vision_config": {"a": 1}}, "pictures"),
        ({"is_encoder_decoder": True}, "encoder"),
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel is none of"),
        ({"architectures": None}, "without architectures"),
        ({"rope_scaling": {"type": "longrope"}}, "longrope"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"num_attention_heads": 8}, "multiples of 16"),
        ({"head_dim": 40}, "multiples of 16"),
    ],
)
def test_what_cannot_be_served_is_refused_by_what_it_is(fields, word):
    assert word in find_refusal({**LLAMA, **fields})


def write_source(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_json", ".json").replace("_safetensors", ".safetensors")).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({}, "no folder with a config.json"),
        ({"config_json": "{"}, "not JSON"),
        ({"config_json": "[]"}, "no JSON object"),
        ({"config_json": json.dumps(LLAMA)}, "no weights"),
        ({"config_json": json.dumps(LLAMA), "model_safetensors": ""}, "no tokenizer.json"),
        ({"config_json": json.dumps({**LLAMA, "num_experts": 4})}, "nothing was converted: it is a mixture"),
    ],
)
def test_incomplete_folders_are_refused_before_anything_runs(tmp_path, files, word):
    with pytest.raises(PipelineError, match=word.replace(".", r"\.")):
        check_source(write_source(tmp_path / "source", **files))


def convert(tmp_path, *flags, framework="transformers-causal"):
    source = write_source(tmp_path / "source", config_json=json.dumps({**LLAMA, "sliding_window": 8}))
    arguments = [
        "model",
        "convert",
        "--from",
        framework,
        str(source),
        "--output",
        str(tmp_path / "out"),
        *flags,
    ]
    return main(arguments)


@pytest.mark.parametrize(
    ("flags", "framework", "word"),
    [
        ((), "transformers-causal", "sliding window"),
        (("--precision", "int4"), "transformers", "--precision is for transformers-causal"),
        (("--state", "net.pt"), "transformers-causal", "--state is for models that are code"),
        (("--input", "x=int64[1]"), "transformers-causal", "--input is for models that are code"),
    ],
)
def test_flags_and_folders_are_refused_with_a_sentence(tmp_path, capsys, flags, framework, word):
    assert convert(tmp_path, *flags, framework=framework) == 1
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_builder_is_kept_from_the_network_and_from_code_of_the_folder(tmp_path, precision):
    command = builder_command("python", tmp_path, tmp_path / "out", precision, tmp_path / "cache")
    assert {"hf_token=false", "hf_remote=false", "prune_lm_head=true"} <= set(command)
    assert command[command.index("-p") + 1] == precision


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """The folder of a model drawn by chance."""
    return make_tiny_chat(tmp_path_factory.mktemp("chat"), (), Shape(width=32, hidden=16, context=64))


def test_plain_graph_has_no_fault_and_others_are_told(chat):
    model = onnx.load(chat / "model.onnx", load_external_data=False)
    assert find_fault(model, 2) == ""
    assert "2 of its 3 layers" in find_fault(model, 3)
    for kind, word in (("MoE", "experts"), ("If", "one way or another")):
        other = onnx.ModelProto.FromString(model.SerializeToString())
        other.graph.node.append(helper.make_node(kind, ["x"], ["y"]))
        assert word in find_fault(other, 2)
    for size, word in ((8, "sliding window"), (-1, "")):
        windowed = onnx.ModelProto.FromString(model.SerializeToString())
        attention = next(node for node in windowed.graph.node if node.op_type == "GroupQueryAttention")
        attention.attribute.append(helper.make_attribute("local_window_size", size))
        assert word in find_fault(windowed, 2)
        assert bool(find_fault(windowed, 2)) == bool(word)


@pytest.mark.parametrize("end", [(), ("Cast",)])
def test_a_graph_of_the_last_place_is_opened_for_others(chat, tmp_path, end):
    model = onnx.load(chat / "model.onnx")
    assert not open_places(model)
    cut = next(node for node in model.graph.node if node.op_type == "Slice")
    nodes, state = list(model.graph.node), cut.input[0]
    at = nodes.index(cut)
    for name, value in (("at", np.array(-1)), ("axis", np.array([1]))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    nodes[at : at + 1] = [
        helper.make_node("Gather", [state, "at"], ["one"], axis=1),
        helper.make_node("Unsqueeze", ["one", "axis"], ["last"]),
    ]
    if end:
        nodes[-1].output[0] = "uncast"
        nodes.append(helper.make_node("Cast", ["uncast"], ["logits"], to=onnx.TensorProto.FLOAT))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert open_places(model)
    onnx.save(model, tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    sizes = {one.name: one.shape for one in session.get_inputs()}
    asked = {
        name: np.zeros((1, size[1], 0, size[3]), np.float32) for name, size in sizes.items() if "past" in name
    }
    asked |= {"input_ids": np.array([[5, 6, 7]]), "attention_mask": np.ones((1, 3), np.int64)}
    (last,) = session.run(["logits"], asked)
    (first,) = session.run(
        ["logits"], asked | {"input_ids": np.array([[5, 6, 9]]), "logits_places": np.array([0])}
    )
    (both,) = session.run(["logits"], asked | {"logits_places": np.array([0, 2])})
    np.testing.assert_allclose(both, np.concatenate([first, last], axis=1), atol=1e-5)


def test_scores_token_by_token_are_those_of_one_run(chat):
    """Each step goes on from what the one before left: a step that forgot would score as another prompt."""
    decoder = Decoder(chat, 1)
    prompt, tokens = np.array([5, 6, 7]), np.array([9, 11, 13, 17])
    found = decoder.logits(Reference(prompt, tokens, np.empty(0)))
    assert len(found) == len(tokens)
    for step in range(len(tokens)):
        ids = np.concatenate([prompt, tokens[:step]])
        (once,) = decoder.logits(Reference(ids, tokens[:1], np.empty(0)))
        np.testing.assert_allclose(found[step], once, atol=1e-4)


def make_reference(logits):
    logits = np.float32(logits)
    return Reference(np.array([0]), logits.argmax(axis=1), logits)


def test_closeness_counts_where_texts_part_and_what_is_no_tie():
    reference = make_reference([[5, 0, 0], [0, 5, 0], [0, 0, 5], [4, 3.9999, 0]])
    same = measure([reference], [reference.logits], Tolerance())
    assert (same.tokens, same.equal_tokens, same.same_best, same.surely_other) == (4, 4, 4, 0)
    assert same.mean_divergence == same.largest_difference == 0
    other = reference.logits.copy()
    other[1] = [5, 0, 0]
    other[3] = [3.9999, 4, 0]
    found = measure([reference, reference], [other, reference.logits], Tolerance(1e-3, 1e-3))
    assert (found.tokens, found.equal_tokens, found.same_best) == (8, 1 + 4, 2 + 4)
    assert found.surely_other == 1  # the other place is a tie
    assert found.largest_difference == 5
    probabilities = np.exp([0, 5, 0]) / np.exp([0, 5, 0]).sum()
    wanted = float((probabilities * (np.array([0, 5, 0]) - np.array([5, 0, 0]))).sum())
    assert found.worst_divergence == pytest.approx(wanted, rel=1e-6)


def test_scores_that_are_no_numbers_are_refused():
    reference = make_reference([[1, 2]])
    with pytest.raises(PipelineError, match="NaN"):
        measure([reference], [np.float32([[np.nan, 1]])], Tolerance())
