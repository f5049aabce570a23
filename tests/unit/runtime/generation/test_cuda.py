"""Texts on a CUDA device; skipped, visibly, where there is none.

Keys and values on a device without one: `kv/test_memory`, `test_decoder`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny_chat import END, PAIRS, halve, make_tiny_chat, prompt_of, write_adapter
from tests.unit.runtime.generation.decoders import contents, fill_with_rubbish, greedy_alone, make_decoder
from tokenizers import Tokenizer

from modelservice_runtime.errors import ExecutionProviderUnavailableError, ModelRejectedError
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.decoder import Decoder
from modelservice_runtime.generation.decoder_session import DecoderSession, open_decoder
from modelservice_runtime.generation.kv.memory import DeviceMemory, KvMemory
from modelservice_runtime.models.generative import find_free_memory, try_generative
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.settings.sessions import CudaOptions, SessionSettings

pytestmark = pytest.mark.gpu

CUDA = SessionSettings(("CUDA",), 1, cuda=CudaOptions(tf32=False))


@pytest.fixture(scope="module")
def half_chat(tiny_chat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = halve(tiny_chat, tmp_path_factory.mktemp("half") / "tiny")
    try:
        open_decoder(folder, read_config(folder), CUDA)
    except ExecutionProviderUnavailableError as error:
        pytest.skip(f"no CUDA device here: {error}")
    return folder


def _on_device(folder: Path, adapters: Mapping[str, Path] | None = None) -> Decoder:
    """A decoder that runs on the device, as do its keys and values."""
    decoder = make_decoder(folder, adapters=adapters, settings=CUDA)
    assert decoder._session.get_providers()[0] == "CUDAExecutionProvider"
    assert isinstance(decoder._memory, DeviceMemory)
    assert decoder._memory.device.is_cuda
    return decoder


def _learnt(folder: Path) -> list[tuple[list[int], list[int]]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [
        (tokenizer.encode(prompt_of(question)).ids, tokenizer.encode(answer + END).ids)
        for question, answer in PAIRS
    ]


def test_rows_in_company_have_the_texts_of_rows_alone(half_chat: Path) -> None:
    decoder, learnt = _on_device(half_chat), _learnt(half_chat)[:4]
    for slot, (prompt, wanted) in enumerate(learnt):
        assert greedy_alone(decoder, prompt, len(wanted), slot) == wanted

    made = [[int(decoder.prefill(slot, prompt, 0).argmax())] for slot, (prompt, _) in enumerate(learnt)]
    for step in range(min(len(wanted) for _, wanted in learnt) - 1):
        lengths = np.array([len(prompt) + step for prompt, _ in learnt])
        logits = decoder.decode([row[-1] for row in made], lengths)
        for row, values in zip(made, logits, strict=True):
            row.append(int(values.argmax()))
    for row, (_, wanted) in zip(made, learnt, strict=True):
        assert row == wanted[: len(row)]


def test_copies_swaps_and_known_beginnings_carry_a_row(half_chat: Path) -> None:
    decoder = _on_device(half_chat)
    (one, answer), (other, second) = _learnt(half_chat)[:2]
    decoder.prefill(0, one[:-3], 0)
    decoder.copy(0, 3, len(one) - 3)
    assert decoder.prefill(3, one[-3:], len(one) - 3).argmax() == answer[0]
    decoder.prefill(1, other, 0)
    decoder.swap(1, 3, len(other), len(one))

    assert decoder.decode(answer[:1], np.array([len(one)]), 1).argmax() == answer[1]
    assert decoder.decode(second[:1], np.array([len(other)]), 3).argmax() == second[1]


def test_scores_are_those_of_the_cpu(half_chat: Path) -> None:
    """A prompt in pieces, in a slot of its own, and steps behind it."""
    on_device, on_cpu = _on_device(half_chat), make_decoder(half_chat)
    prompt = np.random.default_rng(3).integers(0, 400, 50).tolist()
    for start in range(0, 50, 16):
        found = on_device.prefill(2, prompt[start : start + 16], start)
        wanted = on_cpu.prefill(2, prompt[start : start + 16], start)
        np.testing.assert_allclose(found, wanted, atol=0.1)
    for step, token in enumerate((7, 8, 9)):
        lengths = np.array([50 + step])
        np.testing.assert_allclose(
            on_device.decode([token], lengths, 2), on_cpu.decode([token], lengths, 2), atol=0.1
        )


def test_memory_is_the_devices_and_holds_zeros_until_it_is_filled(half_chat: Path) -> None:
    opened = open_decoder(half_chat, read_config(half_chat), CUDA)
    memory = opened.take_memory(3, 100)
    assert memory.device.is_cuda
    assert not any(piece.any() for piece in contents(memory))
    fill_with_rubbish(memory)
    before = contents(memory)
    memory.swap(0, 2, 100, 100)
    for piece, was in zip(contents(memory), before, strict=True):
        np.testing.assert_array_equal(piece[[2, 1, 0]], was)


def test_more_than_the_device_has_is_told(half_chat: Path) -> None:
    opened = open_decoder(half_chat, read_config(half_chat), CUDA)
    free = find_free_memory(CUDA, 0)
    assert free.name == "GPU memory"
    places = free.size_bytes // opened.token_bytes

    with pytest.raises(ModelRejectedError, match="the GPU has no"):
        opened.take_memory(2, places)


def test_keys_and_values_of_fp32_are_refused_or_answer_as_learnt(half_chat: Path, tiny_chat: Path) -> None:
    """CUDA's attention takes fp16; where it ever takes fp32 too, texts have to be right."""
    try:
        decoder = _on_device(tiny_chat)
    except ModelRejectedError as error:
        assert "GroupQueryAttention" in error.sentence  # noqa: PT017 - one of two right ends
        return
    prompt, wanted = _learnt(half_chat)[0]
    assert greedy_alone(decoder, prompt, len(wanted)) == wanted


def test_the_trial_generates_on_the_device(half_chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = replace(CUDA, cuda=replace(CUDA.cuda, memory_limit_bytes=1 << 30, graphs=True))
    taken: list[KvMemory] = []

    def take_memory(opened: DecoderSession, slots: int, places: int) -> KvMemory:
        taken.append(take(opened, slots, places))
        return taken[-1]

    take = DecoderSession.take_memory
    monkeypatch.setattr(DecoderSession, "take_memory", take_memory)
    try_generative(VersionSource("chat", "1", half_chat), limited)

    assert [memory.device.is_cuda for memory in taken] == [True]
    assert all(piece.any() for piece in contents(taken[0]))


def test_an_adapter_is_heard_on_the_device(half_chat: Path, tmp_path: Path) -> None:
    folder = halve(make_tiny_chat(tmp_path / "model", pairs=(), adapted=True), tmp_path / "half")
    file = write_adapter(tmp_path / "law.onnx_adapter", folder, seed=1)
    on_device = _on_device(folder, {"law": file})
    assert {value.device_name() for value in on_device.adapters["law"].values.values()} == {"cuda"}
    on_cpu = make_decoder(folder, adapters={"law": file})
    prompt = list(range(3, 30))
    for name in (None, "law"):
        found, wanted = (one.prefill(1, prompt, 0, name) for one in (on_device, on_cpu))
        np.testing.assert_allclose(found, wanted, atol=0.5)
    assert np.abs(on_cpu.prefill(1, prompt, 0) - on_cpu.prefill(1, prompt, 0, "law")).max() > 1
