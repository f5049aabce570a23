import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.tiny_chat import END, PAIRS, prompt_of
from tests.unit.runtime.generation.decoders import (
    SESSION,
    Form,
    contents,
    greedy_alone,
    make_decoder,
    take_device_memory,
)
from tokenizers import Tokenizer

from modelservice_pipeline.convert.causal.graph import open_places
from modelservice_runtime.errors import (
    DeadlineExceededError,
    DeviceLostError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
)
from modelservice_runtime.generation import decoder as decoder_module
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.decoder import Decoder
from modelservice_runtime.generation.decoder_session import check_placement, open_decoder
from modelservice_runtime.generation.kv.memory import Device, HostMemory, RowShape


def _copy(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "model"))


def _graph(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "model.onnx", load_external_data=False)


def _open(folder: Path) -> Decoder:
    opened = open_decoder(folder, read_config(folder), SESSION)
    return Decoder(opened, opened.take_memory(2, 64))


@pytest.fixture(params=Form, ids=lambda form: form.value)
def form(request: pytest.FixtureRequest) -> Form:
    """Keys and values where the CPU's models have them, and as on a device."""
    found: Form = request.param
    return found


def test_what_was_learnt_by_heart_is_answered(tiny_chat: Path, form: Form) -> None:
    decoder = make_decoder(tiny_chat, form=form)
    tokenizer = Tokenizer.from_file(str(tiny_chat / "tokenizer.json"))

    for question, answer in PAIRS:
        wanted = tokenizer.encode(answer + END).ids
        assert greedy_alone(decoder, tokenizer.encode(prompt_of(question)).ids, len(wanted)) == wanted


def test_rows_of_different_lengths_do_not_see_each_other(tiny_chat: Path, form: Form) -> None:
    decoder, chance = make_decoder(tiny_chat, form=form), np.random.default_rng(2)
    prompts = [chance.integers(0, 400, length).tolist() for length in (3, 60, 17, 31)]
    alone = [greedy_alone(decoder, prompt, 12) for prompt in prompts]

    made = [[int(decoder.prefill(slot, prompt, 0).argmax())] for slot, prompt in enumerate(prompts)]
    for step in range(11):
        lengths = np.array([len(prompt) + step for prompt in prompts])
        logits = decoder.decode([row[-1] for row in made], lengths)
        for row, values in zip(made, logits, strict=True):
            row.append(int(values.argmax()))

    assert made == alone


def test_a_prompt_in_pieces_is_the_prompt(tiny_chat: Path, form: Form) -> None:
    decoder = make_decoder(tiny_chat, form=form)
    prompt = np.random.default_rng(3).integers(0, 400, 50).tolist()
    whole = decoder.prefill(2, prompt, 0)
    for start in range(0, 50, 16):
        pieces = decoder.prefill(1, prompt[start : start + 16], start)

    np.testing.assert_allclose(pieces, whole, atol=1e-3)


def test_copies_and_swaps_carry_a_row(tiny_chat: Path, form: Form) -> None:
    decoder = make_decoder(tiny_chat, form=form)
    one, other = [5, 6, 7, 8], [9, 10, 11]
    wanted = [greedy_alone(decoder, prompt, 4) for prompt in (one, other)]
    decoder.prefill(0, one, 0)
    decoder.prefill(1, other, 0)
    decoder.copy(0, 3, 4)
    decoder.swap(0, 1, 4, 3)

    logits = decoder.decode([wanted[1][0], wanted[0][0]], np.array([3, 4]))
    assert logits.argmax(axis=1).tolist() == [wanted[1][1], wanted[0][1]]
    decoder.swap(0, 3, 4, 4)
    assert decoder.decode([wanted[0][0]], np.array([4])).argmax() == wanted[0][1]


