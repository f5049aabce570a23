"""What the status says while models change, looked at twice a second."""

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LOOK_SECONDS = 0.5


class Recorder:
    """Keeps weights and verdicts of the candidate; the status alone forgets them with the next one."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        """`read` returns the ModelService as it is now."""
        self._read = read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._started_at = time.time()
        self._weights: list[dict[str, Any]] = []
        self._verdicts: dict[tuple[str, ...], dict[str, Any]] = {}
        self._candidates: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | TracebackType | BaseException | None) -> None:
        self._stop.set()
        self._thread.join()

    def begin(self, version: str, what: str) -> None:
        """Another candidate is asked for."""
        self._candidates.append({"version": version, "what": what, "from": self._seconds()})

    def end(self, phase: str) -> None:
        """The newest candidate was promoted or stopped."""
        self._candidates[-1] |= {"phase": phase, "to": self._seconds()}

    def write(self, path: Path) -> None:
        """Write everything as JSON; times are seconds since the beginning."""
        record = {
            "candidates": self._candidates,
            "weights": self._weights,
            "verdicts": list(self._verdicts.values()),
        }
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look(self._read())

    def _look(self, service: dict[str, Any]) -> None:
        status = service.get("status") or {}
        rollout, target = status.get("rollout") or {}, status.get("targetRevision")
        if not self._candidates or target != rollout.get("revision"):
            return
        if status["observedGeneration"] != service["metadata"]["generation"]:
            return
        shares = {one["revision"]: one for one in status.get("traffic", ())}
        share = shares.get(target, {"desired": 0, "actual": 0})
        version = service["spec"]["model"]["version"]
        self._weights.append(
            {
                "at": self._seconds(),
                "version": version,
                "desired": share["desired"],
                "actual": share["actual"],
            }
        )
        for verdict in rollout.get("verdicts") or ():
            key = (version, verdict["gate"], verdict.get("metric", ""), verdict["time"])
            at = datetime.fromisoformat(verdict["time"]).timestamp() - self._started_at
            self._verdicts[key] = {**verdict, "version": version, "at": round(at, 1)}

    def _seconds(self) -> float:
        return round(time.time() - self._started_at, 1)
