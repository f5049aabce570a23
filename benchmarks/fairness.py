"""How long an edit of one tenant waits while another tenant has thousands of objects to reconcile.

    python -m benchmarks.fairness [--objects 5000] [--edits 200] [--call-milliseconds 20]

The operator's work queue and its workers, with a reconciliation that takes as long as two calls of an API
server that is always equally fast: so what is measured is the queue alone. An edit's latency is the time from
the event to the end of its reconciliation. The crowd's objects all come at once, and again as soon as they
are done: by events, by edits, by failures, and with calls that take ten times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass, field

from modelservice_operator.cache.workqueue import Key, Priority, WorkQueue
from modelservice_operator.settings import Settings

PAUSE_SECONDS = 0.05
"""Between two edits: an edit waits for the crowd, not for the edit before."""


@dataclass
class Crowd:
    """A tenant with many objects."""

    name: str
    objects: int = 0
    priority: Priority = Priority.NORMAL
    fails: bool = False
    slowness: float = 1.0


@dataclass
class Run:
    """One run; `latencies` are those of the edits, in seconds."""

    crowd: Crowd
    call_seconds: float
    workers: int
    queue: WorkQueue = field(init=False)
    latencies: list[float] = field(default_factory=list)
    started: dict[Key, float] = field(default_factory=dict)
    done: int = 0
    at_rest: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where no edit waits."""

    def __post_init__(self) -> None:
        self.queue = WorkQueue(most_per_namespace=self.workers)

    async def work(self) -> None:
        """One worker."""
        while True:
            key = await self.queue.get()
            is_crowd = key.namespace == "crowd"
            await asyncio.sleep(self.call_seconds * (self.crowd.slowness if is_crowd else 1))
            if is_crowd:
                self._settle_crowd(key)
            else:
                self.latencies.append(time.perf_counter() - self.started.pop(key))
                self.queue.forget(key)
                if not self.started:
                    self.at_rest.set()
            self.queue.done(key)

    def _settle_crowd(self, key: Key) -> None:
        self.done += 1
        if self.crowd.fails:
            self.queue.retry(key)
        else:
            self.queue.add(key, self.crowd.priority)

    async def measure(self, edits: int) -> None:
        """Let the crowd come, then edit."""
        tasks = [asyncio.create_task(self.work()) for _ in range(self.workers + 1)]
        for number in range(self.crowd.objects):
            self.queue.add(Key("crowd", str(number)), self.crowd.priority)
        for number in range(edits):
            await asyncio.sleep(PAUSE_SECONDS)
            key = Key("tenant", str(number))
            self.started[key] = time.perf_counter()
            self.at_rest.clear()
            self.queue.add(key, Priority.URGENT)
        await self.at_rest.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Measure alone and beside each kind of crowd, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--call-milliseconds", type=float, default=20.0)
    args = parser.parse_args()
    crowds = [
        Crowd("nobody else"),
        Crowd("events", args.objects),
        Crowd("edits", args.objects, Priority.URGENT),
        Crowd("failures", args.objects, fails=True),
        Crowd("edits, ten times as slow", args.objects, Priority.URGENT, slowness=10),
    ]
    print(f"{'beside':26} {'median ms':>10} {'p99 ms':>8} {'ratio':>6} {'ratio p99':>10} {'others done':>12}")
    alone: tuple[float, float] | None = None
    for crowd in crowds:
        run = Run(crowd, args.call_milliseconds / 1000, Settings.workers)
        asyncio.run(run.measure(args.edits))
        median, p99 = statistics.median(run.latencies), statistics.quantiles(run.latencies, n=100)[98]
        alone = alone or (median, p99)
        ratios = f"{median / alone[0]:6.2f} {p99 / alone[1]:10.2f}"
        print(f"{crowd.name:26} {median * 1000:10.1f} {p99 * 1000:8.1f} {ratios} {run.done:12}")


if __name__ == "__main__":
    main()
