"""`modelservice model compress`: a smaller or faster file of a model that loses next to nothing."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from modelservice_pipeline.data.arguments import add_data_arguments, load_data
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.arguments import add_reading_arguments, make_reading
from modelservice_pipeline.predict.arguments import add_constant_argument, read_constants
from modelservice_pipeline.report.report import add_output_arguments, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_pipeline.compress.judge import Judge
    from modelservice_pipeline.data.dataset import Dataset
    from modelservice_pipeline.model.port import Port


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the ONNX file")
    add_data_arguments(parser)
    add_reading_arguments(parser)
    add_constant_argument(parser)
    group = parser.add_argument_group("compression")
    group.add_argument(
        "--max-drop",
        type=float,
        default=0.01,
        metavar="X",
        help="how much worse the figure may be, with 95 %% confidence (default: 0.01)",
    )
    group.add_argument(
        "--metric",
        metavar="NAME",
        help="the figure: one of evaluate, or agreement or cosine, which compare with the original's answers "
        "(default: f1, mae or chrf with labels, else agreement)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="DATA",
        help="rows to calibrate and learn from (default: a fifth of DATA, which then gives no figures)",
    )
    group.add_argument(
        "--target", choices=("cpu", "gpu"), default="cpu", help="what will run the model (default: cpu)"
    )
    group.add_argument(
        "--objective",
        choices=("latency", "throughput", "size"),
        default="latency",
        help="what is to gain: requests of one row, of several, or bytes (default: latency)",
    )
    group.add_argument(
        "--request-rows", type=int, default=32, metavar="N", help="rows of a request of several (default: 32)"
    )
    group.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPUs of the pod that will run it (default: 1)"
    )
    group.add_argument(
        "--script",
        action="append",
        default=[],
        metavar="COMMAND",
        help="a program that makes a candidate: its last argument is a folder with model.onnx, data.npz and "
        "perhaps pruned.onnx, where it writes result.onnx; may be repeated",
    )
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make candidates, judge and measure them, keep the best. Raises PipelineError."""
    from modelservice_pipeline.compress.outcome import report
    from modelservice_pipeline.compress.run import Request, compress

    _check(arguments)
    request = Request(
        arguments.model,
        lambda ports: _load(arguments, ports),
        lambda data: _make_judge(arguments, data),
        max_drop=arguments.max_drop,
        objective=arguments.objective,
        request_rows=arguments.request_rows,
        threads=arguments.threads,
        for_gpu=arguments.target == "gpu",
        scripts=tuple(arguments.script),
        output=arguments.output,
        given=read_constants(arguments),
    )
    emit(report(compress(request)), arguments)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.max_drop >= 0:
        raise PipelineError(f"--max-drop {arguments.max_drop}: must be at least 0")
    for flag in ("request_rows", "threads"):
        if getattr(arguments, flag) < 1:
            raise PipelineError(f"--{flag.replace('_', '-')} {getattr(arguments, flag)}: must be at least 1")


def _load(arguments: argparse.Namespace, ports: "Sequence[Port]") -> "tuple[Dataset, Dataset]":
    """Return the rows to learn from and those to judge by."""
    from modelservice_pipeline.data.dataset import take_part

    data = load_data(arguments, ports, needs_label=False)
    if arguments.calibration is None:
        learnt, judged = take_part(data, 0.0, 0.2), take_part(data, 0.2, 1.0)
        if not len(learnt) or not len(judged):
            raise PipelineError(
                f"{data.name} has {len(data)} rows, too few to learn from some and judge by others; give "
                "more, or rows to learn from as --calibration"
            )
        return learnt, judged
    other = argparse.Namespace(**{**vars(arguments), "data": arguments.calibration, "part": None})
    return load_data(other, ports, needs_label=False), data


def _make_judge(arguments: argparse.Namespace, data: "Dataset") -> "Judge":
    from modelservice_pipeline.compress.closeness import METRICS
    from modelservice_pipeline.compress.judge import ClosenessJudge, LabelJudge
    from modelservice_pipeline.evaluate.metrics import get_metric

    if arguments.metric in METRICS or (arguments.metric is None and data.labels is None):
        return ClosenessJudge(arguments.metric or METRICS[0], arguments.seed)
    name = arguments.metric and get_metric(arguments.metric).name
    if data.labels is None:
        raise PipelineError(
            f"--metric {name} needs labels, and {data.name} has none: name them with --label, or take "
            "--metric agreement or cosine"
        )
    return LabelJudge(name, data.labels, make_reading(arguments), arguments.positive, arguments.seed)
