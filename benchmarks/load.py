"""A client that asks the same thing again and again, and what it measures.

It writes one prepared request and counts the bytes of the answers, which are all alike, so that it is not the
limit. "Best" is the rate of the best half second, and "CPU" the server's own time for one request: on a
machine that others use too they say more than the mean rate.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import numpy as np
import uvloop

from benchmarks.measuring import best_rate, cpu_seconds

WARM_UP_SECONDS = 0.7


@dataclass(frozen=True)
class Measurement:
    """Rates are requests a second, times microseconds."""

    per_second: float
    best_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float


@dataclass
class Samples:
    """When answers were complete, and how long they took; in seconds."""

    ends: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def clear(self) -> None:
        self.ends.clear()
        self.latencies.clear()

    def measurement(self, seconds: float, cpu: float) -> Measurement:
        p50, p99 = np.percentile(self.latencies, [50, 99]) * 1e6
        count = len(self.latencies)
        rate, best = count / seconds, best_rate(self.ends)
        return Measurement(rate, best, float(p50), float(p99), cpu / count * 1e6)


@dataclass(frozen=True)
class Target:
    """A server's port and process."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@dataclass(frozen=True)
class Stream:
    """One kind of request, over so many connections at once."""

    request: bytes
    connections: int


class Client(asyncio.Protocol):
    """Sends the same request again as soon as its answer is complete."""

    def __init__(self, request: bytes, samples: Samples) -> None:
        self.request = request
        self.samples = samples
        self.answer_bytes = 0
        self.received = 0
        self.head = b""
        self.sent_at = 0.0
        self.running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.answer_bytes:
            self.head += data
            self.answer_bytes = whole_answer_bytes(self.head)
        if self.received == self.answer_bytes:
            self.received = 0
            now = time.perf_counter()
            self.samples.ends.append(now)
            self.samples.latencies.append(now - self.sent_at)
            if self.running:
                self.send()


def whole_answer_bytes(start: bytes) -> int:
    """Size of an answer of which `start` has come; 0 while its head is incomplete."""
    head, separator, _ = start.partition(b"\r\n\r\n")
    if not separator:
        return 0
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server answered {start[:500]!r}")
    length = re.search(rb"content-length: *(\d+)", head.lower())
    assert length is not None, head
    return len(head) + 4 + int(length[1])


def measure(target: Target, *streams: Stream, seconds: float) -> list[Measurement]:
    """Send all streams at once; one measurement for each."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(target, streams, seconds))


async def _measure(target: Target, streams: tuple[Stream, ...], seconds: float) -> list[Measurement]:
    loop = asyncio.get_running_loop()
    all_samples = [Samples() for _ in streams]
    clients = []
    for stream, samples in zip(streams, all_samples, strict=True):
        for _ in range(stream.connections):
            _, client = await loop.create_connection(
                partial(Client, stream.request, samples),
                "127.0.0.1",
                target.port,
            )
            clients.append(client)
    await asyncio.sleep(WARM_UP_SECONDS)
    for samples in all_samples:
        samples.clear()
    cpu_before = target.cpu_seconds()
    await asyncio.sleep(seconds)
    cpu = target.cpu_seconds() - cpu_before
    measured = [samples.measurement(seconds, cpu) for samples in all_samples]
    for client in clients:
        client.running = False
        client.transport.close()
    return measured


def measure_call(call: Callable[[], object], seconds: float) -> Measurement:
    """The same for a function in this process."""
    samples = Samples()
    end = time.perf_counter() + seconds
    cpu_before = time.process_time()
    while (before := time.perf_counter()) < end:
        call()
        after = time.perf_counter()
        samples.ends.append(after)
        samples.latencies.append(after - before)
    return samples.measurement(seconds, time.process_time() - cpu_before)
