"""The command line: `python -m hack.cluster up|down|status|env|tool`."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hack.cluster.binaries import find_family
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.families import FAMILIES

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Command: TypeAlias = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after printing the reason of a failure."""
    options = make_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ClusterError as error:
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


def _run_tool(options: argparse.Namespace) -> int:
    for path in find_family(FAMILIES[options.family]).values():
        print(path)
    return 0
