"""Adapters of a real decoder: what is read, what is refused, and that a row never meets another adapter."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tests.support.tiny_chat import make_tiny_chat, write_adapter
from tests.unit.runtime.generation.decoders import SESSION, Form, greedy_alone, make_decoder
from tests.unit.runtime.generation.played_rows import PlainText

from modelservice_runtime.errors import (
    AccessDeniedError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
    StartupError,
)
from modelservice_runtime.generation.adapters import open_adapter
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.decoder_session import open_decoder
from modelservice_runtime.generation.lane import TextLane, Vocabulary
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.generation.values import GenerationLimits, GenerationRequest, Sampling, TokenEvent
from modelservice_runtime.settings.generation import AdapterSource

PATIENCE_SECONDS = 120
NAMES = (None, "law", "poet")
WEIGHT = "model.layers.0.q_proj.lora_{}.weight"
Weights = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_chat(tmp_path_factory.mktemp("adapted") / "model", pairs=(), adapted=True)


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Path]:
    """Two adapters, of different ranks."""
    directory = folder.parent
    return {
        "law": write_adapter(directory / "law.onnx_adapter", folder, seed=1, rank=4),
        "poet": write_adapter(directory / "poet.onnx_adapter", folder, seed=2, rank=7),
    }


def test_an_adapter_is_heard_and_the_model_stays_what_it_is(
    folder: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    decoder = make_decoder(folder, slots=6, adapters=files, form=Form.DEVICE)
    plain = make_decoder(make_tiny_chat(tmp_path / "plain", pairs=()))
    prompt = list(range(3, 30))
    texts = {name: greedy_alone(decoder, prompt, 12, adapter=name) for name in NAMES}

    assert texts[None] == greedy_alone(plain, prompt, 12)
    assert len({tuple(text) for text in texts.values()}) == 3
    # More bindings than are kept: those that come again are made again.
    for slot in range(6):
        for name in NAMES:
            assert greedy_alone(decoder, prompt, 3, slot, name) == texts[name][:3]


async def test_rows_in_company_of_other_adapters_have_the_texts_of_rows_alone(
    folder: Path, files: dict[str, Path]
) -> None:
    chance = random.Random(3)
    decoder = make_decoder(folder, slots=4, places=128, adapters=files)
    beginning = [chance.randrange(400) for _ in range(30)]
    asked = [
        ([*beginning, *(chance.randrange(400) for _ in range(1, 9))], chance.randrange(2, 20), name)
        for _ in range(10)
        for name in NAMES
    ]
    alone = [greedy_alone(decoder, prompt, length, adapter=name) for prompt, length, name in asked]
    vocabulary = Vocabulary(decoder.vocabulary, read_config(folder).eos_ids, lambda _request: PlainText())
    lane = TextLane(decoder, vocabulary, GenerationLimits(128, 64, 4, 10_000), Pace(0.2, 16))
    made: list[list[int]] = [[] for _ in asked]
    ends: asyncio.Queue[TokenEvent] = asyncio.Queue()

    def sink(tokens: list[int]) -> Callable[[TokenEvent], None]:
        def hear(event: TokenEvent) -> None:
            tokens.extend(event.tokens)
            if event.finish is not None or event.error is not None:
                ends.put_nowait(event)

        return hear

    for (prompt, length, name), tokens in zip(asked, made, strict=True):
        request = GenerationRequest(
            tuple(prompt), length, Sampling(temperature=0.0), ignore_eos=True, adapter=name
        )
        lane.submit([(request, sink(tokens))])
        await asyncio.sleep(chance.random() / 100)
    running, waiting = lane.adapters_in_use
    assert running | waiting <= {"law", "poet"}
    for _ in asked:
        event = await asyncio.wait_for(ends.get(), PATIENCE_SECONDS)
        assert event.error is None

    assert made == alone
    assert lane.statistics.prefix_hits > 0
    assert lane.adapters_in_use == (frozenset(), frozenset())
    lane.close_when_idle(lambda: None)


def _session(folder: Path) -> onnxruntime.InferenceSession:
    return open_decoder(folder, read_config(folder), SESSION).session


def _write(file: Path, weights: Weights) -> Path:
    adapter = onnxruntime.AdapterFormat()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in weights.items()}
    adapter.set_parameters(values)
    adapter.export_adapter(str(file))
    return file


def _ones(*shape: int, kind: type[np.generic] = np.float32) -> np.ndarray:
    return np.ones(shape, kind)


@pytest.mark.parametrize(
    ("weights", "error", "word"),
    [
        ({}, ModelLoadFailedError, "has no weights"),
        ({"other.lora_A.weight": _ones(384, 4)}, ModelRejectedError, r"no input 'other\.lora_A\.weight'"),
        ({WEIGHT.format("A"): _ones(64, 4)}, ModelRejectedError, "64 x 4, .* 384 x lora_r"),
        ({WEIGHT.format("A"): _ones(384)}, ModelRejectedError, "of 384, .* 384 x lora_r"),
        ({WEIGHT.format("A"): _ones(384, 0)}, ModelRejectedError, "384 x 0"),
        (
            {WEIGHT.format("A"): _ones(384, 4), WEIGHT.format("B"): _ones(5, 64)},
            ModelRejectedError,
            "has 5 of 'lora_r' and other weights have 4",
        ),
        ({WEIGHT.format("A"): _ones(384, 4, kind=np.float16)}, ModelRejectedError, "float16"),
    ],
)
def test_weights_that_the_graph_does_not_take_are_named(
    folder: Path, tmp_path: Path, weights: Weights, error: type[StartupError], word: str
) -> None:
    file = _write(tmp_path / "odd.onnx_adapter", weights)

    with pytest.raises(error, match=f"adapter 'odd': .*{word}"):
        open_adapter(AdapterSource("chat", "odd", file), _session(folder))


def test_weights_that_an_adapter_does_not_have_are_without_effect(folder: Path, tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    own = {
        WEIGHT.format("A"): chance.standard_normal((384, 4)).astype(np.float32),
        WEIGHT.format("B"): chance.standard_normal((4, 64)).astype(np.float32),
    }
    all_inputs = {one.name: one.shape for one in _session(folder).get_overridable_initializers()}
    zeros = {
        name: np.zeros([4 if size == "lora_r" else size for size in shape], np.float32)
        for name, shape in all_inputs.items()
    }
    files = {
        "some": _write(tmp_path / "some.onnx_adapter", own),
        "all": _write(tmp_path / "all.onnx_adapter", zeros | own),
    }
    decoder, prompt = make_decoder(folder, adapters=files), list(range(30))
    texts = {name: greedy_alone(decoder, prompt, 12, adapter=name) for name in (None, *files)}

    assert texts["some"] == texts["all"] != texts[None]


def test_files_that_are_no_adapters_are_told(folder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    session, whole = _session(folder), files["law"].read_bytes()
    file = tmp_path / "odd.onnx_adapter"
    for content in (b"", b"{}", b"\x00" * 4096, whole[:100], whole[: len(whole) // 2], whole[:-1]):
        file.write_bytes(content)
        with pytest.raises(ModelLoadFailedError, match=r"'odd\.onnx_adapter' is not an adapter"):
            open_adapter(AdapterSource("chat", "odd", file), session)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelNotFoundError, match=r"there is no file .*model convert --adapter"):
            open_adapter(AdapterSource("chat", "odd", path), session)


def test_a_file_that_may_not_be_read_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path) -> None:
        raise AccessDeniedError(f"user 65532 may not read {str(path)!r}")

    monkeypatch.setattr("modelservice_runtime.generation.adapters.check_readable", deny)
    with pytest.raises(AccessDeniedError, match="adapter 'odd': user 65532"):
        open_adapter(AdapterSource("chat", "odd", tmp_path / "a.onnx_adapter"), _session(folder))


def test_a_graph_without_inputs_for_adapters_is_told(tiny_chat: Path, files: dict[str, Path]) -> None:
    with pytest.raises(ModelRejectedError, match="adapter 'law': the model's graph has no inputs for adapt"):
        open_adapter(AdapterSource("chat", "law", files["law"]), _session(tiny_chat))
