"""The flags of ``info``; the command line's help needs no more than the base installation."""

import argparse
from pathlib import Path


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``info``."""
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
    parser.add_argument("--json", action="store_true", help="print one JSON object")
