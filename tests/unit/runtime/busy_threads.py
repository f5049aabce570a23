"""Keeps the threads for what takes long busy, so that a test sees what is left to them.

What the event loop does itself is done all the same.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.execution import offload


class Busy:
    """Keeps every offload thread busy until `gate` is set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self._entered = threading.Semaphore(0)
        for _ in range(offload._THREADS):
            offload._executor.submit(self._hold)
        for _ in range(offload._THREADS):
            assert self._entered.acquire(timeout=120)

    def _hold(self) -> None:
        self._entered.release()
        self.gate.wait(120)

    def wait_for_work(self) -> None:
        """Until something waits for a thread."""
        deadline = time.monotonic() + 120
        while not offload._executor._work_queue.qsize():
            assert time.monotonic() < deadline, "nothing was left to a thread"
            time.sleep(0.005)


def answer_while_busy(busy: Busy, server: ServerThread, ask: Callable[[], Any]) -> Any:
    """The answer to a request that had to wait while others were answered."""
    with ThreadPoolExecutor(1) as pool:
        asked: Future[Any] = pool.submit(ask)
        busy.wait_for_work()
        assert server.request("GET", "/v2/health/ready").status == 200
        assert not asked.done()
        busy.gate.set()
        return asked.result(timeout=120)
