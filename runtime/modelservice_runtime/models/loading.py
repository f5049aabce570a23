"""From a model's file to a model that has run once, and how its requests are to run."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from modelservice_runtime.errors import InvalidSettingsError, ModelLoadFailedError
from modelservice_runtime.generation.config import is_generative
from modelservice_runtime.machine.cpu import available_cpus
from modelservice_runtime.machine.memory.huge_pages import settle_memory
from modelservice_runtime.model import Model, WarmUp
from modelservice_runtime.models.content import LoadedFiles
from modelservice_runtime.models.samples import DecodeSample, read_samples
from modelservice_runtime.models.text_inputs import TextInputs, load_text_inputs, text_files_of
from modelservice_runtime.models.versions import VersionSource, check_labels, find_versions
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.settings.serve import ServeSettings

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# A model that is alone in its process, and uses all of its CPUs in a run, delays nobody but probes when it
# runs on the event loop; a thread would cost a tenth of a run of 2 ms.
_ALONE_INLINE_BELOW_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, what its warm-up learned and how long that took, and its files.

    `runs_in_turns` tells that one thread is all it can use. `texts`: see `ModelHandle`.
    """

    model: Model
    warm_up: WarmUp
    warm_seconds: float
    files: LoadedFiles
    runs_in_turns: bool
    texts: TextInputs | None = None


def find_sources(settings: ServeSettings) -> list[VersionSource]:
    """Every version to serve. Raises StartupError."""
    sources = [
        replace(
            source,
            samples=_samples_of(model.name, settings),
            has_to_prove=settings.verify_proof,
            adapters=tuple(one for one in settings.generation.adapters if one.model == model.name),
        )
        for model in settings.models
        for source in find_versions(model.name, model.path, settings.model_version, settings.version_policy)
    ]
    check_labels(settings.version_labels, sources)
    for source in sources:
        if is_generative(source.path):
            # Imported here: most servers have none.
            from modelservice_runtime.models.generative import check_generative

            check_generative(source, settings)
        elif source.adapters:
            raise InvalidSettingsError(
                f"--adapter: model {source.name!r} takes tensors, and only models that generate text (a "
                "directory with genai_config.json) have adapters"
            )
    return sources


def load_and_warm_up(
    source: VersionSource,
    settings: ServeSettings,
    decode_sample: DecodeSample,
    on_device_lost: Callable[[], None],
) -> LoadedModel:
    """Load one model and run it once; `on_device_lost` may be called on any thread. Raises StartupError."""
    with source.named_in_errors():
        return _load_and_warm_up(source, settings, decode_sample, on_device_lost)


def _load_and_warm_up(
    source: VersionSource,
    settings: ServeSettings,
    decode_sample: DecodeSample,
    on_device_lost: Callable[[], None],
) -> LoadedModel:
    # Imported here: it takes longer than everything else, and the ports are open by now.
    from modelservice_runtime.models.batching_decision import BatchingWish, prove_file
    from modelservice_runtime.models.learning import learn
    from modelservice_runtime.onnx.model import find_model_file, load_onnx_model

    files = LoadedFiles(find_model_file(source.path))
    model = load_onnx_model(source.path, source.name, source.version, settings.session)
    files.add_external(model.files.locations, model.files.model.parent)
    files.add_further(text_files_of(model.spec, source.path))
    model.on_device_lost = on_device_lost
    settle_memory()
    started = time.perf_counter()
    samples = read_samples(model.spec, source.path, source.samples, decode_sample)
    if source.has_to_prove and settings.model_trial_seconds is None:
        from modelservice_runtime.models.proof import check_proof

        check_proof(model, source.path)
    wish = BatchingWish(settings.max_batch_size, settings.rows_are_independent)
    learned = learn(model, wish, lambda: prove_file(find_model_file(source.path)), samples)
    warm_seconds = time.perf_counter() - started
    log.info("model loaded", extra={"model": source.name, "execution_providers": model.execution_providers})
    if model.skipped_outputs:
        log.warning(
            "outputs cannot be served",
            extra={"model": source.name, "outputs": dict(model.spec.left_out)},
        )
    texts = load_text_inputs(model.spec, source.path)
    return LoadedModel(model, learned, warm_seconds, files, model.runs_in_turns, texts)


def describe_crash(source: VersionSource) -> ModelLoadFailedError:
    """What to tell where the process dies while it loads this model."""
    return ModelLoadFailedError(
        f"the server died while it loaded or first ran the model {source.name!r} "
        f"(version {source.version!r}); try the file with ONNX Runtime alone, and export it again"
    )


def build_lane_settings(settings: ServeSettings, loaded: LoadedModel, *, alone: bool) -> LaneSettings:
    """How the model's requests run; `alone` tells that the process serves no other."""
    threads = max(1, available_cpus() // settings.workers // settings.intra_op_threads)
    return LaneSettings(
        max_batch_size=settings.max_batch_size,
        max_delay_seconds=settings.max_batch_delay_seconds,
        max_queue_size=settings.max_queue_size,
        max_queue_seconds=settings.max_queue_seconds,
        max_request_seconds=settings.max_request_seconds,
        runner_threads=1 if loaded.runs_in_turns else threads,
        queued_inline_below_seconds=_ALONE_INLINE_BELOW_SECONDS if alone and threads == 1 else 0.0,
    )


def run_in_thread(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Result], name: str
) -> asyncio.Future[Result]:
    """Run `work` in a thread that does not keep the process alive when a signal ends it first."""
    future: asyncio.Future[Result] = loop.create_future()

    def deliver(deliver_outcome: Callable[[], None]) -> None:
        if not future.cancelled():
            deliver_outcome()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - carried to the event loop, which raises it
            loop.call_soon_threadsafe(deliver, partial(future.set_exception, error))
        else:
            loop.call_soon_threadsafe(deliver, partial(future.set_result, result))

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _samples_of(model: str, settings: ServeSettings) -> tuple[str, ...]:
    return tuple(sample.text for sample in settings.samples if sample.model in (None, model))
