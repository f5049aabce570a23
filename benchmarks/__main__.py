"""Measure everything: `python -m benchmarks [CASE ...] [--seconds 4] [--chart FILE]`.

The servers have the first CPU and the client the second. Peers are installed into build/bench, or skipped
with a line that says why. What can be compared was measured in the same run, some rounds in turn.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.activator import activator
from benchmarks.autoscaler import concurrency, decisions
from benchmarks.cases import ALL, Settings
from benchmarks.entrance import entrance
from benchmarks.models import save_models
from benchmarks.report import draw, print_case
from benchmarks.servers import pin_client

CASES = ALL | {
    "entrance": entrance,
    "activator": activator,
    "autoscaler": decisions,
    "concurrency": concurrency,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)} (default: all)")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each row (default: %(default)s)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the rates into an SVG file")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    pin_client()
    measured = []
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(save_models(Path(directory)), arguments.seconds)
        for name in arguments.cases or CASES:
            case = CASES[name](settings)
            print_case(case)
            measured.append(case)
    if arguments.chart is not None:
        arguments.chart.write_text(draw(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
