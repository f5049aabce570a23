"""Folders that generate text: found, planned, loaded, tried and served under a name."""

import asyncio
import json
import mmap
import shutil
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from tests.support.tiny_chat import PAIRS, make_tiny_chat, prompt_of, write_adapter
from tests.unit.runtime.fake_nvml import make_nvml

from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Case, Proof
from modelservice_runtime.errors import (
    ExecutionProviderUnavailableError,
    InvalidRequestError,
    InvalidSettingsError,
    ModelNotFoundError,
    ModelRejectedError,
    StartupError,
)
from modelservice_runtime.generation.config import is_generative
from modelservice_runtime.generation.kv.plan import FreeMemory
from modelservice_runtime.generation.values import GenerationRequest, Sampling, TokenEvent
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.models.generative import (
    find_free_memory,
    load_generative,
    plan_generative,
    try_generative,
)
from modelservice_runtime.models.loading import find_sources
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.serving.generative import GenerativeModels
from modelservice_runtime.settings.generation import AdapterSource, GenerationSettings
from modelservice_runtime.settings.serve import parse_serve_arguments

WAIT_SECONDS = 120
MUCH = FreeMemory(8 * 1024**3)
THP_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


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
    models.publish(_source(tiny_chat), models.load(_source(tiny_chat), lambda: None))
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
    model.lane.submit([(GenerationRequest(prompt, 100, Sampling(temperature=0.0)), hear)])
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
        models.publish(_source(tiny_chat), models.load(_source(tiny_chat), lambda: None))
        with pytest.raises(InvalidRequestError, match="generates text"):
            table.find("chat", None)
        snapshots: list[object] = []
        table.gather(snapshots.extend)
        assert [snapshot.name for snapshot in snapshots] == ["chat"]  # type: ignore[attr-defined]
        models.retire()
        return table

    asyncio.run(publish())


def test_memory_is_the_devices_where_the_model_runs_on_one(tiny_chat: Path) -> None:
    def free(*flags: str, taken_bytes: int = 0, devices: int = 2) -> FreeMemory:
        settings = _settings(tiny_chat, *flags).session
        return find_free_memory(settings, taken_bytes, lambda: open_gpus(lambda _: make_nvml(devices)))

    cuda = ("--execution-provider", "CUDA")
    assert (free(*cuda).size_bytes, free(*cuda).name, free(*cuda).is_on_gpu) == (900, "GPU memory", True)
    assert free(*cuda, "--device-id", "1", taken_bytes=99).size_bytes == 800
    assert free(*cuda, "--cuda-memory-limit", "500", taken_bytes=100).size_bytes == 400
    for few in (0, 1):
        with pytest.raises(ExecutionProviderUnavailableError, match="no GPU 1"):
            free(*cuda, "--device-id", "1", devices=few)
    assert free(*cuda, "--execution-provider", "CPU", devices=0).name == "memory"
    assert (free().name, free().is_on_gpu) == ("memory", False)


