"""`modelservice model inspect`: what an artifact holds, without its weights."""

import argparse

from modelservice_pipeline.oci.access import add_access_arguments
from modelservice_pipeline.report.report import Report, add_output_arguments, emit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "target", metavar="TARGET", help="REGISTRY/REPOSITORY:TAG, a layout, a model's folder or an ONNX file"
    )
    add_access_arguments(parser)
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises PipelineError."""
    from modelservice_pipeline.oci.access import access_of
    from modelservice_pipeline.package.opening import open_target
    from modelservice_pipeline.package.summary import summarise

    summary = summarise(open_target(arguments.target, access_of(arguments)))
    facts = {"target": arguments.target, **summary.facts}
    emit(Report(arguments.target, facts, summary.sections()), arguments)
    return 0
