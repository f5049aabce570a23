"""How the operator does with thousands of ModelServices on fake nodes; `make bench-operator`.

    python -m benchmarks.scale [--services 1000 5000] [--seconds 30] [--replicas 1] [--fill-minutes 120]
        [--scenarios rest cold failover edits still wave tenants] [--docs docs] [--kubeconfig PATH]

It starts a control plane with fake nodes, unless it is given one that has our CRDs and no operator, and the
operator of this checkout as processes. With each number of services: rest, a cold start, the death of the
leader, edits at fixed rates, edits while Kubernetes' own controllers stand still, a newer image of the
runtime that goes through 500 of them in waves, and edits of a small tenant while all of them are due.
Latency is measured from outside: from sending the user's edit until a watch delivers what came of it. Calls,
memory and CPU are the operator's own account. What each scenario found is written as soon as it ends; where
time to make services runs out, those that are ready are measured. On a cluster of one's own the
services stay.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from hack.cluster.api import condition_status
from hack.cluster.cluster import Cluster
from hack.cluster.processes import current_identity

from benchmarks.scale.options import ROOT, SCENARIOS, STRATEGIES, Options
from benchmarks.scale.phases import bench
from benchmarks.scale.plane import ControlPlane
from benchmarks.scale.pods import answering, route_to_pods
from benchmarks.scale.progress import tell
from benchmarks.scale.report import write_docs
from modelservice_operator.facts.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.scale.results import Result

PODS_PER_NODE = 250
"""Half of what a fake node takes: rollouts and edits need room."""


@contextlib.contextmanager
def running_cluster(services: int) -> Iterator[tuple[Path, ControlPlane]]:
    """A control plane with our CRDs and enough fake nodes, and its kubeconfig."""
    nodes = 2 + services // PODS_PER_NODE
    tell(f"starting a control plane with {nodes} fake nodes")
    name, owner = "bench-operator", current_identity()
    with Cluster(name, node=False, kwok_nodes=nodes, namespace=False, owner=owner) as cluster:
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            crd = cluster.api.apply(yaml.safe_load(file.read_text(encoding="utf-8")))
            cluster.api.wait_for(
                cluster.api.path_of(crd),
                lambda found: condition_status(found, "Established") == "True",
                what="established",
            )
        pids = {one.name: one.pid for one in cluster.status() if one.pid is not None}
        yield cluster.kubeconfig, ControlPlane(pids)


def keep(results: list[Result], docs: Path | None, result: Result) -> None:
    """Write what there is: who ends this has it all the same."""
    if result not in results:
        results.append(result)
    if docs is not None:
        write_docs(docs, results)


async def bench_all(kubeconfig: Path, plane: ControlPlane | None, args: argparse.Namespace) -> None:
    """Measure with one number of services after the other."""
    results: list[Result] = []
    async with answering():
        for services in sorted(args.services):
            options = Options(
                kubeconfig=str(kubeconfig),
                plane=plane,
                services=services,
                seconds=args.seconds,
                rates=tuple(args.rates),
                strategy=args.strategy,
                replicas=args.replicas,
                namespace=args.namespace,
                scenarios=tuple(args.scenarios),
                fill_minutes=args.fill_minutes,
            )
            try:
                await bench(options, partial(keep, results, args.docs))
            except (TimeoutError, ApiError, ExceptionGroup) as error:
                tell(f"{services:,} services could not be made: {error}")
    print(json.dumps([asdict(one) for one in results]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", type=Path, help="a cluster with our CRDs; left out: one is started")
    parser.add_argument("--services", type=int, nargs="+", default=[1_000, 5_000])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each rate is kept up")
    parser.add_argument("--rates", type=float, nargs="+", default=[2.0, 20.0], help="edits a second")
    parser.add_argument("--strategy", choices=STRATEGIES, default="RollingUpdate")
    parser.add_argument("--replicas", type=int, default=Options.replicas, help="pods of a service")
    parser.add_argument("--namespace", default=Options.namespace, help="services that are there are used")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS, metavar="NAME")
    parser.add_argument(
        "--fill-minutes", type=float, default=Options.fill_minutes, help="then no further service is made"
    )
    parser.add_argument("--docs", type=Path, help="where to write the table and the chart")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(route_to_pods()):
            tell("without root fake pods do not say what they serve: changes of models wait for that")
        kubeconfig, plane = args.kubeconfig, None
        if kubeconfig is None:
            kubeconfig, plane = stack.enter_context(running_cluster(max(args.services)))
        asyncio.run(bench_all(kubeconfig, plane, args))


if __name__ == "__main__":
    main()
