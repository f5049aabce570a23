"""When this server started and became ready, by the performance counter, and what took so long."""

import time
from dataclasses import dataclass, field

from modelservice_runtime.machine.process import process_age_seconds


def _process_start_ns() -> int:
    return time.perf_counter_ns() - int(process_age_seconds() * 1e9)


@dataclass(slots=True)
class Life:
    """`ready_ns` is None until every model can answer, of every worker."""

    started_ns: int = field(default_factory=_process_start_ns)
    ready_ns: int | None = None
    warm_seconds: float = 0.0
    """How long the models were run before the first request, one after the other."""

    def become_ready(self) -> None:
        """Every model can answer, from now on."""
        self.ready_ns = time.perf_counter_ns()

    @property
    def start_seconds(self) -> float | None:
        """From the start of the process until it was ready; None before."""
        return None if self.ready_ns is None else (self.ready_ns - self.started_ns) / 1e9

    @property
    def load_seconds(self) -> float | None:
        """What the start took but for the warm-up: imports, trials, reading files; None before it is over."""
        return None if self.start_seconds is None else max(self.start_seconds - self.warm_seconds, 0.0)

    def log_fields(self) -> dict[str, float]:
        """For the line that says that the server is ready."""
        return {
            "start_seconds": round(self.start_seconds or 0.0, 3),
            "warm_seconds": round(self.warm_seconds, 3),
        }
