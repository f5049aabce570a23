"""Our engine without a server: CPU seconds of this process, one thread."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.generation.work import NEW_TOKENS, PROMPT_TOKENS, ROWS, make_prompts
from modelservice_runtime.generation.config import DecoderConfig, read_config
from modelservice_runtime.generation.decoder import Decoder
from modelservice_runtime.generation.decoder_session import open_decoder
from modelservice_runtime.generation.engine import Active, Engine
from modelservice_runtime.generation.pace import Pace
from modelservice_runtime.generation.row import TextRow
from modelservice_runtime.generation.sampling.row import SamplingRow
from modelservice_runtime.generation.scheduler import Ask
from modelservice_runtime.generation.values import GenerationRequest, Sampling
from modelservice_runtime.machine.memory.huge_pages import settle_memory
from modelservice_runtime.settings.sessions import SessionSettings

# Fixed: by itself its size follows times on the wall, which others on this machine stretch.
CHUNK = 128
PLACES = 640


class NoText:
    """Tokens are enough here."""

    stopped = False

    def add(self, token: int) -> str:  # noqa: ARG002 - as the protocol says
        return ""

    def end(self) -> str:
        return ""


class NobodyAsks:
    """An observer that does nothing."""

    def begun(self, generation: Active) -> None: ...

    def reading(self, generation: Active | None) -> None: ...

    def ended(self, generation: Active) -> None: ...


@dataclass
class Steps:
    """CPU seconds of every step and chunk, and between the tokens of every text."""

    steps: list[float] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)


class Own:
    """One model in one precision."""

    def __init__(self, folder: Path) -> None:
        self.config: DecoderConfig = read_config(folder)
        session = SessionSettings(("CPU",), 1)
        opened = open_decoder(folder, self.config, session)
        self.decoder = Decoder(opened, opened.take_memory(ROWS, PLACES))
        self.generate(make_prompts(1), 4)  # the first runs get their memory
        settle_memory()  # as a server does

    def engine(self, *, keeps: bool = False) -> Engine:
        return Engine(self.decoder, Pace(0.2, CHUNK), NobodyAsks(), keeps_prefixes=keeps)

    def active(self, prompt: Sequence[int], new: int) -> Active:
        request = GenerationRequest(tuple(prompt), new, Sampling(temperature=0.0), ignore_eos=True)
        row = TextRow(request, SamplingRow(request, self.config.vocabulary), NoText(), frozenset())
        return Active(row, Ask("", 0, len(prompt), 0.0))

    def generate(self, prompts: Sequence[Sequence[int]], new: int = NEW_TOKENS) -> float:
        """CPU seconds of all these texts, asked for at once."""
        engine = self.engine()
        for prompt in prompts:
            engine.add(self.active(prompt, new))
        started = time.process_time()
        while not engine.is_idle:
            engine.step()
            engine.read()
            engine.take_events()
        return time.process_time() - started

    def texts(self, prompts: Sequence[Sequence[int]], new: int) -> list[list[int]]:
        """The tokens of all these texts, asked for at once."""
        engine, rows = self.engine(), [self.active(prompt, new) for prompt in prompts]
        for row in rows:
            engine.add(row)
        made: dict[Active, list[int]] = {row: [] for row in rows}
        while not engine.is_idle:
            engine.step()
            engine.read()
            for row, event in engine.take_events():
                made[row] += event.tokens if event is not None else ()
        return [made[row] for row in rows]

    def decode_only(self, rows: int, steps: int = 8, context: int = 128) -> float:
        """CPU seconds of a token, decoded in `rows` rows together."""
        lengths = np.full(rows, context)
        started = time.process_time()
        for _ in range(steps):
            self.decoder.decode([5] * rows, lengths)
        return (time.process_time() - started) / steps / rows

    def first_token(self, running: int) -> float:
        """CPU seconds from asking to the first token of a prompt of one chunk, beside so many texts."""
        engine = self.engine()
        for prompt in make_prompts(running, 16):
            engine.add(self.active(prompt, 100))
        for _ in range(2 * running):
            engine.step()
            engine.read()
        engine.take_events()
        newcomer = self.active(make_prompts(1, CHUNK, seed=2)[0], 4)
        engine.add(newcomer)
        started = time.process_time()
        while not any(one is newcomer for one, _ in engine.take_events()):
            engine.step()
            engine.read()
        return time.process_time() - started

    def known_prefix(self) -> float:
        """The second time to the first token over the first, for 512 tokens in common and 8 of its own."""
        engine, (begin,) = self.engine(keeps=True), make_prompts(1, 512)
        times = []
        for own in make_prompts(2, 8, seed=3):
            engine.add(self.active([*begin, *own], 1))
            started = time.process_time()
            while not engine.take_events():
                engine.step()
                engine.read()
            times.append(time.process_time() - started)
        return times[1] / times[0]

    def mixed(self) -> Steps:
        """Texts of many lengths that come while others run."""
        chance, engine, seen = random.Random(4), self.engine(), Steps()
        last: dict[Active, float] = {}
        waiting = [
            self.active(prompt[: chance.randrange(24, PROMPT_TOKENS)], chance.randrange(8, 40))
            for prompt in make_prompts(3 * ROWS)
        ]
        while waiting or not engine.is_idle:
            if waiting and chance.random() < 0.3:
                engine.add(waiting.pop())
            for work, times in ((engine.step, seen.steps), (engine.read, seen.chunks)):
                started = time.process_time()
                work()
                now = time.process_time()
                times.append(now - started)
                for generation, _ in engine.take_events():
                    if generation in last:
                        seen.between.append(now - last[generation])
                    last[generation] = now
        return seen
