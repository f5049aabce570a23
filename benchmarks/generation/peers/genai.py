"""onnxruntime-genai: its Generator with one text, with one after the other, and with a static batch."""

import json
import sys

import numpy as np
import onnxruntime_genai as genai

from benchmarks.generation.work import NEW_TOKENS, PROMPT_TOKENS, ROWS, cpu_seconds, make_prompts


def main(folder: str) -> None:
    config = genai.Config(folder)
    options = {"intra_op_num_threads": 1, "session.intra_op.allow_spinning": "0"}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    model = genai.Model(config)

    def generate(batch: list[list[int]], new: int = NEW_TOKENS) -> None:
        length = PROMPT_TOKENS + new
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(
            max_length=length, min_length=length, do_sample=False, batch_size=len(batch)
        )
        generator = genai.Generator(model, parameters)
        generator.append_tokens(np.array(batch, np.int32) if len(batch) > 1 else batch[0])
        while not generator.is_done():
            generator.generate_next_token()

    def one_after_the_other(prompts: list[list[int]]) -> None:
        for prompt in prompts:
            generate([prompt])

    prompts = make_prompts(ROWS)
    generate(prompts[:1], 4)
    one = min(cpu_seconds(lambda: generate(prompts[:1])) for _ in range(3))
    one_by_one = cpu_seconds(lambda: one_after_the_other(prompts))
    static = cpu_seconds(lambda: generate(prompts))
    print(json.dumps({"one": one, "one_by_one": one_by_one, "static": static}))


main(sys.argv[1])
