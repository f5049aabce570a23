"""The models of a server that generate text: their memory, their lanes, their end. Event loop's thread."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from modelservice_runtime.generation.config import is_generative
from modelservice_runtime.generation.values import GenerationLimits, GenerativeModel, TextModel
from modelservice_runtime.models.content import LoadedFiles
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.settings.serve import ServeSettings

if TYPE_CHECKING:
    from modelservice_runtime.generation.lane import TextLane
    from modelservice_runtime.models.generative import GenerativePlan, LoadedGenerative

log = logging.getLogger(__name__)


class GenerativeModels:
    """See the module's text; what it needs is imported where there is such a model."""

    def __init__(self, settings: ServeSettings, table: ModelTable) -> None:
        self._settings = settings
        self._table = table
        self._plans: dict[str, GenerativePlan] = {}
        self._lanes: dict[str, TextLane] = {}

    def plan(self, sources: Iterable[VersionSource]) -> None:
        """Decide on memory, before anything is loaded. Raises StartupError."""
        for source in sources:
            if is_generative(source.path):
                from modelservice_runtime.models.generative import find_free_memory, plan_generative

                free = find_free_memory(self._settings.session, self.cache_bytes)
                self._plans[source.name] = plan_generative(source, self._settings.generation, free)

    @property
    def cache_bytes(self) -> int:
        """Memory for the keys and values of all models."""
        return sum(plan.cache.cache_bytes for plan in self._plans.values())

    def has(self, source: VersionSource) -> bool:
        """Whether this version generates text."""
        return source.name in self._plans

    def load(self, source: VersionSource, on_device_lost: Callable[[], None]) -> "LoadedGenerative":
        """Load a model, on any thread, on which `on_device_lost` may be called too. Raises StartupError."""
        from modelservice_runtime.models.generative import load_generative

        plan = self._plans[source.name]
        loaded = load_generative(source, plan, self._settings.session, self._settings.generation)
        loaded.decoder.on_device_lost = on_device_lost
        return loaded

    def publish(self, source: VersionSource, loaded: "LoadedGenerative") -> LoadedFiles:
        """Serve a loaded model from now on; returns its files."""
        from modelservice_runtime.generation.lane import TextLane, Vocabulary

        decoder, config, settings = loaded.decoder, loaded.config, self._settings.generation
        limits = GenerationLimits(
            max_context_tokens=decoder.places,
            max_output_tokens=settings.max_output_tokens or decoder.places,
            max_sequences=decoder.slots,
            max_queued_prompt_tokens=settings.max_queued_prompt_tokens,
        )
        vocabulary = Vocabulary(config.vocabulary, config.eos_ids, loaded.text.begin)
        lane = TextLane(decoder, vocabulary, limits, loaded.pace, keeps_prefixes=settings.keeps_prefixes)
        self._lanes[source.name] = lane
        self._table.publish_generative(
            GenerativeModel(
                source.name,
                source.version,
                loaded.created,
                cast("TextModel", loaded.text),
                lane,
                adapters=tuple(decoder.adapters),
                requests=lane.requests,
                sampling=config.sampling,
            )
        )
        rate = loaded.pace.prefill_tokens_per_second
        fields = {
            "model": source.name,
            "version": source.version,
            "max_sequences": decoder.slots,
            "max_context_tokens": decoder.places,
            "kv_cache_bytes": decoder.cache_bytes,
            "adapters": list(decoder.adapters),
            "prompt_tokens_per_second": None if rate is None else round(rate, 1),
        }
        log.info("model ready", extra=fields)
        return loaded.files

    def stop_runs(self) -> None:
        """End all generations with an error: there is no more time."""
        for lane in self._lanes.values():
            lane.stop_runs()

    def retire(self) -> None:
        """Begin nothing any more."""
        for name, lane in self._lanes.items():
            self._table.retire_generative(name)
            lane.close_when_idle(lambda: None)
        self._lanes.clear()
