"""`GET /load` on the metrics port: how busy this server is, for whoever decides how many there should be.

Light on purpose, for it is asked every second or two: no Prometheus, no strings of labels, and of several
workers a line of numbers each.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from modelservice_runtime.execution.statistics import QUEUE_BUCKETS_SECONDS
from modelservice_runtime.machine.gpu_devices import GpuDevice, Gpus
from modelservice_runtime.machine.usage import Usage
from modelservice_runtime.models.load import Load, LoadSource, model_load, sum_loads
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.serving.life import Life
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

PATH = b"/load"


def build_load(
    load: Load, life: Life, now_ns: int, memory_bytes: int, gpus: list[GpuDevice]
) -> dict[str, Any]:
    """The answer as JSON values.

    A server that has answered nothing yet counts as idle from when it was ready on: one that was woken for a
    request waits for it.
    """
    idle_since_ns = max(load.last_end_ns, life.ready_ns or now_ns)
    is_busy = load.running + load.waiting > 0
    texts = {
        "tokensInFlight": load.text_tokens,
        "kvCacheUsage": load.kv_used_tokens / load.kv_tokens if load.kv_tokens else 0.0,
        "maxSequences": load.max_sequences,
    }
    return {
        "uptimeSeconds": (now_ns - life.started_ns) / 1e9,
        "running": load.running,
        "waiting": load.waiting,
        "inFlightSeconds": load.in_flight_ns / 1e9,
        "requests": load.requests,
        "idleSeconds": 0.0 if is_busy else max(now_ns - idle_since_ns, 0) / 1e9,
        "queueSeconds": {"bounds": QUEUE_BUCKETS_SECONDS, "counts": load.queue_counts},
        "cpuSeconds": load.cpu_seconds,
        "memoryBytes": memory_bytes,
        "gpus": [
            {
                "utilization": gpu.utilization,
                "memoryUsedBytes": gpu.memory_used_bytes,
                "memoryTotalBytes": gpu.memory_total_bytes,
            }
            for gpu in gpus
        ],
        **({"generation": texts} if load.max_sequences else {}),
    }


class ProcessLoad:
    """The load of this process; see `LoadSource`."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._usage = Usage()

    def gather(self, done: Callable[[Load], None]) -> None:
        """See `LoadSource.gather`."""
        done(
            replace(
                model_load(self._table.handles(), time.perf_counter_ns(), self._table.generative()),
                cpu_seconds=self._usage.cpu_seconds(),
                resident_bytes=0 if self._usage.knows_container else self._usage.resident_bytes(),
            )
        )


class GroupLoad:
    """The load of workers, and of their parent; see `LoadSource`."""

    def __init__(self, workers: LoadSource) -> None:
        self._workers = workers
        self._parent = ProcessLoad(ModelTable())

    def gather(self, done: Callable[[Load], None]) -> None:
        """See `LoadSource.gather`."""
        self._workers.gather(lambda load: self._parent.gather(lambda own: done(sum_loads([load, own]))))


class LoadPage:
    """Answers `GET /load`."""

    def __init__(self, source: LoadSource, life: Life) -> None:
        self._source = source
        self._life = life
        self._usage = Usage()
        self._gpus = Gpus()

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        self._source.gather(partial(self._add_gpus, request))

    def _add_gpus(self, request: HttpRequest, load: Load) -> None:
        """The driver takes its time, so a thread asks it, and none that large requests keep busy."""
        if self._gpus.are_missing:
            self._answer(request, load, [])
            return
        reading = asyncio.get_running_loop().run_in_executor(None, self._gpus.read)
        reading.add_done_callback(lambda done: self._answer(request, load, done.result()))

    def _answer(self, request: HttpRequest, load: Load, gpus: list[GpuDevice]) -> None:
        memory_bytes = self._usage.container_bytes() or load.resident_bytes
        answer = build_load(load, self._life, time.perf_counter_ns(), memory_bytes, gpus)
        request.reply(HttpResponse(200, orjson.dumps(answer)))
