"""From a folder to a model that has generated tokens: memory, loading, trial."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelservice_runtime.errors import (
    AccessDeniedError,
    ExecutionProviderUnavailableError,
    InvalidSettingsError,
    ModelNotFoundError,
    ModelRejectedError,
    ServingError,
)
from modelservice_runtime.generation.config import DecoderConfig, read_config
from modelservice_runtime.generation.kv.plan import CachePlan, FreeMemory, cache_item_bytes, plan_cache
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.machine.gpu_devices import GpuReader, free_memory_bytes, open_gpus
from modelservice_runtime.machine.memory.cgroup import process_status
from modelservice_runtime.machine.memory.huge_pages import settle_memory
from modelservice_runtime.machine.memory.shares import find_memory_share
from modelservice_runtime.machine.readable import check_readable, describe_denial
from modelservice_runtime.models.content import LoadedFiles
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.settings.generation import GenerationSettings
from modelservice_runtime.settings.models import VersionLabel, VersionPolicy
from modelservice_runtime.settings.serve import ServeSettings
from modelservice_runtime.settings.sessions import SessionSettings

if TYPE_CHECKING:
    from modelservice_runtime.generation.decoder import Decoder
    from modelservice_runtime.generation.text.folder_text import FolderText

_TEXT_NAMES = (
    "genai_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
)
_TRIAL_TOKENS = 16
_TRIAL_STEPS = 2
_TRIAL_PLACES = 64


@dataclass(frozen=True, slots=True)
class GenerativePlan:
    """A folder's decoder, and the memory that was decided on: of a GPU, or the machine's."""

    config: DecoderConfig
    cache: CachePlan
    weights_bytes: int
    is_on_gpu: bool


def check_generative(source: VersionSource, settings: ServeSettings) -> None:
    """Refuse settings that no model that generates text can be served with. Raises InvalidSettingsError."""
    if settings.workers > 1:
        raise InvalidSettingsError(
            f"model {source.name!r} generates text, which --workers {settings.workers} would do with as many "
            "copies of its weights; leave --workers at 1, one process uses all CPUs"
        )
    if settings.version_policy is VersionPolicy.ALL:
        raise InvalidSettingsError(
            f"model {source.name!r} generates text, of which one version is served; leave "
            "--model-version-policy at latest"
        )
    labels = [_shown(label) for label in settings.version_labels if label.model == source.name]
    if labels:
        raise InvalidSettingsError(
            f"--version-label {labels[0]}: model {source.name!r} generates text and has no version labels"
        )


def find_free_memory(
    session: SessionSettings, taken_bytes: int, open_devices: Callable[[], GpuReader | None] = open_gpus
) -> FreeMemory:
    """What is free where models run, beside `taken_bytes` of it that others were promised.

    Raises ExecutionProviderUnavailableError where that is a GPU of which the driver tells nothing.
    """
    names = [name.lower() for name in session.execution_providers]
    if names[0] == "cuda":
        free_bytes = free_memory_bytes(session.device_id, open_devices())
        if free_bytes is not None:
            limit_bytes = session.cuda.memory_limit_bytes
            most_bytes = free_bytes if limit_bytes is None else min(free_bytes, limit_bytes)
            left_bytes = max(most_bytes - taken_bytes, 0)
            return FreeMemory(left_bytes, "GPU memory", "take a GPU with more memory", is_on_gpu=True)
        if "cpu" not in names:
            raise ExecutionProviderUnavailableError(
                f"execution provider CUDA was asked for, and the driver shows no GPU {session.device_id}; "
                "check that the node has a working device and driver, and that the server has the package "
                "nvidia-ml-py"
            )
    share = find_memory_share(workers=1)
    return FreeMemory(share.free_bytes(share.used_bytes(process_status()) + taken_bytes))


def plan_generative(source: VersionSource, settings: GenerationSettings, free: FreeMemory) -> GenerativePlan:
    """Read what the folder holds, and see what memory allows. Raises StartupError."""
    with source.named_in_errors():
        config = read_config(source.path)
        model = source.path / config.file
        try:
            check_readable(model)
            item_bytes = cache_item_bytes(model, config)
            parts = [file for file in source.path.glob(f"{config.file}*") if file.is_file()]
            weights_bytes = sum(file.stat().st_size for file in parts)
            weights_bytes += sum(one.path.stat().st_size for one in source.adapters if one.path.is_file())
        except PermissionError as error:
            raise AccessDeniedError(describe_denial(model)) from error
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"genai_config.json names the graph {config.file[:200]!r}, which cannot be read; keep all "
                "files of the model in one folder"
            ) from error
        cache = plan_cache(config, item_bytes, settings, weights_bytes, free)
        return GenerativePlan(config, cache, weights_bytes, free.is_on_gpu)


@dataclass(frozen=True, slots=True)
class LoadedGenerative:
    """What a lane is made of, and the files it came from. `created`: seconds since 1970."""

    decoder: "Decoder"
    text: "FolderText"
    config: DecoderConfig
    pace: Pace
    files: LoadedFiles
    created: int
    warm_seconds: float


def load_generative(
    source: VersionSource, plan: GenerativePlan, session: SessionSettings, settings: GenerationSettings
) -> LoadedGenerative:
    """Load a folder, take the memory for its texts, and generate some tokens. Raises StartupError."""
    # Imported here: it takes longer than everything else, and the ports are open by now.
    from modelservice_runtime.generation.decoder import Decoder
    from modelservice_runtime.generation.decoder_session import open_decoder
    from modelservice_runtime.generation.text.folder_text import load_text

    with source.named_in_errors():
        files = LoadedFiles(source.path / plan.config.file)
        text = load_text(source.path)
        opened = open_decoder(source.path, plan.config, _less_memory(session, plan.cache.cache_bytes))
        files.add_external(opened.files.locations, opened.files.model.parent)
        if source.has_to_prove:
            from modelservice_runtime.models.proof import check_answers

            outputs = [one.name for one in opened.session.get_outputs()]
            check_answers(source.path, opened.kinds, outputs, opened.run)
        adapters = opened.open_adapters(source.adapters)
        files.add_further(_further_files(source))
        if plan.is_on_gpu and not opened.device.is_cuda:
            plan = _plan_without_gpu(source, plan, settings)
        decoder = Decoder(opened, opened.take_memory(plan.cache.slots, plan.cache.places), adapters)
        pace = Pace(settings.max_inter_token_seconds, settings.prefill_chunk_tokens)
        started = time.perf_counter()
        _generate(decoder, Pace(1.0))  # the first run gets its memory, and says little
        settle_memory()
        _generate(decoder, pace)
        _try_adapters(decoder)
        warm_seconds = time.perf_counter() - started
        return LoadedGenerative(decoder, text, plan.config, pace, files, _made_at(source.path), warm_seconds)


def try_generative(source: VersionSource, session: SessionSettings) -> None:
    """Load a folder and generate some tokens, with memory for no more than that. Raises StartupError.

    Each adapter generates some too.
    """
    from modelservice_runtime.generation.decoder import Decoder
    from modelservice_runtime.generation.decoder_session import open_decoder
    from modelservice_runtime.generation.text.folder_text import load_text

    config = read_config(source.path)
    load_text(source.path, guides=False)
    places = min(config.context_length, _TRIAL_PLACES)
    opened = open_decoder(source.path, config, session)
    decoder = Decoder(opened, opened.take_memory(1, places), opened.open_adapters(source.adapters))
    _generate(decoder, Pace(1.0))
    _try_adapters(decoder)


def _plan_without_gpu(
    source: VersionSource, plan: GenerativePlan, settings: GenerationSettings
) -> GenerativePlan:
    """Plan again where a GPU was counted on, and the loaded model runs on the CPU all the same."""
    share = find_memory_share(workers=1)
    free_bytes = share.free_bytes(share.used_bytes(process_status()))
    return plan_generative(source, settings, FreeMemory(free_bytes + plan.weights_bytes))


def _less_memory(session: SessionSettings, cache_bytes: int) -> SessionSettings:
    """Where a GPU's memory is limited, keys and values are a part of what may be taken."""
    limit_bytes = session.cuda.memory_limit_bytes
    if limit_bytes is None:
        return session
    return replace(session, cuda=replace(session.cuda, memory_limit_bytes=max(limit_bytes - cache_bytes, 1)))


