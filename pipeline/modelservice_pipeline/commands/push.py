"""`modelservice model push`: a folder or a layout goes to a registry, and becomes YAML that serves it."""

import argparse
from pathlib import Path

from modelservice_pipeline.oci.access import add_access_arguments, add_chunk_argument
from modelservice_pipeline.package.arguments import add_folder_arguments, add_service_arguments
from modelservice_pipeline.report.report import Report, print_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a model's folder, an ONNX file, or a layout of 'package'"
    )
    parser.add_argument("reference", metavar="REFERENCE", help="REGISTRY/REPOSITORY:TAG")
    parser.add_argument(
        "--yaml", type=Path, metavar="FILE", help="write a ModelService for it, or update the one in FILE"
    )
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="of the ModelService")
    add_service_arguments(parser)
    add_folder_arguments(parser)
    add_access_arguments(parser)
    add_chunk_argument(parser)
    parser.add_argument(
        "--mount-from", metavar="REPOSITORY", help="a repository of the registry that may have the same files"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Push it. Raises PipelineError."""
    from modelservice_pipeline.oci.access import access_of
    from modelservice_pipeline.oci.push import push_content
    from modelservice_pipeline.oci.reference import parse_reference
    from modelservice_pipeline.package.files import find_model
    from modelservice_pipeline.package.opening import pack_arguments
    from modelservice_pipeline.package.service import service_options, write_service
    from modelservice_pipeline.package.summary import format_size, summarise

    reference = parse_reference(arguments.reference)
    content = pack_arguments(arguments.folder, arguments)
    pushed = push_content(content, reference, access_of(arguments), arguments.mount_from)
    summary = summarise(content)
    if arguments.yaml is not None:
        options = service_options(arguments, arguments.namespace)
        write_service(arguments.yaml, pushed.reference, find_model(content), options)
    facts = {
        **summary.facts,
        "reference": str(pushed.reference),
        "storageUri": f"oci://{pushed.reference}",
        "sentBytes": pushed.sent_bytes,
        "presentBytes": pushed.present_bytes,
        "yaml": None if arguments.yaml is None else str(arguments.yaml),
    }
    told = f"Pushed {format_size(pushed.sent_bytes)}; the registry had {format_size(pushed.present_bytes)}."
    sections = [told, f"    {pushed.reference}", *summary.sections()]
    print_report(Report(f"Push of {arguments.folder}", facts, sections), as_json=arguments.json)
    return 0