def test_memory_is_planned_again_where_the_gpu_that_is_there_cannot_be_used(
    tiny_chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where ONNX Runtime lacks CUDA, or the driver is older than it needs."""
    settings = _settings(
        tiny_chat, "--execution-provider", "CUDA", "--execution-provider", "CPU", "--max-sequences", "4"
    )
    gpu = FreeMemory(80 * 1024**3, "GPU memory", is_on_gpu=True)
    plan = plan_generative(_source(tiny_chat), settings.generation, gpu)
    assert plan.cache.places == 1024

    def places(free_bytes: int) -> int:
        share = SimpleNamespace(used_bytes=lambda _: 0, free_bytes=lambda _: free_bytes)
        monkeypatch.setattr("modelservice_runtime.models.generative.find_memory_share", lambda **_: share)
        loaded = load_generative(_source(tiny_chat), plan, settings.session, settings.generation)
        return loaded.decoder.places

    # Weights are there by then. A token of four texts takes 2 KiB, and half of what is free is taken.
    assert places(2 * 350 * 2048) == 320
    with pytest.raises(ModelRejectedError, match="of memory are free"):
        places(256 * 2048)


def test_a_trial_needs_memory_for_a_short_text_only(tiny_chat: Path) -> None:
    try_generative(_source(tiny_chat), _settings(tiny_chat).session)


def test_numbers_that_are_none_are_found_before_anybody_asks(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "nan"))
    model = onnx.load(folder / "model.onnx")
    for constant in model.graph.initializer:
        if constant.name == "model.norm.weight":
            constant.CopyFrom(numpy_helper.from_array(np.full(384, np.nan, np.float32), constant.name))
    (folder / "model.onnx.data").unlink()
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")

    with pytest.raises(ModelRejectedError, match="NaN"):
        try_generative(_source(folder), _settings(folder).session)


def test_a_proof_beside_a_folder_is_replayed_before_it_serves(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "tiny"))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    ids, empty = np.array([[5, 6, 7]]), np.zeros((1, 2, 0, 16), np.float32)
    inputs = {one.name: empty for one in session.get_inputs()} | {
        "input_ids": ids,
        "attention_mask": ids * 0 + 1,
    }
    names = [one.name for one in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    source = VersionSource("chat", "1", folder, has_to_prove=True)
    settings = _settings(folder)

    def load() -> None:
        load_generative(
            source, plan_generative(source, settings.generation, MUCH), settings.session, settings.generation
        )

    with pytest.raises(ModelRejectedError, match=r"no proof\.json"):
        load()
    write_proof(Proof((Case(inputs, outputs),)), folder)
    load()
    write_proof(Proof((Case(inputs, {**outputs, "logits": outputs["logits"] + 1}),)), folder)
    with pytest.raises(ModelRejectedError, match="does not answer as its framework did"):
        load()


def test_what_does_not_fit_is_told_before_it_is_loaded(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "huge"))
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["context_length"] = 1 << 24
    (folder / "genai_config.json").write_text(json.dumps(config))
    settings = GenerationSettings(max_sequences=1024, max_context_tokens=1 << 24)

    with pytest.raises(ModelRejectedError, match=r"'chat' \(version '1'\): 1024 texts of 16777216 tokens"):
        plan_generative(_source(folder), settings, MUCH)


def test_a_folder_without_its_graph_or_tokenizer_is_told(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "parts"))
    (folder / "tokenizer.json").unlink()
    plan = plan_generative(_source(folder), GenerationSettings(max_sequences=1), MUCH)
    with pytest.raises(StartupError, match=r"tokenizer\.json"):
        load_generative(_source(folder), plan, _settings(folder).session, GenerationSettings(max_sequences=1))
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelNotFoundError, match=r"model\.onnx"):
        plan_generative(_source(folder), GenerationSettings(), MUCH)


@pytest.mark.parametrize(
    "name",
    ["genai_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.onnx"],
)
def test_a_device_in_place_of_a_file_is_refused_by_its_name(
    tiny_chat: Path, tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "device"))
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert is_generative(folder)
    with pytest.raises(ModelRejectedError, match=rf"'{name}' is a device, expected a regular file"):
        try_generative(_source(folder), _settings(folder).session)


def test_links_that_lead_nowhere_beside_a_model_are_no_part_of_it(tiny_chat: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_chat, tmp_path / "links"))
    for name in ("notes", "model.onnx.old"):
        (folder / name).symlink_to(tmp_path / "nowhere")
    settings = GenerationSettings(max_sequences=1)
    plan = plan_generative(_source(folder), settings, MUCH)
    loaded = load_generative(_source(folder), plan, _settings(folder).session, settings)
    newest = max(file.stat().st_mtime for file in folder.iterdir() if file.exists())
    assert loaded.created == int(newest)


@pytest.mark.skipif(
    not THP_SETTING.exists() or "[never]" in THP_SETTING.read_text(), reason="this system has no huge pages"
)
def test_what_a_loaded_model_keeps_is_asked_to_lie_in_huge_pages(tiny_chat: Path) -> None:
    kept = np.frombuffer(mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE), np.uint8)  # as large weights would
    kept[:] = 1
    source, settings = _source(tiny_chat), GenerationSettings(max_sequences=1)
    load_generative(source, plan_generative(source, settings, MUCH), _settings(tiny_chat).session, settings)
    assert "hg" in _mapping_flags(kept.ctypes.data + kept.nbytes // 2)


def _mapping_flags(address: int) -> list[str]:
    is_inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if first == "VmFlags:" and is_inside:
            return rest.split()
        if not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            is_inside = start <= address < end
    raise AssertionError("the address is in no mapping")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["chat=law"], "NAME:ADAPTER=FILE"),
        (["chat:law"], "NAME:ADAPTER=FILE"),
        (["chat:../x=a"], "NAME:ADAPTER=FILE"),
        (["other:law=a"], "names a model that no --model gives"),
        (["chat:chat=a"], "'chat' is used twice"),
        (["chat:law=a", "chat:law=b"], "'law' is used twice"),
    ],
)
def test_adapters_that_nobody_could_ask_for_are_refused(tiny_chat: Path, flags: list[str], word: str) -> None:
    with pytest.raises(InvalidSettingsError, match=word):
        _settings(tiny_chat, *(part for flag in flags for part in ("--adapter", flag)))


def test_a_model_of_tensors_has_no_adapters(model_files: dict[str, Path]) -> None:
    settings = _settings(model_files["mlp"], "--adapter", "chat:law=/law.onnx_adapter")

    with pytest.raises(InvalidSettingsError, match="only models that generate text"):
        find_sources(settings)


def test_adapters_are_counted_and_tried(tmp_path: Path) -> None:
    folder = make_tiny_chat(tmp_path / "model", pairs=(), adapted=True)
    file = write_adapter(tmp_path / "law.onnx_adapter", folder, seed=1)
    settings = _settings(folder, "--adapter", f"chat:law={file}")
    (source,) = find_sources(settings)
    assert source.adapters == (AdapterSource("chat", "law", file),)
    try_generative(source, settings.session)

    limits = GenerationSettings(max_sequences=1, max_context_tokens=64)
    plan_generative(source, limits, MUCH)
    with file.open("r+b") as opened:
        opened.truncate(1 << 42)  # nowhere on the disk, but in the sum
    with pytest.raises(ModelRejectedError, match=r"4096\.\d+ GiB of weights"):
        plan_generative(source, limits, MUCH)


def test_the_digest_is_of_all_files_that_a_text_depends_on(tmp_path: Path) -> None:
    folder = make_tiny_chat(tmp_path / "model", pairs=(), adapted=True)
    file = write_adapter(tmp_path / "odd.onnx_adapter", folder, seed=1)
    settings = _settings(folder, "--adapter", f"chat:law={file}", "--max-sequences", "1")
    (source,) = find_sources(settings)
    plan = plan_generative(source, settings.generation, MUCH)
    content = load_generative(source, plan, settings.session, settings.generation).files.read()

    read = {one.name: one for one in folder.iterdir() if one.name != "model.onnx"} | {"law": file}
    assert {"model.onnx.data", "genai_config.json", "tokenizer.json", "tokenizer_config.json"} < read.keys()
    lines = [f"{sha256(one.read_bytes()).hexdigest()}  {name}\n" for name, one in sorted(read.items())]
    assert content.external_data_sha256 == sha256("".join(lines).encode()).hexdigest()


def test_an_adapter_that_gives_no_numbers_is_found_by_the_trial(tmp_path: Path) -> None:
    folder = make_tiny_chat(tmp_path / "model", pairs=(), adapted=True)
    weights = {"A": np.full((384, 4), np.nan, np.float32), "B": np.ones((4, 64), np.float32)}
    adapter = onnxruntime.AdapterFormat()
    adapter.set_parameters({
        f"model.layers.0.q_proj.lora_{name}.weight": onnxruntime.OrtValue.ortvalue_from_numpy(value)
        for name, value in weights.items()
    })  # fmt: skip
    adapter.export_adapter(str(tmp_path / "odd.onnx_adapter"))
    source = AdapterSource("chat", "odd", tmp_path / "odd.onnx_adapter")

    with pytest.raises(ModelRejectedError, match=r"adapter 'odd': .*no finite scores"):
        try_generative(VersionSource("chat", "1", folder, adapters=(source,)), _settings(folder).session)
