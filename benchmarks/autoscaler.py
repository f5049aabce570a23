"""What the built-in autoscaler's decisions cost, and what Little's law makes of a server's load."""

from __future__ import annotations

import json
import socket
import time
import tracemalloc
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.cases import Case, Goal, Settings
from benchmarks.http_requests import binary_infer
from benchmarks.load import Stream, measure
from benchmarks.servers import modelservice
from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Decision, Look
from modelservice_autoscaler.algorithm.load import Load, Sample
from modelservice_autoscaler.algorithm.spec import AutoscalerSpec, Signal
from modelservice_autoscaler.algorithm.state import EMPTY, State

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES, PODS = 1000, 4
_PLAYED = 100
"""Services that are played; the others would be the same."""
_FULL_SECONDS = 30
"""After so many looks every window is full."""
_SPEC = AutoscalerSpec(1, 100, (Signal("Concurrency", 8.0),))
_BOUNDS = tuple(0.001 * 1.6**index for index in range(20))
_CLIENTS = (1, 2, 4, 8, 16, 32)


def decisions(settings: Settings) -> Case:
    """The algorithm alone: 1,000 services of 4 pods, each looked at once a second."""
    del settings
    case = Case(f"decisions of the autoscaler, {SERVICES} services of {PODS} pods, once a second")
    tracemalloc.start()
    states = [EMPTY] * _PLAYED
    for second in range(_FULL_SECONDS):
        states = [one.state for one in _decide_all(states, second)]
    kilobytes = tracemalloc.get_traced_memory()[0] / _PLAYED / 1024
    tracemalloc.stop()
    seconds = 0.0
    looks = 20
    for second in range(_FULL_SECONDS, _FULL_SECONDS + looks):
        decided, spent = _timed(states, second)
        states = [one.state for one in decided]
        seconds += spent
    case.goals.append(Goal("cores", seconds / looks / _PLAYED * SERVICES, 0.5, at_most=True))
    case.goals.append(Goal("kilobytes of memory a service", kilobytes, 200.0, at_most=True))
    return case


def concurrency(settings: Settings) -> Case:
    """A real server under more and more clients: what it says is in flight, and what Little's law says."""
    case = Case("large MLP, 1 row each, requests in flight by /load against rate x latency")
    rows = np.ones((1, 512), np.float32)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with modelservice({"large": settings.models["large"]}, "--metrics-port", str(port)) as target:
        for clients in _CLIENTS:
            began, before = time.monotonic(), _load(port)
            (measured,) = measure(
                target, Stream(binary_infer("large", rows), clients), seconds=settings.seconds
            )
            seconds, after = time.monotonic() - began, _load(port)
            case.rows[f"{clients} clients"] = measured
            in_flight = (after["inFlightSeconds"] - before["inFlightSeconds"]) / seconds
            ratio = in_flight / (measured.per_second * measured.p50_us / 1e6)
            case.goals.append(Goal(f"{clients} clients, {in_flight:.2f} in flight", ratio, 0.5))
    return case


def _decide_all(states: list[State], second: int) -> list[Decision]:
    return _timed(states, second)[0]


def _timed(states: list[State], second: int) -> tuple[list[Decision], float]:
    looks = list(_looks(second))
    began = time.process_time()
    decided = [decide(_SPEC, look, state, second + 0.3) for look, state in zip(looks, states, strict=True)]
    return decided, time.process_time() - began


def _looks(second: int) -> Iterator[Look]:
    for service in range(_PLAYED):
        # Pods answer at different moments, as they do.
        yield Look(
            PODS,
            {
                f"{service}-{pod}": Sample(second + 0.07 * pod, _make_load(second + 0.07 * pod))
                for pod in range(PODS)
            },
        )


def _make_load(now: float) -> Load:
    return Load(
        uptime_seconds=1000 + now,
        running=6,
        waiting=1,
        in_flight_seconds=7.5 * now,
        requests=80.0 * now,
        cpu_seconds=0.5 * now,
        memory_bytes=2e9,
        queue_bounds_seconds=_BOUNDS,
        queue_counts=(int(80 * now), *[int(now)] * len(_BOUNDS)),
    )


def _load(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/load") as answer:
        found: dict[str, Any] = json.load(answer)
    return found
