"""`modelservice model pull`: the files of an artifact, checked, in a new folder."""

import argparse
from pathlib import Path

from modelservice_pipeline.oci.access import add_access_arguments
from modelservice_pipeline.report.report import Report, print_report, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "source", metavar="SOURCE", help="REGISTRY/REPOSITORY:TAG or @sha256:DIGEST, or a layout on disk"
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to: a new folder")
    add_access_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Pull it. Raises PipelineError."""
    from modelservice_pipeline.oci.access import access_of
    from modelservice_pipeline.package.opening import open_target
    from modelservice_pipeline.package.summary import format_size
    from modelservice_pipeline.package.unpack import unpack

    content = open_target(arguments.source, access_of(arguments))
    files = unpack(content, arguments.folder)
    facts = {
        "source": arguments.source,
        "digest": content.root.digest,
        "folder": str(arguments.folder),
        "files": [{"path": one.path, "sizeBytes": one.size_bytes, "sha256": one.sha256} for one in files],
    }
    rows = [(one.path, format_size(one.size_bytes), one.sha256) for one in files]
    sections = [f"    {content.root.digest}", table(("file", "size", "sha256"), rows)]
    print_report(Report(f"Pull into {arguments.folder}", facts, sections), as_json=arguments.json)
    return 0
