"""`modelservice model diff`: what two artifacts differ in."""

import argparse

from modelservice_pipeline.oci.access import add_access_arguments
from modelservice_pipeline.report.report import Report, add_output_arguments, emit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    what = "REGISTRY/REPOSITORY:TAG, a layout, a model's folder or an ONNX file"
    parser.add_argument("before", metavar="BEFORE", help=what)
    parser.add_argument("after", metavar="AFTER", help="the same, of what it is compared with")
    add_access_arguments(parser)
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare them. Raises PipelineError."""
    from modelservice_pipeline.oci.access import access_of
    from modelservice_pipeline.package.compare import compare, show_comparison
    from modelservice_pipeline.package.opening import open_target

    access = access_of(arguments)
    found = compare(open_target(arguments.before, access), open_target(arguments.after, access))
    title = f"{arguments.before} and {arguments.after}"
    facts = {"before": arguments.before, "after": arguments.after, **found}
    emit(Report(title, facts, show_comparison(found)), arguments)
    return 0
