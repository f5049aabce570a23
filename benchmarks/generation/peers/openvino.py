"""OpenVINO GenAI with continuous batching: `openvino.py FOLDER PRECISION`."""

import sys
from itertools import count

import numpy as np
import openvino
import openvino_genai

from benchmarks.generation.work import ROWS, Prompts, report


def main(folder: str, precision: str) -> None:
    scheduling = openvino_genai.SchedulerConfig()
    scheduling.max_num_seqs = ROWS
    scheduling.cache_size = 1  # GB
    scheduling.enable_prefix_caching = False
    properties: dict[str, object] = {"INFERENCE_NUM_THREADS": 1}
    if precision == "fp32":  # by itself it keeps keys and values in 8 bits
        properties |= {"KV_CACHE_PRECISION": "f32", "INFERENCE_PRECISION_HINT": "f32"}
    pipeline = openvino_genai.ContinuousBatchingPipeline(folder, scheduling, "CPU", properties)
    numbers = count()

    def generate(prompts: Prompts, new: int) -> list[list[int]]:
        config = openvino_genai.GenerationConfig(
            max_new_tokens=new, min_new_tokens=new, ignore_eos=True, do_sample=False
        )
        handles = [
            pipeline.add_request(next(numbers), openvino.Tensor(np.array([prompt], np.int64)), config)
            for prompt in prompts
        ]
        while pipeline.has_non_finished_requests():
            pipeline.step()
        return [list(handle.read_all()[0].generated_ids) for handle in handles]

    report(generate)


main(*sys.argv[1:])
