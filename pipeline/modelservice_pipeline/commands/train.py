"""`modelservice model train`."""

import argparse
import sys
from pathlib import Path

from modelservice_pipeline.errors import PipelineError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("script", type=Path, metavar="SCRIPT", help="a Python script for torchrun")
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="ARG",
        help="all that follows is the script's, as with torchrun",
    )
    parser.add_argument(
        "--image", required=True, help="an image with Python, torch and what the script imports"
    )
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="machines (default: %(default)s)")
    parser.add_argument(
        "--processes-per-node",
        type=int,
        default=1,
        metavar="N",
        help="workers of each (default: %(default)s)",
    )
    parser.add_argument("--name", help="of the run (default: the script's)")
    parser.add_argument("-n", "--namespace", help="where it runs (default: the kubeconfig's)")
    parser.add_argument(
        "--claim",
        metavar="CLAIM",
        help="a PersistentVolumeClaim for checkpoints; $CHECKPOINTS says where it is",
    )
    parser.add_argument("--cpu", help="CPUs of each node, such as 4")
    parser.add_argument("--memory", help="memory of each node, such as 8Gi")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs of each node (nvidia.com/gpu)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable")
    parser.add_argument(
        "--pull-secret",
        action="append",
        default=[],
        metavar="SECRET",
        help="registry credentials of the image",
    )
    parser.add_argument(
        "--restarts", type=int, default=3, metavar="N", help="of a node that failed (default: %(default)s)"
    )
    parser.add_argument(
        "--as",
        choices=("auto", "job", "trainjob"),
        default="auto",
        dest="form",
        help="an Indexed Job, or a TrainJob of Kubeflow (default: that where the cluster serves it)",
    )
    parser.add_argument(
        "--user",
        type=int,
        default=65532,
        metavar="UID",
        help="who it runs as; 0: whom the image names (default: %(default)s)",
    )
    parser.add_argument("--apply", action="store_true", help="start it, by kubectl (default: print the YAML)")


def run(arguments: argparse.Namespace) -> int:
    """Print the objects, or apply them."""
    import yaml

    from modelservice_pipeline.jobs.cluster import apply
    from modelservice_pipeline.jobs.render import render_job, render_train_job
    from modelservice_pipeline.jobs.spec import TrainSpec, read_script

    spec = TrainSpec(
        name=arguments.name or arguments.script.stem.lower().replace("_", "-"),
        image=arguments.image,
        script=read_script(arguments.script),
        arguments=tuple(arguments.arguments),
        nodes=arguments.nodes,
        processes_per_node=arguments.processes_per_node,
        namespace=arguments.namespace,
        claim=arguments.claim,
        requests=_requests(arguments),
        environment=dict(_split(text) for text in arguments.env),
        pull_secrets=tuple(arguments.pull_secret),
        restarts=arguments.restarts,
        user=arguments.user,
    )
    objects = render_train_job(spec) if _is_train_job(arguments) else render_job(spec)
    manifest = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True)
    if not arguments.apply:
        sys.stdout.write(manifest)
        return 0
    print(apply(manifest))
    return 0


def _is_train_job(arguments: argparse.Namespace) -> bool:
    from modelservice_pipeline.jobs.cluster import serves
    from modelservice_pipeline.jobs.render import TRAIN_JOB_API
    from modelservice_pipeline.report.progress import say

    if arguments.form != "auto":
        return str(arguments.form) == "trainjob"
    if arguments.claim or arguments.pull_secret:
        return False
    is_served = serves(TRAIN_JOB_API)
    say("As a TrainJob of Kubeflow, which the cluster serves." if is_served else "As an Indexed Job.")
    return is_served


def _requests(arguments: argparse.Namespace) -> dict[str, str]:
    wanted = {"cpu": arguments.cpu, "memory": arguments.memory, "nvidia.com/gpu": arguments.gpus}
    return {name: str(amount) for name, amount in wanted.items() if amount}


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise PipelineError(f"--env {text}: is not NAME=VALUE")
    return name, value
