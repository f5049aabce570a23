"""The flags of `info`; the command line's help needs no more than the base installation."""

import argparse
from pathlib import Path

from modelservice_runtime.settings.batching import add_samples_argument


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `info`."""
    parser.add_argument(
        "--model", type=Path, metavar="PATH", help="load and warm up this model: an .onnx file or a directory"
    )
    parser.add_argument(
        "--execution-provider",
        action="append",
        default=[],
        metavar="NAME",
        help="with --model: run it there, in order of preference (default: CPU)",
    )
    parser.add_argument(
        "--rows-are-independent",
        action="store_true",
        help="with --model: check whether the owner's word on its rows would hold",
    )
    add_samples_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
