"""What the status says while clients come and go, looked at four times a second."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clients import Clients

LOOK_SECONDS = 0.25
_SAYS_NOTHING = "nothing is known yet"


class Recorder:
    """Keeps how many clients and pods there are, and every decision."""

    def __init__(self, read: Callable[[], dict[str, Any]], clients: Clients) -> None:
        """`read` returns the ModelService as it is now."""
        self._read, self._clients = read, clients
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._started_at = time.time()
        self._points: list[dict[str, Any]] = []
        self.decisions: list[tuple[float, str]] = []
        self.cold_start: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | TracebackType | BaseException | None) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def most_ready(self) -> int:
        """The most pods that were ready at a time."""
        return max(point["ready"] for point in self._points)

    def wait_until_asleep(self, seconds: float) -> bool:
        """Whether no pod was left before the time was over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._points and self._points[-1]["wanted"] == self._points[-1]["pods"] == 0:
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def write(self, path: Path) -> None:
        """Write everything as JSON; times are seconds since the beginning."""
        answers = [(round(at - self._started_at, 3), took) for at, took in self._clients.answered]
        record = {"points": self._points, "decisions": self.decisions, "answers": answers}
        path.write_text(json.dumps(record) + "\n", encoding="utf-8")

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look(self._read())

    def _look(self, service: dict[str, Any]) -> None:
        at, status = round(time.time() - self._started_at, 2), service.get("status") or {}
        self._points.append(
            {
                "at": at,
                "clients": self._clients.count,
                "wanted": service["spec"].get("replicas", 1),
                "pods": status.get("replicas", 0),
                "ready": status.get("readyReplicas", 0),
            }
        )
        message = (status.get("autoscaler") or {}).get("message")
        last = self.decisions[-1][1] if self.decisions else None
        if message and message not in (_SAYS_NOTHING, last):
            self.decisions.append((at, message))
        self.cold_start = (status.get("autoscaling") or {}).get("coldStart") or self.cold_start
