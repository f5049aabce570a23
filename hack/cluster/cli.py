"""The command line: `python -m hack.cluster COMMAND`."""

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from hack.cluster import testing
from hack.cluster.binaries import find_family
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.families import FAMILIES
from hack.cluster.images import ImageBuild, build_and_push, load_archive
from hack.cluster.node import REGISTRY
from hack.cluster.paths import REPOSITORY
from hack.cluster.registry import push_model

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Command: TypeAlias = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after printing the reason of a failure."""
    options = make_parser().parse_args(arguments)
    # Ended by SIGTERM, commands still clean up as they do after an interrupt.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return int(options.run(options))
    except (ClusterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets `run` to its function."""
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = _add_command(commands, "up", _run_up, "start the cluster, or what is missing of it")
    up.add_argument(
        "--no-node", action="store_true", help="the control plane alone: no kubelet, no containers"
    )
    up.add_argument(
        "--kwok-nodes", type=int, metavar="N", help="run kwok and make N fake nodes (0: only run kwok)"
    )
    _add_command(commands, "down", _run_down, "remove the cluster and everything it left")
    _add_command(commands, "status", _run_status, "show each component; exit 1 unless all run")
    _add_command(commands, "env", _run_env, "print `export KUBECONFIG=...` for the shell")

    build = _add_command(commands, "build-image", _run_build, "build an image and push it to the registry")
    build.add_argument("image", metavar="REPOSITORY:TAG", help="the image's name in the registry")
    build.add_argument("--file", type=Path, required=True, help="the Dockerfile")
    build.add_argument("--context", type=Path, default=REPOSITORY, help="default: the repository's root")
    build.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--base-image", default="", help="a real base image instead of the stand-in")

    load = _add_command(commands, "load-image", _run_load, "push an image file to the registry")
    load.add_argument("archive", type=Path, help="made by `docker save`, `podman save` or as an OCI archive")
    load.add_argument("image", metavar="REPOSITORY:TAG", help="the image's name in the registry")

    push = _add_command(
        commands, "push-model", _run_push, "push a model as an OCI artifact; print it as JSON"
    )
    push.add_argument("model", type=Path, help="the file")
    push.add_argument("reference", help=f"oci://{REGISTRY}/REPOSITORY:TAG")

    prepare = commands.add_parser("prepare", help="build and install all that tests need, so that none waits")
    prepare.set_defaults(run=_run_prepare)

    tool = commands.add_parser("tool", help="build the programs of a family on demand and print their paths")
    tool.add_argument("family", choices=sorted(FAMILIES))
    tool.set_defaults(run=_run_tool)
    return parser


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--name", default="demo", help="the cluster's name (default: %(default)s)")
    parser.set_defaults(run=run)
    return parser


def _run_up(options: argparse.Namespace) -> int:
    cluster = Cluster(options.name, node=not options.no_node, kwok_nodes=options.kwok_nodes)
    cluster.up()
    print(f"cluster {options.name} is up: export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    return 0


def _run_down(options: argparse.Namespace) -> int:
    Cluster(options.name).down()
    return 0


def _run_status(options: argparse.Namespace) -> int:
    components = Cluster(options.name).status()
    for component in components:
        print(f"{component.name:20} {component.pid or '-':>8}  {component.health}")
    if not components:
        print(f"cluster {options.name} does not exist")
    return 0 if components and all(c.health in {"running", "ready"} for c in components) else 1


def _run_env(options: argparse.Namespace) -> int:
    cluster = Cluster(options.name)
    if not cluster.kubeconfig.exists():
        raise ClusterError(f"cluster {options.name!r} does not run: start it with `up --name {options.name}`")
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    return 0


def _run_build(options: argparse.Namespace) -> int:
    for argument in options.build_arg:
        if "=" not in argument:
            raise ClusterError(f"--build-arg {argument!r}: expected NAME=VALUE")
    build = ImageBuild(
        name=options.image,
        dockerfile=options.file.absolute(),
        context=options.context.absolute(),
        arguments=dict(argument.split("=", 1) for argument in options.build_arg),
        base_image=options.base_image,
    )
    print(build_and_push(Cluster(options.name), build))
    return 0


def _run_load(options: argparse.Namespace) -> int:
    print(load_archive(Cluster(options.name), options.archive, options.image))
    return 0


def _run_push(options: argparse.Namespace) -> int:
    pushed = push_model(Cluster(options.name).registry, options.model, options.reference)
    print(json.dumps(dataclasses.asdict(pushed)))
    return 0


def _run_prepare(_: argparse.Namespace) -> int:
    testing.prepare_control_plane()
    testing.prepare_servers()
    testing.prepare_tools()
    if os.geteuid() == 0:
        testing.prepare_node()
    return 0


def _run_tool(options: argparse.Namespace) -> int:
    for path in find_family(FAMILIES[options.family]).values():
        print(path)
    return 0
