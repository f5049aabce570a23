"""Folders that generate text: found, planned, loaded, tried and served under a name."""

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.support.tiny_chat import PAIRS, prompt_of

from modelservice_runtime.errors import (
    InvalidRequestError,
    InvalidSettingsError,
    ModelNotFoundError,
    ModelRejectedError,
    StartupError,
)
from modelservice_runtime.generation.values import GenerationRequest, Sampling, TokenEvent
from modelservice_runtime.models.generative import load_generative, plan_generative, try_generative
from modelservice_runtime.models.loading import find_sources
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.serving.generative import GenerativeModels
from modelservice_runtime.settings.generation import GenerationSettings
from modelservice_runtime.settings.serve import parse_serve_arguments

WAIT_SECONDS = 120


def _settings(folder: Path, *arguments: str, name: str = "chat"):  # type: ignore[no-untyped-def]
    return parse_serve_arguments(["--model", f"{name}={folder}", "--intra-op-threads", "1", *arguments])


def _source(folder: Path) -> VersionSource:
    return VersionSource("chat", "1", folder)


def test_a_folder_is_one_version_and_a_directory_of_versions_has_the_latest(
    tiny_chat: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        shutil.copytree(tiny_chat, tmp_path / str(number))
    shutil.copytree(tiny_chat, tmp_path / "odd" / "tiny")
    (tmp_path / "odd" / "tiny" / "1").mkdir()

    assert [source.path for source in find_sources(_settings(tiny_chat))] == [tiny_chat]
    assert [source.version for source in find_sources(_settings(tmp_path))] == ["2"]
    assert [source.version for source in find_sources(_settings(tmp_path / "odd" / "tiny"))] == ["1"]


def test_a_graph_that_its_folder_names_stands_for_the_folder(tiny_chat: Path, tmp_path: Path) -> None:
    """A volume's path, and one whose digest is checked, is that of a file."""
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "tiny"))
    other = folder / "classifier.onnx"
    other.touch()

    assert [source.path for source in find_sources(_settings(folder / "model.onnx"))] == [folder]
    assert [source.path for source in find_sources(_settings(other))] == [other]
    (folder / "genai_config.json").write_text("[]")
    with pytest.raises(StartupError, match="genai_config"):
        find_sources(_settings(folder / "model.onnx"))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--workers", "2"], "--workers"),
        (["--model-version-policy", "all"], "--model-version-policy"),
        (["--version-label", "chat:stable=1"], "--version-label chat:stable=1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    tiny_chat: Path, arguments: list[str], word: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=word):
        find_sources(_settings(tiny_chat, *arguments))


def test_flags_become_settings(tiny_chat: Path) -> None:
    flags = (
        "--max-sequences 4 --max-context-tokens 512 --kv-cache-bytes 2Gi --prefill-chunk-tokens 64 "
        "--max-output-tokens 100 --max-queued-prompt-tokens 1000 --max-inter-token-milliseconds 50 "
        "--prefix-cache off"
    )
    settings = _settings(tiny_chat, *flags.split())

    assert settings.generation == GenerationSettings(4, 512, 2 * 1024**3, 64, 100, 1000, 0.05, False)
    assert _settings(tiny_chat).generation == GenerationSettings()
    assert _settings(tiny_chat, "--prefill-chunk-tokens", "auto").generation.prefill_chunk_tokens is None


@pytest.mark.parametrize(
    "arguments",
    [["--max-sequences", "0"], ["--max-sequences", "5000"], ["--max-inter-token-milliseconds", "0"]],
)
def test_flags_out_of_range_are_refused(tiny_chat: Path, arguments: list[str]) -> None:
    with pytest.raises(InvalidSettingsError, match=arguments[0]):
        _settings(tiny_chat, *arguments)


async def test_a_served_folder_generates_what_it_has_learnt(tiny_chat: Path) -> None:
    table = ModelTable()
    models = GenerativeModels(_settings(tiny_chat, "--max-sequences", "2"), table)
    models.plan([_source(tiny_chat)])
    assert models.cache_bytes == 2 * 1024 * 512
    table.declare("chat", "1")
    table.start_loading("chat", "1")
    assert not table.all_ready
    models.publish(_source(tiny_chat), models.load(_source(tiny_chat)))
    assert table.all_ready
    model = table.find_generative("chat")
    assert model is not None
    assert (model.lane.limits.max_context_tokens, model.lane.limits.max_sequences) == (1024, 2)

    events: list[TokenEvent] = []
    ended = asyncio.Event()

    def hear(event: TokenEvent) -> None:
        events.append(event)
        if event.finish is not None or event.error is not None:
            ended.set()

    question, answer = PAIRS[-1]
    prompt = tuple(model.text.encode(prompt_of(question)))
    model.lane.submit(GenerationRequest(prompt, 100, Sampling(temperature=0.0)), hear)
    await asyncio.wait_for(ended.wait(), WAIT_SECONDS)
    models.retire()

    assert "".join(event.text for event in events) == answer
    assert table.find_generative("chat") is None
    assert model.requests.success_count == 1
    assert model.requests.open_count == 0


def test_tensors_are_not_asked_of_texts(tiny_chat: Path) -> None:
    async def publish() -> ModelTable:
        table = ModelTable()
        models = GenerativeModels(_settings(tiny_chat, "--max-sequences", "1"), table)
        models.plan([_source(tiny_chat)])
        models.publish(_source(tiny_chat), models.load(_source(tiny_chat)))
        with pytest.raises(InvalidRequestError, match="generates text"):
            table.find("chat", None)
        snapshots: list[object] = []
        table.gather(snapshots.extend)
        assert [snapshot.name for snapshot in snapshots] == ["chat"]  # type: ignore[attr-defined]
        models.retire()
        return table

    asyncio.run(publish())


def test_a_trial_needs_memory_for_a_short_text_only(tiny_chat: Path) -> None:
    try_generative(tiny_chat, _settings(tiny_chat).session)


def test_numbers_that_are_none_are_found_before_anybody_asks(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "nan"))
    model = onnx.load(folder / "model.onnx")
    for constant in model.graph.initializer:
        if constant.name == "model.norm.weight":
            constant.CopyFrom(numpy_helper.from_array(np.full(384, np.nan, np.float32), constant.name))
    (folder / "model.onnx.data").unlink()
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")

    with pytest.raises(ModelRejectedError, match="NaN"):
        try_generative(folder, _settings(folder).session)


def test_what_does_not_fit_is_told_before_it_is_loaded(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "huge"))
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["context_length"] = 1 << 24
    (folder / "genai_config.json").write_text(json.dumps(config))
    settings = GenerationSettings(max_sequences=1024, max_context_tokens=1 << 24)

    with pytest.raises(ModelRejectedError, match=r"'chat' \(version '1'\): 1024 texts of 16777216 tokens"):
        plan_generative(_source(folder), settings, 0)


def test_a_folder_without_its_graph_or_tokenizer_is_told(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "parts"))
    (folder / "tokenizer.json").unlink()
    plan = plan_generative(_source(folder), GenerationSettings(max_sequences=1), 0)
    with pytest.raises(StartupError, match=r"tokenizer\.json"):
        load_generative(_source(folder), plan, _settings(folder).session, GenerationSettings(max_sequences=1))
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelNotFoundError, match=r"model\.onnx"):
        plan_generative(_source(folder), GenerationSettings(), 0)
