"""From a model's file to a model that has run once, and how its requests are to run."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from modelservice_runtime.cpu import available_cpus
from modelservice_runtime.errors import ModelLoadFailedError
from modelservice_runtime.huge_pages import use_huge_pages
from modelservice_runtime.lane_settings import LaneSettings
from modelservice_runtime.last_words import last_words
from modelservice_runtime.model import Model, WarmUp
from modelservice_runtime.model_versions import VersionSource, check_labels, find_versions
from modelservice_runtime.settings import ServeSettings

log = logging.getLogger(__name__)

# A model that is alone in its process, and uses all of its CPUs in a run, delays nobody but probes when it
# runs on the event loop; a thread would cost a tenth of a run of 2 ms.
_ALONE_INLINE_BELOW_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, and what its warm-up learned; ``runs_in_turns`` tells that one thread is all it can use."""

    model: Model
    warm_up: WarmUp
    runs_in_turns: bool


def find_sources(settings: ServeSettings) -> list[VersionSource]:
    """Every version to serve. Raises StartupError."""
    sources = [
        source
        for model in settings.models
        for source in find_versions(model.name, model.path, settings.model_version, settings.version_policy)
    ]
    check_labels(settings.version_labels, sources)
    return sources


def load_and_warm_up(
    source: VersionSource, settings: ServeSettings, on_device_lost: Callable[[], None]
) -> LoadedModel:
    """Load one model and run it once; ``on_device_lost`` may be called on any thread. Raises StartupError."""
    # Imported here: it takes longer than everything else, and the ports are open by now.
    from modelservice_runtime.onnx_model import load_onnx_model
    from modelservice_runtime.warm_up import warm_up

    crash = ModelLoadFailedError(
        f"the server died while it loaded or first ran the model {source.name!r}; "
        "try the file with ONNX Runtime alone, and export it again"
    )
    with last_words(crash):
        model = load_onnx_model(source.path, source.name, source.version, settings.session)
        model.on_device_lost = on_device_lost
        use_huge_pages()
        warmed = warm_up(model)
    log.info("model loaded", extra={"model": source.name, "execution_providers": model.execution_providers})
    if model.skipped_outputs:
        log.warning(
            "outputs that are not tensors cannot be served (scikit-learn: export with zipmap=False)",
            extra={"model": source.name, "outputs": list(model.skipped_outputs)},
        )
    return LoadedModel(model, warmed, runs_in_turns=model.runs_in_turns)


def build_lane_settings(settings: ServeSettings, loaded: LoadedModel, *, alone: bool) -> LaneSettings:
    """How the model's requests run; ``alone`` tells that the process serves no other."""
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


def load_in_thread(
    loop: asyncio.AbstractEventLoop, load: Callable[[], LoadedModel], name: str
) -> asyncio.Future[LoadedModel]:
    """Load in a thread that does not keep the process alive when a signal ends it first."""
    future: asyncio.Future[LoadedModel] = loop.create_future()

    def deliver(loaded: LoadedModel | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        elif loaded is not None:
            future.set_result(loaded)

    def work() -> None:
        try:
            loaded = load()
        except BaseException as error:  # noqa: BLE001 - carried to the event loop, which raises it
            loop.call_soon_threadsafe(deliver, None, error)
        else:
            loop.call_soon_threadsafe(deliver, loaded, None)

    threading.Thread(target=work, name=f"load-{name}", daemon=True).start()
    return future
