"""The command: its flags, and its row beside those of the pipeline, which knows no cluster."""

import argparse
from pathlib import Path

from modelservice_cli.packages import check_cluster_packages
from modelservice_cli.rollout.arguments import add_cluster_arguments, parse_duration_seconds
from modelservice_pipeline.commands.registry import PACKAGING, Command
from modelservice_pipeline.oci.access import add_access_arguments, add_chunk_argument
from modelservice_pipeline.package.arguments import add_folder_arguments, add_service_arguments

DEPLOY = Command(
    "deploy",
    "push a model's folder, serve it in a cluster, and show the rollout",
    "Push a model's folder to a registry, apply the ModelService that serves it, by digest, and follow the "
    "rollout until the model answers. With --output-yaml the ModelService is written for Git instead. A "
    "model that is in a registry already is served from there.",
    (
        "modelservice model deploy spam --registry registry.example.com/models -n mail",
        "modelservice model deploy registry.example.com/models/spam:3 --name spam -n mail",
        "modelservice model deploy spam --registry registry.example.com/models --output-yaml spam.yaml",
    ),
    (
        (1, "it failed, or the rollout was given up or cannot go on"),
        (124, "the rollout still goes on after --timeout"),
        (130, "ended by Ctrl-C"),
    ),
    packages=PACKAGING,
    module="modelservice_cli.deploy.command",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a model's folder, an ONNX file, a layout, or REGISTRY/REPOSITORY:TAG of what was pushed",
    )
    parser.add_argument(
        "--registry",
        metavar="REGISTRY",
        help="where a folder is pushed to: REGISTRY or REGISTRY/PATH; the repository below it is called NAME",
    )
    parser.add_argument("--tag", help="in the registry; default: the beginning of the digest")
    add_service_arguments(parser)
    group = parser.add_argument_group("rollout")
    group.add_argument(
        "--output-yaml",
        type=Path,
        metavar="FILE",
        help="push, and write the ModelService into FILE, or update the one there; apply nothing",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print the ModelService; push and apply nothing"
    )
    group.add_argument("--no-wait", action="store_true", help="do not follow the rollout")
    group.add_argument(
        "--timeout",
        type=parse_duration_seconds,
        metavar="DURATION",
        help="how long to follow it, such as 90s or 10m; default: until it ends",
    )
    group.add_argument(
        "--force-conflicts", action="store_true", help="take over fields that another tool applied"
    )
    group.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="of the rollout; default: text"
    )
    add_cluster_arguments(parser)
    add_folder_arguments(parser)
    add_access_arguments(parser)
    add_chunk_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Deploy it; returns the exit code. Raises CommandError or PipelineError."""
    from modelservice_cli.deploy.prepare import check_model, prepare, print_yaml, write_yaml

    if arguments.dry_run:
        return print_yaml(arguments)
    if arguments.output_yaml is not None:
        return write_yaml(arguments)
    check_model(arguments)
    check_cluster_packages()
    # Imported here: the package `kubernetes` takes a second.
    from modelservice_cli.deploy.apply import apply_and_follow, find_cluster

    place = find_cluster(arguments)
    return apply_and_follow(arguments, place, prepare(arguments, place.namespace))
