"""When this server started and became ready, by the performance counter."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Life:
    """`ready_ns` is None until every model can answer, of every worker."""

    started_ns: int = field(default_factory=time.perf_counter_ns)
    ready_ns: int | None = None

    def become_ready(self) -> None:
        """Every model can answer, from now on."""
        self.ready_ns = time.perf_counter_ns()

    @property
    def start_seconds(self) -> float:
        """How long it took to become ready; so far, before."""
        return ((self.ready_ns or time.perf_counter_ns()) - self.started_ns) / 1e9