def _try_adapters(decoder: "Decoder") -> None:
    for name in decoder.adapters:
        try:
            _generate(decoder, Pace(1.0), name)
        except ModelRejectedError as error:
            raise ModelRejectedError(f"adapter {name!r}: {error.sentence}") from error.__cause__


def _generate(decoder: "Decoder", pace: Pace, adapter: str | None = None) -> None:
    """Read a short prompt and decode two tokens behind it; tells `pace` how long that took."""
    count = max(min(_TRIAL_TOKENS, decoder.places - _TRIAL_STEPS), 1)
    prompt = [token % decoder.vocabulary for token in range(count)]
    try:
        started = time.perf_counter()
        logits = decoder.prefill(0, prompt, 0, adapter)
        pace.note_chunk(count, time.perf_counter() - started)
        for step in range(min(_TRIAL_STEPS, decoder.places - count)):
            if not np.isfinite(logits).all():
                raise ModelRejectedError(
                    "the model's first tokens have no finite scores (NaN or infinity); export it again"
                )
            started = time.perf_counter()
            logits = decoder.decode([int(logits.argmax())], np.array([count + step]), 0, adapter)[0]
            pace.note_step(time.perf_counter() - started)
    except ServingError as error:
        raise ModelRejectedError(f"the model cannot generate: {error}") from error


def _further_files(source: VersionSource) -> dict[str, Path]:
    """What a text depends on beside the graph and its weights: settings, tokenizer, template, adapters."""
    beside = {name: source.path / name for name in _TEXT_NAMES}
    return beside | {one.name: one.path for one in source.adapters}


def _made_at(folder: Path) -> int:
    """When the newest of the model's files was written."""
    # A link may lead nowhere, if nothing else is asked of it.
    return int(max(file.stat().st_mtime for file in folder.iterdir() if file.is_file()))


def _shown(label: VersionLabel) -> str:
    return f"{label.model}:{label.label}={label.version}"
