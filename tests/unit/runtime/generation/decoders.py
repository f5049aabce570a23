"""Real decoders of tiny models, whose memory begins as rubbish."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

import numpy as np

from modelservice_runtime.generation.backend import Backend
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.decoder import Decoder
from modelservice_runtime.generation.decoder_session import DecoderSession, open_decoder
from modelservice_runtime.generation.kv.memory import Device, DeviceMemory, HostMemory, KvMemory, RowShape
from modelservice_runtime.settings.generation import AdapterSource
from modelservice_runtime.settings.sessions import SessionSettings

SESSION = SessionSettings(("CPU",), 1)


class Form(Enum):
    """Where keys and values are: the model's own place, or a device, for which the CPU can stand."""

    OWN = "own"
    DEVICE = "device"


def make_decoder(
    folder: Path,
    slots: int = 4,
    places: int = 256,
    adapters: Mapping[str, Path] | None = None,
    form: Form = Form.OWN,
    settings: SessionSettings = SESSION,
) -> Decoder:
    opened = open_decoder(folder, read_config(folder), settings)
    found = opened.open_adapters(AdapterSource("chat", *one) for one in (adapters or {}).items())
    memory = opened.take_memory(slots, places)
    if form is Form.DEVICE:
        memory = take_device_memory(opened, slots, places)
    fill_with_rubbish(memory)
    return Decoder(opened, memory, found)


def take_device_memory(opened: DecoderSession, slots: int, places: int) -> DeviceMemory:
    config = opened.config
    shape = RowShape(config.kv_heads, places, config.head_size, opened.cache_kind)
    return DeviceMemory(len(config.past()), slots, shape, Device(), SESSION)


def fill_with_rubbish(memory: KvMemory) -> None:
    chance, kind = np.random.default_rng(1), memory.shape.kind
    shape = (memory.slots, *memory.shape.dimensions)
    if isinstance(memory, HostMemory):
        for array in memory.arrays:
            array[:] = chance.standard_normal(shape)
    elif isinstance(memory, DeviceMemory):
        for value in memory.values:
            value.update_inplace(chance.standard_normal(shape).astype(kind).view(np.uint8).reshape(-1))


def contents(memory: KvMemory) -> list[np.ndarray]:
    """A copy of each piece."""
    if isinstance(memory, HostMemory):
        return [array.copy() for array in memory.arrays]
    assert isinstance(memory, DeviceMemory)
    shape = (memory.slots, *memory.shape.dimensions)
    return [np.array(value.numpy()).view(memory.shape.kind).reshape(shape) for value in memory.values]


def greedy_alone(
    decoder: Backend, prompt: Sequence[int], tokens: int, slot: int = 0, adapter: str | None = None
) -> list[int]:
    """The continuation of one prompt, read at once and decoded in one row."""
    logits = decoder.prefill(slot, prompt, 0, adapter)
    made = [int(logits.argmax())]
    while len(made) < tokens:
        lengths = np.array([len(prompt) + len(made) - 1])
        made.append(int(decoder.decode(made[-1:], lengths, slot, adapter)[0].argmax()))
    return made
