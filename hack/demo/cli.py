"""The command line: `python -m hack.demo up|down|train`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.demo import down, local, training
from hack.demo.errors import DemoError
from hack.demo.kubectl import Kubectl
from hack.demo.steps import Steps
from hack.demo.targets import ContextTarget, Target
from hack.demo.up import Demo

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after printing the reason of a failure."""
    options = make_parser().parse_args(arguments)
    try:
        options.run(options, Steps())
    except (DemoError, ClusterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets `run` to its function."""
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="from nothing to a prediction")
    up.add_argument("--context", help="use this kubeconfig context instead of a cluster of the demo's own")
    up.add_argument("--registry", help="with --context: a registry that nodes and pods reach")
    up.add_argument(
        "--push-registry", help="with --context: the registry's name on this machine (default: the same)"
    )
    up.set_defaults(run=_run_up)
    remove = commands.add_parser("down", help="remove the demo and the cluster that it started")
    remove.add_argument("--context", help="remove the demo from this context; the cluster itself stays")
    remove.set_defaults(run=_run_down)
    train = commands.add_parser("train", help="only train the example's model, where its inputs changed")
    train.set_defaults(run=_run_train)
    return parser


def _run_up(options: argparse.Namespace, steps: Steps) -> None:
    if options.context is None and (options.registry or options.push_registry):
        raise DemoError("--registry needs --context: the demo's own cluster has a registry of its own")
    if options.context is not None and options.registry is None:
        raise DemoError("--context needs --registry (REGISTRY=host:port): nodes and pods pull from it")
    trained = _train(steps)
    target: Target
    if options.context is None:
        target = local.start(steps)
    else:
        target = ContextTarget(options.context, options.registry, options.push_registry or options.registry)
    Demo(ROOT, steps, target).run(trained)


def _run_down(options: argparse.Namespace, steps: Steps) -> None:
    if options.context is None:
        local.stop(steps)
    else:
        down.remove(ROOT, Kubectl(context=options.context), steps)


def _run_train(_options: argparse.Namespace, steps: Steps) -> None:
    trained = _train(steps)
    steps.say(f"{trained.model.relative_to(ROOT)}; the evaluation is in report.md beside it")


def _train(steps: Steps) -> training.Trained:
    if training.is_current(ROOT):
        steps.say("the spam classifier is trained")
        trained = training.train(ROOT)
    else:
        with steps.step("training the spam classifier (about 20 s)"):
            trained = training.train(ROOT)
    steps.say(f"  {trained.describe()}")
    return trained
