"""`python -m benchmarks.generation [--precision int4 ...] [--folder FOLDER] [--alone]`: the table."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.generation.beside import measure_beside, prepare_peers
from benchmarks.generation.line import Line
from benchmarks.generation.own import Own
from benchmarks.generation.served import measure_served
from benchmarks.generation.smollm import PRECISIONS, prepare_environment, prepare_model
from benchmarks.generation.work import NEW_TOKENS, ROWS, make_prompts

_DECODE_TARGETS = {"int4": 1.9, "int8": 2.5, "fp32": 5.0}
_TEXT_TARGETS = {"int4": 1.5, "fp32": 3.0}


def measure_own(own: Own, precision: str) -> Iterator[Line]:
    """What our engine does with itself."""
    rows = min(own.decode_only(ROWS) for _ in range(3))
    alone = min(own.decode_only(1) for _ in range(3))
    yield Line("16 streams / 1, decode only", precision, alone / rows, _DECODE_TARGETS.get(precision))
    together = min(own.generate(make_prompts(ROWS)) for _ in range(2))
    single = min(own.generate(make_prompts(1)) for _ in range(3))
    what = "16 streams / 1, 120 + 40 tokens"
    yield Line(what, precision, ROWS * single / together, _TEXT_TARGETS.get(precision))
    idle = min(own.first_token(0) for _ in range(3))
    beside = min(own.first_token(8) for _ in range(3))
    yield Line("first token beside 8 running / idle", precision, beside / idle, 3.0, at_most=True)
    steps = own.mixed()
    bound = max(steps.steps) + max(steps.chunks)
    p99 = float(np.quantile(steps.between, 0.99))
    yield Line("between tokens, p99 / one step + one chunk", precision, p99 / bound, 1.0, at_most=True)
    yield Line("first token, 512 known of 520 / unknown", precision, own.known_prefix(), 0.1, at_most=True)


def measure_server(own: Own, folder: Path, precision: str) -> Iterator[Line]:
    """The same work through HTTP."""
    served = measure_served(folder)
    bare = own.generate(make_prompts(ROWS), NEW_TOKENS)
    yield Line("server with SSE / bare engine, 16 streams", precision, bare / served.cpu_seconds, 0.9)
    what = "tensor model's p99 beside 16 streams / alone"
    yield Line(what, precision, served.tensor_p99_ratio, 2.0, at_most=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation")
    parser.add_argument("--precision", action="append", choices=PRECISIONS)
    parser.add_argument("--folder", type=Path, help="another model, as onnxruntime-genai's builder writes it")
    parser.add_argument("--alone", action="store_true", help="no other engine beside it")
    arguments = parser.parse_args()
    print("| CPU time, one thread | precision | target | measured | reached |\n|---|---|---|---|---|")
    for precision in arguments.precision or PRECISIONS:
        is_other_model = arguments.folder is not None
        folder = arguments.folder or prepare_model(prepare_environment(), precision)
        own, peers = Own(folder), []
        if not arguments.alone:
            peers = prepare_peers(prepare_environment(), folder, precision, is_other_model=is_other_model)
        for line in measure_own(own, precision):
            print(line, flush=True)
        if peers:
            for line in measure_beside(own, peers, folder, precision):
                print(line, flush=True)
        for line in measure_server(own, folder, precision):
            print(line, flush=True)


if __name__ == "__main__":
    main()
