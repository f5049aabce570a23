"""What `serve` can be told about requests that share a run; values and their flags."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from modelservice_runtime.settings.argument_types import parse_count, parse_duration


@dataclass(frozen=True, slots=True)
class ModelSample:
    """A file, a directory or an input's shape (see `models.samples`), for one model or for all."""

    text: str
    model: str | None = None


def add_batching_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "--max-batch-size",
        type=parse_count,
        default=1,
        metavar="N",
        help="rows that may share a run, where the model's graph proves that rows do not depend on each "
        "other and a check by running agrees; 1 turns batching off (default: %(default)s)",
    )
    parser.add_argument(
        "--max-batch-delay-milliseconds",
        type=parse_duration,
        default=0.0,
        metavar="M",
        help="how long a batch may wait to fill (default: 0, never)",
    )
    parser.add_argument(
        "--rows-are-independent",
        action="store_true",
        help="your word that rows do not depend on each other, for models whose graph does not prove it; it "
        "is still checked by running",
    )
    add_samples_argument(parser)


def add_samples_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says what a model can be tried on."""
    parser.add_argument(
        "--samples",
        action="append",
        default=[],
        metavar="FILE|DIR|INPUT:SHAPE",
        help="what the model can be tried on when it is loaded: a request as /infer takes it, in JSON (a "
        "relative path begins at the model's directory), a directory of such *.json, or an input's shape, "
        "such as image:1x3x224x224; MODEL=... is for one of several models; may be repeated",
    )


def parse_sample(text: str, models: Sequence[str]) -> ModelSample:
    """Parse `[MODEL=]FILE|DIR|INPUT:SHAPE`."""
    model, separator, rest = text.partition("=")
    return ModelSample(rest, model) if separator and model in models else ModelSample(text)
