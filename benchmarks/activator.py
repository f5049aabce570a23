"""What the activator costs: a request's way through it, the memory of one that waits, and the way out."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from benchmarks.cases import TINY, Case, Goal, Settings
from benchmarks.http_requests import json_infer
from benchmarks.load import Stream, Target, measure, measure_call
from benchmarks.measuring import running_server
from benchmarks.servers import server_cpu
from modelservice_activator.channels.departures import Departures
from modelservice_activator.holding.holder import Holder
from modelservice_activator.listening.clients import Clients
from modelservice_activator.listening.doors import Doors
from modelservice_activator.relaying.visit import Means
from modelservice_activator.settings import ConnectionLimits, HoldLimits
from modelservice_activator.waking.waker import Waker
from modelservice_activator.watching.services import Services
from modelservice_operator.facts.endpoints import Endpoint, Slice
from modelservice_runtime.protos import inference_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelservice_activator.watching.services import Key

_KEY = ("bench", "tiny")
_HELD, _RELEASED, _BODY_BYTES = 1000, 200, 1024
_SERVICES, _FIRST_PORT = 1000, 22_000
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Activator:
    """One in a process of its own, whose service has pods when the benchmark says so."""

    process: Any
    ports: dict[str, int]

    def say(self, word: str) -> str:
        """Tell it something, and return what it says."""
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return str(self.process.stdout.readline()).strip()

    def wait_held(self, number: int) -> None:
        while int(self.say("held")) != number:
            time.sleep(0.05)

    def resident_bytes(self) -> int:
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:  # noqa: PTH123  procfs
            return int(file.read().split()[1]) * 4096


def activator(settings: Settings) -> Case:
    """HTTP/1.1 and gRPC through the activator beside the same without it, then requests that wait."""
    case = Case("tiny MLP through the activator, one after the other, and 1,000 requests that wait")
    models = {"tiny": settings.models["tiny"]}
    with running_server(models) as pod, _activator(pod.http_port, pod.grpc_port) as through:
        _add_services(case, through)
        through.say("pods")
        rest = Stream(json_infer("tiny", TINY), 1)
        for name, port, pid in (
            ("REST, direct", pod.http_port, pod.pid),
            ("REST, through", through.ports["http"], through.process.pid),
        ):
            case.rows[name] = measure(Target(port, pid), rest, seconds=settings.seconds)[0]
        for name, port in (("gRPC, direct", pod.grpc_port), ("gRPC, through", through.ports["grpc"])):
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                infer = partial(channel.unary_unary(_INFER), _message())
                case.rows[name] = measure_call(infer, settings.seconds)
        for protocol in ("REST", "gRPC"):
            added = case.rows[f"{protocol}, through"].p50_us - case.rows[f"{protocol}, direct"].p50_us
            case.goals.append(Goal(f"added milliseconds, {protocol}", added / 1000, 5.0, at_most=True))
        _add_waiting(case, through)
    return case


def _add_services(case: Case, through: Activator) -> None:
    before, started = through.resident_bytes(), time.perf_counter()
    through.say("many")
    seconds = time.perf_counter() - started
    kilobytes = (through.resident_bytes() - before) / _SERVICES / 1024
    case.goals.append(Goal(f"seconds to open {2 * _SERVICES} ports", seconds, 2.0, at_most=True))
    case.goals.append(Goal("kilobytes of memory a service that may sleep", kilobytes, 32.0, at_most=True))


def _add_waiting(case: Case, through: Activator) -> None:
    through.say("sleep")
    before = through.resident_bytes()
    first, last = asyncio.run(_wait_and_go(through, before, case))
    case.goals.append(Goal("milliseconds from ready to the first answer", first * 1000, 500.0, at_most=True))
    case.goals.append(Goal(f"... to the last of {_RELEASED}", last * 1000, 2000.0, at_most=True))


async def _wait_and_go(through: Activator, before: int, case: Case) -> tuple[float, float]:
    body = b"x" * _BODY_BYTES
    head = b"POST / HTTP/1.1\r\nHost: tiny\r\nContent-Length: %d\r\n\r\n" % len(body)
    waiting = [await asyncio.open_connection("127.0.0.1", through.ports["http"]) for _ in range(_HELD)]
    for _, writer in waiting:
        writer.write(head + body)
    await asyncio.to_thread(through.wait_held, _HELD)
    kilobytes = (through.resident_bytes() - before) / _HELD / 1024
    case.goals.append(Goal("kilobytes of memory a request that waits", kilobytes, 64.0, at_most=True))
    for _, writer in waiting[_RELEASED:]:
        writer.close()
    await asyncio.to_thread(through.wait_held, _RELEASED)
    started = time.perf_counter()
    through.say("pods")

    async def answered(reader: asyncio.StreamReader) -> float:
        await reader.readuntil(b"\r\n\r\n")
        return time.perf_counter() - started

    seconds = await asyncio.gather(*(answered(reader) for reader, _ in waiting[:_RELEASED]))
    for _, writer in waiting[:_RELEASED]:
        writer.close()
    return min(seconds), max(seconds)


def _message() -> bytes:
    request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=[TINY.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=TINY.shape)
    return bytes(request.SerializeToString())


@contextmanager
def _activator(http_port: int, grpc_port: int) -> Iterator[Activator]:
    with server_cpu():  # inherited
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.activator", str(http_port), str(grpc_port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    with process:
        assert process.stdout is not None
        http, rpc = map(int, process.stdout.readline().split())
        try:
            yield Activator(process, {"http": http, "grpc": rpc})
        finally:
            process.terminate()


class _Nobody:
    """An API server that is not there: nothing sleeps here."""


async def _open(doors: Doors, key: Key) -> None:
    while isinstance(doors.ports_of(key), str):  # noqa: ASYNC110  polled, as the operator does
        await asyncio.sleep(0.01)


async def _serve(pods: dict[str, int]) -> None:
    """Everything of an activator but its watches; standard input says what those would."""
    services = Services()
    holder = Holder(services, Waker(_Nobody(), services), HoldLimits())  # type: ignore[arg-type]
    limits = ConnectionLimits()
    means = Means(holder=holder, departures=Departures(), limits=limits, connect_seconds=2.0)
    clients = Clients(services, means)
    doors = Doors(services, clients, "127.0.0.1", limits.stall_seconds)
    ports = {"http": 20_000, "grpc": 20_001}
    ends = (Endpoint(address="127.0.0.1"),)
    services.set_standby(_KEY, "standby", Slice(address_type="IPv4", endpoints=ends, ports=ports))
    await _open(doors, _KEY)
    print(*ports.values(), flush=True)
    for _ in itertools.count():
        word = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if not word:
            return
        if word == "many":
            keys = [("bench", f"service-{number}") for number in range(_SERVICES)]
            for number, key in enumerate(keys):
                numbers = {"http": _FIRST_PORT + 2 * number, "grpc": _FIRST_PORT + 2 * number + 1}
                services.set_standby(
                    key, "standby", Slice(address_type="IPv4", endpoints=ends, ports=numbers)
                )
            for key in keys:
                await _open(doors, key)
        if word in ("pods", "sleep"):
            ready = Slice(address_type="IPv4", endpoints=ends if word == "pods" else (), ports=pods)
            services.set_backed(_KEY, "pods", ready)
        print(holder.room.requests, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve({"http": int(sys.argv[1]), "grpc": int(sys.argv[2])}))
