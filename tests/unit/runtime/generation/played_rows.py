"""Rows whose next token follows from every token before it, without any model: they play a decoder."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from modelservice_runtime.errors import DeadlineExceededError, DeviceLostError, InferenceFailedError
from modelservice_runtime.generation.backend import Ids, Logits
from modelservice_runtime.generation.engine import Active, Engine
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.generation.row import TextRow
from modelservice_runtime.generation.sampling.row import SamplingRow
from modelservice_runtime.generation.scheduler import Ask
from modelservice_runtime.generation.values import GenerationRequest, Sampling

VOCABULARY = 50


Place = tuple[int, str | None]
"""A token, and the adapter by which its keys and values were made."""


def next_token(tokens: Sequence[int], adapter: str | None = None) -> int:
    return zlib.crc32(bytes(tokens) + (adapter or "").encode()) % VOCABULARY


def text_alone(prompt: Sequence[int], max_tokens: int, adapter: str | None = None) -> list[int]:
    """What a prompt's greedy continuation is, by nothing but the definition."""
    tokens = list(prompt)
    for _ in range(max_tokens):
        tokens.append(next_token(tokens, adapter))
    return tokens[len(prompt) :]


class PlayedRows:
    """Slots full of rubbish; counts what was run."""

    def __init__(
        self, slots: int, places: int, fails_at: int | None = None, fails_at_move: int | None = None
    ) -> None:
        self.slots, self.places = slots, places
        self.memory: list[list[Place]] = [
            [((7 * slot + at) % VOCABULARY, "rubbish") for at in range(places)] for slot in range(slots)
        ]
        self.runs: list[tuple[str, int]] = []
        self.run_adapters: list[str | None] = []
        self.adapters: frozenset[str] = frozenset()
        self.moves = 0
        self.scored_tokens, self.scored = 3, 0
        self.cache_bytes = slots * places
        self._fails_at, self._fails_at_move = fails_at, fails_at_move

    def prefill(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        if not is_wanted():
            raise DeadlineExceededError("stopped")
        self._note("prefill", len(tokens), adapter)
        self.memory[slot][past : past + len(tokens)] = [(token, adapter) for token in tokens]
        assert len(self.memory[slot]) == self.places
        return _logits(self.memory[slot][: past + len(tokens)], adapter)

    def score(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        assert len(tokens) <= self.scored_tokens
        self.prefill(slot, tokens, past, adapter, is_wanted)
        self.scored += len(tokens)
        read = self.memory[slot]
        return np.stack([_logits(read[: past + at + 1], adapter) for at in range(len(tokens))])

    def decode(
        self, tokens: Sequence[int], lengths: Ids, first: int = 0, adapter: str | None = None
    ) -> Logits:
        self._note("decode", len(tokens), adapter)
        logits = []
        for slot, (token, length) in enumerate(zip(tokens, lengths.tolist(), strict=True), start=first):
            self.memory[slot][length] = token, adapter
            logits.append(_logits(self.memory[slot][: length + 1], adapter))
        return np.stack(logits)

    def copy(self, source: int, target: int, length: int) -> None:
        self._note_move()
        self.memory[target][:length] = self.memory[source][:length]

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:
        self._note_move()
        kept = self.memory[one][:one_length]
        self.memory[one][:other_length] = self.memory[other][:other_length]
        self.memory[other][:one_length] = kept

    def stop(self) -> None:
        """Runs take no time."""

    def _note_move(self) -> None:
        self.moves += 1
        if self.moves == self._fails_at_move:
            raise DeviceLostError("the accelerator failed")

    def _note(self, kind: str, tokens: int, adapter: str | None) -> None:
        self.runs.append((kind, tokens))
        self.run_adapters.append(adapter)
        if len(self.runs) == self._fails_at:
            raise InferenceFailedError("the model failed")


def _logits(places: Sequence[Place], adapter: str | None) -> Logits:
    assert {made_by for _, made_by in places} == {adapter}, "keys and values of another adapter"
    logits = np.zeros(VOCABULARY, np.float32)
    logits[next_token([token for token, _ in places], adapter)] = 1.0
    return logits


class PlainText:
    """Tokens as numbers, never stopped."""

    stopped = False

    def add(self, token: int) -> str:
        return f"{token} "

    def end(self) -> str:
        return ""


@dataclass
class Watcher:
    """Counts what an engine tells."""

    begun_count: int = 0
    ended_count: int = 0
    is_reading: Active | None = None

    def begun(self, generation: Active) -> None:
        assert generation.held is not None
        self.begun_count += 1

    def reading(self, generation: Active | None) -> None:
        self.is_reading = generation

    def ended(self, generation: Active) -> None:
        self.ended_count += 1


def make_engine(rows: PlayedRows, *, chunk: int = 4, keeps: bool = True) -> tuple[Engine, Watcher]:
    watcher = Watcher()
    return Engine(rows, Pace(0.1, chunk), watcher, keeps_prefixes=keeps), watcher


def make_active(
    prompt: Sequence[int],
    max_tokens: int,
    *,
    owner: str = "",
    priority: int = 0,
    adapter: str | None = None,
    scored: bool = False,
) -> Active:
    request = GenerationRequest(
        tuple(prompt),
        max_tokens,
        Sampling(temperature=0.0, logprobs=1 if scored else None),
        scores_prompt=scored,
        owner=owner,
        priority=priority,
        adapter=adapter,
    )
    row = TextRow(request, SamplingRow(request, VOCABULARY), PlainText(), frozenset())
    return Active(row, Ask(owner, priority, len(prompt), since=0.0))
