"""Real decoders of tiny models, whose memory begins as rubbish."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modelservice_runtime.generation.adapters import open_adapter
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.decoder import Decoder, open_decoder
from modelservice_runtime.settings.generation import AdapterSource
from modelservice_runtime.settings.sessions import SessionSettings

SESSION = SessionSettings(("CPU",), 1)


def make_decoder(
    folder: Path, slots: int = 4, places: int = 256, adapters: Mapping[str, Path] | None = None
) -> Decoder:
    opened = open_decoder(folder, read_config(folder), SESSION)
    found = {
        name: open_adapter(AdapterSource("chat", name, file), opened.session)
        for name, file in (adapters or {}).items()
    }
    decoder = Decoder(opened, slots, places, found)
    chance = np.random.default_rng(1)
    for cache in decoder._caches:
        cache[:] = chance.standard_normal(cache.shape)
    return decoder


def greedy_alone(
    decoder: Decoder, prompt: Sequence[int], tokens: int, slot: int = 0, adapter: str | None = None
) -> list[int]:
    """The continuation of one prompt, read at once and decoded in one row."""
    logits = decoder.prefill(slot, prompt, 0, adapter)
    made = [int(logits.argmax())]
    while len(made) < tokens:
        lengths = np.array([len(prompt) + len(made) - 1])
        made.append(int(decoder.decode(made[-1:], lengths, slot, adapter)[0].argmax()))
    return made
