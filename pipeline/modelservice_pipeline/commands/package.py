"""`modelservice model package`: a folder becomes an artifact, on disk."""

import argparse
from pathlib import Path

from modelservice_pipeline.package.arguments import add_folder_arguments
from modelservice_pipeline.report.report import Report, print_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a model's folder, or an ONNX file")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="write an OCI image layout: a tar where PATH ends in .tar, else a folder; default: only tell",
    )
    parser.add_argument("--tag", help="the tag in the layout")
    add_folder_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Build it, and write it where it is asked for. Raises PipelineError."""
    from modelservice_pipeline.oci.layout import write_layout
    from modelservice_pipeline.package.opening import pack_arguments
    from modelservice_pipeline.package.summary import summarise

    content = pack_arguments(arguments.folder, arguments)
    summary = summarise(content)
    if arguments.output is not None:
        write_layout(content, arguments.output, arguments.tag)
    written = None if arguments.output is None else str(arguments.output)
    report = Report(
        f"Package of {arguments.folder}", {**summary.facts, "output": written}, summary.sections()
    )
    print_report(report, as_json=arguments.json)
    return 0
