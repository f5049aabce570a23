"""`python -m modelservice_pipeline.gate`: scores, and tells in the container's termination message."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.metrics import get_metric
from modelservice_pipeline.evaluate.outputs import Reading
from modelservice_pipeline.gate.score import Job, run_job

CANNOT = 2
"""Exit code of what another try would not change."""
_LONGEST_MESSAGE = 1000


def main(argv: Sequence[str]) -> int:
    """Score; returns the exit code."""
    # The first process of a container does not die of it by itself.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    arguments = build_parser().parse_args(argv)
    try:
        outcome: Mapping[str, Any] = run_job(read_job(arguments))
    except PipelineError as error:
        return _fail(arguments.termination_log, str(error))
    except MemoryError:
        sentence = "there is not enough memory: raise spec.resources.limits.memory, or take fewer rows"
        return _fail(arguments.termination_log, sentence)
    _tell(arguments.termination_log, outcome)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m modelservice_pipeline.gate",
        description="Score a model on rows with right answers, beside the one that is in use.",
    )
    parser.add_argument("--model", type=Path, required=True, help="the new model: a file, or its folder")
    parser.add_argument("--stable", type=Path, help="the model in use, likewise")
    parser.add_argument("--data", type=Path, required=True, help="the rows; a plain name is beside the model")
    parser.add_argument("--data-sha256", help="the SHA-256 that the rows' file has to have")
    parser.add_argument("--metric", default="accuracy", help="what to compute (default: %(default)s)")
    parser.add_argument("--label", help="the column of the right answers")
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=COLUMN[,COLUMN...]", help="an input's columns"
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="a column of no use")
    parser.add_argument("--output", help="the model's output that answers")
    parser.add_argument("--class", action="append", default=[], dest="classes", help="the model's classes")
    parser.add_argument("--threads", type=int, default=1, help="for a run of a model (default: %(default)s)")
    parser.add_argument("--termination-log", type=Path, default=Path("/dev/termination-log"))
    return parser


def read_job(arguments: argparse.Namespace) -> Job:
    """Turn arguments into what to score. Raises PipelineError."""
    inputs = (text.partition("=") for text in arguments.input)
    return Job(
        model=arguments.model,
        data=arguments.data,
        metric=get_metric(arguments.metric),
        stable=arguments.stable,
        options=DataOptions(
            label=arguments.label,
            inputs={name: tuple(columns.split(",")) for name, _, columns in inputs},
            ignored=tuple(arguments.ignore),
        ),
        reading=Reading(output=arguments.output, classes=tuple(arguments.classes)),
        data_sha256=arguments.data_sha256,
        threads=arguments.threads,
    )


def _fail(termination_log: Path, sentence: str) -> int:
    _tell(termination_log, {"reason": "NotScored", "message": sentence[:_LONGEST_MESSAGE]})
    return CANNOT


def _tell(termination_log: Path, outcome: Mapping[str, Any]) -> None:
    """Print it, and write it where Kubernetes reads it; outside a container there is no such file."""
    text = json.dumps(outcome, allow_nan=False)
    print(text, flush=True)
    try:
        with os.fdopen(os.open(termination_log, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write(text)
    except OSError as error:
        print(f"no termination message: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
