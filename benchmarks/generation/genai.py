"""onnxruntime-genai on the same work; runs in its own environment: `python genai.py FOLDER`, prints JSON."""

import json
import random
import sys
import time

PROMPT_TOKENS, NEW_TOKENS, ROWS = 120, 40, 16


def main(folder: str) -> None:
    import numpy as np
    import onnxruntime_genai as genai

    config = genai.Config(folder)
    options = {"intra_op_num_threads": 1, "session.intra_op.allow_spinning": "0"}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    model = genai.Model(config)
    chance = random.Random(1)
    prompts = [[chance.randrange(100, 40_000) for _ in range(PROMPT_TOKENS)] for _ in range(ROWS)]

    def generate(batch: list[list[int]], new: int) -> None:
        length = PROMPT_TOKENS + new
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(
            max_length=length, min_length=length, do_sample=False, batch_size=len(batch)
        )
        generator = genai.Generator(model, parameters)
        generator.append_tokens(np.array(batch, np.int32) if len(batch) > 1 else batch[0])
        while not generator.is_done():
            generator.generate_next_token()

    def measure(batches: list[list[list[int]]]) -> float:
        started = time.process_time()
        for batch in batches:
            generate(batch, NEW_TOKENS)
        return time.process_time() - started

    generate(prompts[:1], 4)
    one = min(measure([prompts[:1]]) for _ in range(3))
    print(json.dumps({
        "one": one,
        "one_by_one": measure([[prompt] for prompt in prompts]),
        "static": measure([prompts]),
    }))  # fmt: skip


main(sys.argv[1])
