"""The work that all engines do; every engine's environment can import this."""

import json
import random
import time
from collections.abc import Callable, Sequence

PROMPT_TOKENS, NEW_TOKENS, ROWS = 120, 40, 16

Prompts = Sequence[Sequence[int]]


def make_prompts(count: int, tokens: int = PROMPT_TOKENS, seed: int = 1) -> list[list[int]]:
    """Prompts that have nothing in common."""
    chance = random.Random(seed)
    return [[chance.randrange(100, 40_000) for _ in range(tokens)] for _ in range(count)]


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process, all its threads together."""
    started = time.process_time()
    work()
    return time.process_time() - started


def report(generate: Callable[[Prompts, int], list[list[int]] | list[str]]) -> None:
    """Print the seconds of one text and of all texts at once, and these texts, for `peers.run`.

    `generate` makes so many new tokens of each prompt, greedily, and gives back tokens or text.
    """
    generate(make_prompts(1), 4)  # the first runs get their memory
    one = min(cpu_seconds(lambda: generate(make_prompts(1), NEW_TOKENS)) for _ in range(2))
    texts: list[list[int] | str] = []
    together = cpu_seconds(lambda: texts.extend(generate(make_prompts(ROWS), NEW_TOKENS)))
    print(json.dumps({"one": one, "together": together, "texts": texts}))