def test_a_prompt_that_nobody_wants_is_not_read(tiny_chat: Path, form: Form) -> None:
    decoder = make_decoder(tiny_chat, form=form)
    before = contents(decoder._memory)

    with pytest.raises(DeadlineExceededError):
        decoder.prefill(0, [1, 2, 3], 0, is_wanted=lambda: False)
    decoder.stop()  # nothing runs: nothing happens, then or later
    decoder.prefill(1, [1, 2, 3], 0)

    for cache, was in zip(contents(decoder._memory), before, strict=True):
        np.testing.assert_array_equal(cache[0], was[0])


def test_a_run_under_way_can_be_stopped(tiny_chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make_decoder(tiny_chat)
    run = decoder._session.run_with_iobinding

    def stop_first(binding: object, options: object) -> None:
        decoder.stop()
        run(binding, options)

    monkeypatch.setattr(decoder._session, "run_with_iobinding", stop_first)
    with pytest.raises(DeadlineExceededError):
        decoder.prefill(0, [1, 2, 3], 0)
    monkeypatch.undo()

    decoder.prefill(0, [1, 2, 3], 0)


def _tell_all_places(folder: Path, target: Path) -> Path:
    folder = _copy(folder, target)
    model = _graph(folder)
    cut = next(node for node in model.graph.node if node.op_type == "Slice")
    whole = cut.input[0]
    model.graph.node.remove(cut)
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = whole if name == cut.output[0] else name
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "sequence_length"
    onnx.save(model, folder / "model.onnx")
    return folder


def _take_places(folder: Path, target: Path) -> Path:
    """As the builder cuts the last place out, and the converter opens it."""
    folder = _copy(folder, target)
    model = _graph(folder)
    cut = next(node for node in model.graph.node if node.op_type == "Slice")
    cut.CopyFrom(helper.make_node("Gather", [cut.input[0], "last_place"], ["one"], axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array(-1), "last_place"))
    at = list(model.graph.node).index(cut) + 1
    model.graph.node.insert(at, helper.make_node("Unsqueeze", ["one", "axis_of_places"], ["last"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis_of_places"))
    assert open_places(model)
    onnx.save(model, folder / "model.onnx")
    return folder


@pytest.mark.parametrize("change", [_copy, _tell_all_places, _take_places])
def test_scores_of_a_prompt_are_those_of_onnx_runtime_over_all_of_it(
    tiny_chat: Path, tmp_path: Path, form: Form, change: Callable[[Path, Path], Path]
) -> None:
    prompt = np.random.default_rng(4).integers(0, 400, 50)
    session = onnxruntime.InferenceSession(_tell_all_places(tiny_chat, tmp_path / "all") / "model.onnx")
    empty = {
        one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
        for one in session.get_inputs()
        if one.name.startswith("past")
    }
    asked = {"input_ids": prompt[None], "attention_mask": np.ones((1, 50), np.int64), **empty}
    wanted = session.run(["logits"], asked)[0][0]

    decoder = make_decoder(change(tiny_chat, tmp_path / "asked"), form=form)
    pieces = [decoder.score(2, prompt[at : at + 16].tolist(), at) for at in range(0, 50, 16)]
    np.testing.assert_allclose(np.concatenate(pieces), wanted, atol=1e-3)
    # What was read by it is there, and what is read without it tells the last place again.
    step = decoder.decode([7], np.array([50]), 2)[0]
    np.testing.assert_allclose(step, decoder.prefill(1, [*prompt.tolist(), 7], 0), atol=1e-3)


def test_a_graph_that_tells_logits_of_all_places_is_served_alike(tiny_chat: Path, tmp_path: Path) -> None:
    folder = _tell_all_places(tiny_chat, tmp_path)
    prompt = [4, 5, 6, 7, 8]

    assert greedy_alone(make_decoder(folder), prompt, 6) == greedy_alone(make_decoder(tiny_chat), prompt, 6)


def test_a_graph_that_tells_logits_of_all_places_reads_as_many_as_memory_is_kept_for(
    tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_module, "_SCORED_NUMBERS", 7 * 400)
    prompt = np.random.default_rng(4).integers(0, 400, 200).tolist()
    decoder = make_decoder(_tell_all_places(tiny_chat, tmp_path))
    assert decoder.scored_tokens == 7
    decoder.prefill(0, prompt[:3], 0)

    tracemalloc.start()
    last = decoder.prefill(0, prompt[3:], 3)
    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(last, make_decoder(tiny_chat).prefill(0, prompt, 0), atol=1e-3)
    assert most_bytes < 100 * 400 * 4


def test_memory_is_what_the_configuration_says(tiny_chat: Path) -> None:
    opened = open_decoder(tiny_chat, read_config(tiny_chat), SESSION)

    assert opened.token_bytes == 2 * 2 * 2 * 16 * 4
    for memory in (opened.take_memory(3, 100), take_device_memory(opened, 3, 100)):
        assert Decoder(opened, memory).cache_bytes == 3 * 100 * opened.token_bytes
        assert all(piece.shape == (3, 2, 100, 16) and not piece.any() for piece in contents(memory))


def test_attention_that_the_device_leaves_to_another_is_refused(tiny_chat: Path) -> None:
    """As keys and values of fp32 are by CUDA: the graph would run, and read what nobody has written."""
    opened = open_decoder(tiny_chat, read_config(tiny_chat), SESSION)

    check_placement(opened.session, "CPUExecutionProvider")
    with pytest.raises(
        ModelRejectedError, match=r"CUDA cannot run this graph's GroupQueryAttention.*-p fp16"
    ):
        check_placement(opened.session, "CUDAExecutionProvider")


class _LostMemory(HostMemory):
    """Of a device that failed for good."""

    device = Device("cuda")

    def copy(self, source: int, target: int, length: int) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0")


def test_a_device_that_is_lost_is_told(tiny_chat: Path) -> None:
    opened, told = open_decoder(tiny_chat, read_config(tiny_chat), SESSION), []
    decoder = Decoder(opened, _LostMemory(4, 2, RowShape(2, 8, 16, opened.cache_kind)))
    decoder.on_device_lost = lambda: told.append("lost")

    with pytest.raises(DeviceLostError):
        decoder.copy(0, 1, 4)
    assert told == ["lost"]


def _add_node(folder: Path, kind: str, domain: str = "com.microsoft") -> None:
    model = _graph(folder)
    model.graph.node.append(helper.make_node(kind, ["embedded"], ["unused"], domain=domain))
    onnx.save(model, folder / "model.onnx")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("MoE", "experts"),
        ("QMoE", "experts"),
        ("LSTM", "recurrent"),
        ("LinearAttention", "recurrent"),
        ("MultiHeadAttention", "attends by another operator"),
        ("PagedAttention", "attends by another operator"),
        ("If", "whole batch"),
    ],
)
def test_operators_that_are_not_served_are_named(
    tiny_chat: Path, tmp_path: Path, kind: str, word: str
) -> None:
    folder = _copy(tiny_chat, tmp_path)
    _add_node(folder, kind)

    with pytest.raises(ModelRejectedError, match=f"(?s){word}.*{kind}|{kind}.*{word}"):
        _open(folder)


def test_a_sliding_window_in_the_graph_is_refused_and_none_is_not(tiny_chat: Path, tmp_path: Path) -> None:
    folder = _copy(tiny_chat, tmp_path)
    for size in (-1, 0):
        _set_window(folder, size)
        _open(folder)
    _set_window(folder, 128)

    with pytest.raises(ModelRejectedError, match="sliding window"):
        _open(folder)


def _set_window(folder: Path, size: int) -> None:
    model = _graph(folder)
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            kept = [attribute for attribute in node.attribute if attribute.name != "local_window_size"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("local_window_size", size)])
    onnx.save(model, folder / "model.onnx")


@pytest.mark.parametrize(
    ("name", "rank", "word"),
    [("position_ids", 3, "position_ids of the shape"), ("past_conv.0", 2, r"past_conv\.0")],
)
def test_inputs_that_nobody_can_give_are_refused(
    tiny_chat: Path, tmp_path: Path, name: str, rank: int, word: str
) -> None:
    folder = _copy(tiny_chat, tmp_path)
    model = _graph(folder)
    shape = ["three", "batch_size", "n"][-rank:]
    model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
    onnx.save(model, folder / "model.onnx")

    with pytest.raises(ModelRejectedError, match=word):
        _open(folder)


def _turn_before_attention(folder: Path, positions: str) -> None:
    """Move the rotations out of GroupQueryAttention; then the graph has to be told each token's position."""
    model = _graph(folder)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "GroupQueryAttention":
            for place, heads in ((0, 4), (1, 2)):
                turned = f"{node.input[place]}/turned"
                inputs = [node.input[place], positions, *node.input[7:9]]
                model.graph.node.append(
                    helper.make_node(
                        "RotaryEmbedding",
                        inputs,
                        [turned],
                        domain="com.microsoft",
                        num_heads=heads,
                        rotary_embedding_dim=16,
                    )
                )
                node.input[place] = turned
            del node.input[7:9]
            kept = [attribute for attribute in node.attribute if attribute.name != "do_rotary"]
            del node.attribute[:]
            node.attribute.extend(kept)
        model.graph.node.append(node)
    shape = ["batch_size", "sequence_length"]
    model.graph.input.append(helper.make_tensor_value_info(positions, TensorProto.INT64, shape))
    onnx.save(model, folder / "model.onnx")


@pytest.mark.parametrize("positions", ["position_ids", "places"])
def test_graphs_are_told_positions_where_they_ask_for_them(
    tiny_chat: Path, tmp_path: Path, positions: str
) -> None:
    """Rows of different lengths in one step, prompts in pieces: each token's own position, or other texts."""
    folder = _copy(tiny_chat, tmp_path)
    _turn_before_attention(folder, positions)
    if positions != "position_ids":
        _configure(folder, "model.decoder.inputs.position_ids", positions)
    decoder, inside = make_decoder(folder), make_decoder(tiny_chat)
    prompts = [np.random.default_rng(7).integers(0, 400, length).tolist() for length in (40, 5, 23)]
    for slot, prompt in enumerate(prompts):
        wanted = inside.prefill(slot, prompt, 0)
        decoder.prefill(slot, prompt[:3], 0)
        np.testing.assert_allclose(decoder.prefill(slot, prompt[3:], 3), wanted, atol=1e-3)
    lengths = np.array([len(prompt) for prompt in prompts])
    for step in range(4):
        wanted = inside.decode([9, 8, 7], lengths + step).copy()
        np.testing.assert_allclose(decoder.decode([9, 8, 7], lengths + step), wanted, atol=1e-3)


def _configure(folder: Path, path: str, value: object) -> None:
    file = folder / "genai_config.json"
    config = json.loads(file.read_text())
    *parents, last = path.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[last] = value
    file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("path", "value", "error", "word"),
    [
        ("model.decoder.num_hidden_layers", 3, ModelRejectedError, "2 nodes"),
        ("model.vocab_size", 401, ModelLoadFailedError, "vocab_size"),
        ("model.decoder.outputs.logits", "scores", ModelLoadFailedError, "scores"),
        ("model.decoder.outputs.present_key_names", "now.%d", ModelLoadFailedError, r"now\.0"),
        ("model.decoder.filename", "other.onnx", ModelNotFoundError, r"other\.onnx"),
    ],
)
def test_a_configuration_of_another_graph_is_told(
    tiny_chat: Path, tmp_path: Path, path: str, value: object, error: type[Exception], word: str
) -> None:
    folder = _copy(tiny_chat, tmp_path)
    _configure(folder, path, value)

    with pytest.raises(error, match=word):
        _open(folder)


def test_missing_weights_are_told(tiny_chat: Path, tmp_path: Path) -> None:
    folder = _copy(tiny_chat, tmp_path)
    (folder / "model.onnx.data").unlink()

    with pytest.raises(ModelLoadFailedError, match=r"model\.onnx\.data"):
        _open(folder)
