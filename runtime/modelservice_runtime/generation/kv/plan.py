"""How much memory keys and values get, before anything is loaded; pure but for a look at the graph."""

import mmap
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.errors import InvalidSettingsError, ModelRejectedError
from modelservice_runtime.generation.config import DecoderConfig
from modelservice_runtime.onnx.graph.wire import fields, parts, text
from modelservice_runtime.settings.generation import GenerationSettings

GIB = 1024**3
# A longer context takes memory from everything else, and minutes to read on a CPU: it has to be asked for.
_DEFAULT_PLACES = 4096
# With less nobody can chat; a model that was made for less has its own number.
_MIN_PLACES = 256
_STEP_PLACES = 64
# Of what the weights leave: what is taken by itself, and the most that may be asked for; runs need the rest.
_DEFAULT_SHARE = 0.5
_MAX_SHARE = 0.8
# TensorProto.DataType: bytes of a number.
_ITEM_BYTES = {1: 4, 10: 2}


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """Where weights, keys and values are to lie: what is free there before, whose it is, how to have more."""

    size_bytes: int
    name: str = "memory"
    remedy: str = "raise the memory limit"
    is_on_gpu: bool = False


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Slots for texts, the tokens each can hold, and the memory that takes."""

    slots: int
    places: int
    cache_bytes: int


def plan_cache(
    config: DecoderConfig,
    item_bytes: int,
    settings: GenerationSettings,
    weights_bytes: int,
    free: FreeMemory,
) -> CachePlan:
    """What can be promised of what is free.

    Raises InvalidSettingsError for a context that the model was not made for, ModelRejectedError where there
    is too little memory.
    """
    slots, wanted = settings.max_sequences, settings.max_context_tokens
    if wanted is not None and wanted > config.context_length:
        raise InvalidSettingsError(
            f"--max-context-tokens is {wanted}, and the model was made for at most {config.context_length}"
        )
    place_bytes = slots * 2 * config.layers * config.kv_heads * config.head_size * item_bytes
    left_bytes = max(free.size_bytes - weights_bytes, 0)
    places = wanted or _choose_places(config, settings, left_bytes, place_bytes)
    cache_bytes = places * place_bytes
    asked_bytes = settings.kv_cache_bytes
    if asked_bytes is not None and cache_bytes > asked_bytes:
        raise ModelRejectedError(
            f"{_described(slots, places, cache_bytes)}, and --kv-cache-bytes allows {_amount(asked_bytes)}; "
            "raise it, or lower --max-sequences or --max-context-tokens"
        )
    if cache_bytes > left_bytes * _MAX_SHARE:
        raise ModelRejectedError(
            f"{_described(slots, places, cache_bytes)} beside {_amount(weights_bytes)} of weights, and "
            f"{_amount(free.size_bytes)} of {free.name} are free, of which runs need a part; {free.remedy}, "
            "or lower --max-sequences or --max-context-tokens"
        )
    return CachePlan(slots, places, cache_bytes)


def _choose_places(
    config: DecoderConfig, settings: GenerationSettings, left_bytes: int, place_bytes: int
) -> int:
    """As many as the model knows and memory has, within reason; never so few that nothing can be said."""
    budget_bytes = settings.kv_cache_bytes or int(left_bytes * _DEFAULT_SHARE)
    most = config.context_length if settings.kv_cache_bytes else min(config.context_length, _DEFAULT_PLACES)
    fitting = budget_bytes // place_bytes // _STEP_PLACES * _STEP_PLACES
    return min(most, max(fitting, _MIN_PLACES))


def cache_item_bytes(model: Path, config: DecoderConfig) -> int:
    """The size of one number of the keys and values, as the graph declares them; 4 where it does not.

    Raises ModelLoadFailedError for a damaged file, OSError where it cannot be read.
    """
    with model.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    wanted = config.past()[0]
    for number, graph in parts(content):
        if number == 7:
            for field, value in parts(graph):
                if field == 11 and _name(value) == wanted:
                    return _ITEM_BYTES.get(_element_type(value), 4)
    return 4


def _name(info: memoryview) -> str:
    return next((text(value) for number, value in parts(info) if number == 1), "")


def _element_type(info: memoryview) -> int:
    """The `elem_type` of a ValueInfoProto's tensor type; 0 without one."""
    for wanted in (2, 1):
        info = next((value for number, value in parts(info) if number == wanted), memoryview(b""))
    found = next((value for number, value in fields(info) if number == 1), 0)
    return found if isinstance(found, int) else 0


def _described(slots: int, places: int, cache_bytes: int) -> str:
    return f"{slots} texts of {places} tokens need {_amount(cache_bytes)} for keys and values"


def _amount(size_bytes: int) -> str:
    # A small number of GiB would be 0.00.
    return f"{size_bytes / GIB:.2f} GiB" if size_bytes >= GIB // 100 else f"{size_bytes / GIB * 1024:.1f} MiB"
