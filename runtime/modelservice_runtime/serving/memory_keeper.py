"""What a server does about memory: before its models load, when they are ready, and while it serves.

Only on the CPU: accelerators map more memory than there is, and what they take is limited by other means.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from modelservice_runtime.execution.offload import offload, start_threads
from modelservice_runtime.machine.memory.allocator import give_back_freed_memory
from modelservice_runtime.machine.memory.cgroup import process_status
from modelservice_runtime.machine.memory.shares import (
    MIB,
    buffer_limit_bytes,
    find_memory_share,
    limit_growth,
    tensor_limit_bytes,
    unlimit_growth,
)
from modelservice_runtime.machine.memory.spare import give_back_where_short
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.serving.ports import Ports
from modelservice_runtime.settings.serve import ServeSettings

_CHECK_SECONDS = 5.0
# A server that is never idle gives memory back all the same: one run in this time gets new pages.
_MAX_KEPT_SECONDS = 30.0
_MIN_FREED_BYTES = 16 * MIB


class MemoryKeeper:
    """See the module's text. Event loop's thread, but for `open_arena`."""

    def __init__(self, settings: ServeSettings) -> None:
        self._is_on = all(name.upper() == "CPU" for name in settings.execution_providers)
        self._workers = settings.workers
        self._table: ModelTable | None = None
        self._ports: Ports | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._executions = 0
        self._freed_at = 0.0
        self._kept_bytes = 0

    def open_arena(self, models: Iterable[Path], reserved_bytes: int = 0) -> None:
        """Bound the memory of all tensors, before the first of `models` is loaded.

        `reserved_bytes` are promised to something else: keys and values of texts.
        """
        if self._is_on:
            # Imported here: it takes longer than everything else, and the ports are open by now.
            from modelservice_runtime.onnx.arena import open_arena

            weights_bytes = sum(_size_bytes(path) for path in models)
            share = find_memory_share(self._workers)
            used_bytes = share.used_bytes(process_status()) + reserved_bytes
            open_arena(tensor_limit_bytes(share, used_bytes, weights_bytes))

    def keep(self, table: ModelTable, ports: Ports, loop: asyncio.AbstractEventLoop) -> None:
        """When all models are loaded: start every thread, then limit memory, and give it back from now on."""
        if not self._is_on:
            return
        from modelservice_runtime.onnx.arena import enter_thread

        for handle in table.handles():
            handle.lane.start_threads(enter_thread)
        start_threads()
        _give_back()
        share = find_memory_share(self._workers)
        ports.limit_buffers(buffer_limit_bytes(share, share.used_bytes(process_status())))
        limit_growth(share)
        give_back_where_short(_give_back)
        self._table, self._ports = table, ports
        self._note_freed(loop)
        self._timer = loop.call_later(_CHECK_SECONDS, self._check, loop)

    def stop(self) -> None:
        """When nothing runs any more: the end of the process, which starts threads, takes what it needs."""
        if self._timer is not None:
            self._timer.cancel()
            unlimit_growth()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_CHECK_SECONDS, self._check, loop)
        executions = self._count_work()
        is_idle, self._executions = executions == self._executions, executions
        if not is_idle and loop.time() < self._freed_at + _MAX_KEPT_SECONDS:
            return
        if process_status()["RssAnon"] > self._kept_bytes + _MIN_FREED_BYTES:
            offload(_give_back, lambda _: self._note_freed(loop))

    def _count_work(self) -> int:
        """A number that grows while models run."""
        if self._table is None:
            return 0
        runs = sum(handle.statistics.execution_count for handle in self._table.handles())
        return runs + sum(model.lane.statistics.generation_tokens for model in self._table.generative())

    def _note_freed(self, loop: asyncio.AbstractEventLoop) -> None:
        """What is left is the server's own only where no request has any of it."""
        self._freed_at = loop.time()
        if self._ports is not None and not self._ports.holds_requests:
            self._kept_bytes = process_status()["RssAnon"]


def _give_back() -> None:
    from modelservice_runtime.onnx.arena import shrink_arena

    shrink_arena()
    give_back_freed_memory()


def _size_bytes(path: Path) -> int:
    """Of a model's file, or of all files in its directory; 0 where loading will tell what is wrong."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0
