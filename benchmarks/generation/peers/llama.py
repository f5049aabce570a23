"""llama.cpp's server with its continuous batching, inside the process: `llama.py FILE PRECISION`."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import xllamacpp

from benchmarks.generation.work import NEW_TOKENS, PROMPT_TOKENS, ROWS, Prompts, report

_REQUEST = {
    "ignore_eos": True,
    "temperature": 0,
    "samplers": ["top_k"],  # without any it draws from all tokens, whatever the temperature
    "top_k": 1,
    "cache_prompt": False,
}


def main(file: str, precision: str) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_parallel = ROWS
    parameters.n_ctx = ROWS * (PROMPT_TOKENS + NEW_TOKENS + 96)
    parameters.verbosity = 0
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads, threads.poll = 1, 0
    if precision == "fp32":  # by itself it keeps keys and values in fp16
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(parameters)

    def complete(prompt: Sequence[int], new: int) -> str:
        answer = server.handle_completions({**_REQUEST, "prompt": list(prompt), "n_predict": new})
        text: str = answer["choices"][0]["text"]
        assert answer["usage"]["completion_tokens"] == new, answer["usage"]
        return text

    def generate(prompts: Prompts, new: int) -> list[str]:
        with ThreadPoolExecutor(ROWS) as threads:
            return list(threads.map(lambda prompt: complete(prompt, new), prompts))

    report(generate)


main(*sys.argv[1:])
