"""Loads a server with more and more requests at the same time, until more load brings nothing but latency.

A closed loop: each of N clients sends its next request when it has its answer. The knee is where throughput
divided by latency is greatest (Kleinrock's power): before it, capacity lies idle; behind it, requests only
queue.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.connections import Connections, NoAnswerError, TooSlowError
from modelservice_pipeline.predict.server import Access
from modelservice_pipeline.report.progress import say

_WARM_UP_SHARE = 0.2
_GAIN = 1.05
"""A level that brings less than this over the best so far brings nothing."""
_LEVELS_WITHOUT_GAIN = 3
_MOST_ERRORS = 0.1
_BUSY_CLIENT = 0.85
"""Share of one core that Python's lock lets this client have."""
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Plan:
    """How to load.

    Attributes:
        most_clients: Clients at the last level; levels double from 1 on.
        seconds: How long each level lasts; the first fifth does not count.
    """

    most_clients: int = 64
    seconds: float = 3.0


@dataclass(frozen=True)
class Level:
    """What a number of clients got.

    Attributes:
        clients: How many there were.
        requests_per_second: Answered well.
        p50_ms: Latency of such requests: half of them took no longer; NaN where there were none.
        p95_ms: Nineteen of twenty.
        p99_ms: All but one of a hundred.
        shed: Requests refused for load (429 or 503).
        errors: Requests that failed otherwise.
        client_share: How much of a core this client itself was busy.
    """

    clients: int
    requests_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    shed: int
    errors: int
    client_share: float

    @property
    def power(self) -> float:
        """Throughput divided by latency, in requests per second and millisecond."""
        return self.requests_per_second / self.p50_ms if self.requests_per_second else 0.0


@dataclass
class _Client:
    """One client's counts; each has its own, so that clients never wait for each other."""

    ended: list[tuple[float, float]] = field(default_factory=list)
    shed: int = 0
    errors: int = 0


def find_knee(url: str, bodies: list[bytes], access: Access, plan: Plan) -> list[Level]:
    """Return levels of rising load, up to one that brings no more.

    Args:
        url: Where inference is asked: `.../v2/models/NAME/infer`.
        bodies: Requests, sent in turn.
        access: Keys, TLS and time.
        plan: How many clients, how long.

    Raises:
        PipelineError: Not one request was answered.
    """
    levels: list[Level] = []
    clients = 1
    while clients <= plan.most_clients and not _is_over(levels):
        levels.append(_load(url, bodies, access, clients, plan.seconds))
        last = levels[-1]
        say(f"{clients} clients: {last.requests_per_second:.0f} requests/s, p50 {last.p50_ms:.1f} ms")
        clients *= 2
    if not any(level.requests_per_second for level in levels):
        raise PipelineError(f"{url} answered no request: evaluate or explain through it first, to see why")
    return levels


def choose_knee(levels: Sequence[Level]) -> Level:
    """Return the level of the greatest power."""
    return max(levels, key=lambda level: level.power)


def describe_levels(levels: Sequence[Level]) -> dict[str, Any]:
    """Return facts: the levels, None where a latency has no meaning, and the clients at the knee."""
    described = [
        {name: value if np.isfinite(value) else None for name, value in asdict(level).items()}
        for level in levels
    ]
    return {"levels": described, "knee": choose_knee(levels).clients}


def was_client_busy(level: Level) -> bool:
    """Say whether this client, not the server, may have been what was slow."""
    return level.client_share > _BUSY_CLIENT


def _is_over(levels: Sequence[Level]) -> bool:
    if not levels:
        return False
    last = levels[-1]
    wrong, right = last.errors + last.shed, last.requests_per_second
    if wrong and (not right or wrong > _MOST_ERRORS * (wrong + right)):
        return True
    if len(levels) <= _LEVELS_WITHOUT_GAIN:
        return False
    before = max(level.requests_per_second for level in levels[:-_LEVELS_WITHOUT_GAIN])
    return all(level.requests_per_second < _GAIN * before for level in levels[-_LEVELS_WITHOUT_GAIN:])


def _load(url: str, bodies: list[bytes], access: Access, clients: int, seconds: float) -> Level:
    counts = [_Client() for _ in range(clients)]
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=_run_client,
            args=(url, bodies[at % len(bodies) :] + bodies[: at % len(bodies)], access, stop, count),
        )
        for at, count in enumerate(counts)
    ]
    begins, busy = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    ends, busy = time.monotonic(), time.process_time() - busy
    for thread in threads:
        thread.join()
    return _summarise(counts, begins + _WARM_UP_SHARE * seconds, ends, busy / (ends - begins))


def _run_client(
    url: str, bodies: Sequence[bytes], access: Access, stop: threading.Event, count: _Client
) -> None:
    parts = urlsplit(url)
    connections = Connections(parts, access.tls)
    turn = 0
    while not stop.is_set():
        begins = time.monotonic()
        try:
            headers = {**_JSON, **access.headers()}
            status = connections.ask(
                "POST", parts.path, headers, bodies[turn % len(bodies)], access.seconds
            ).status
        except (NoAnswerError, TooSlowError):
            status = 0
        ends = time.monotonic()
        turn += 1
        if status == 200:
            count.ended.append((ends, ends - begins))
        elif status in (429, 503):
            count.shed += 1
        else:
            count.errors += 1
        if status != 200:
            stop.wait(0.01)  # a client that is refused at once is no load, and must not spin
    connections.close()


def _summarise(counts: Sequence[_Client], first: float, last: float, client_share: float) -> Level:
    taken = np.array([took for count in counts for ended, took in count.ended if first <= ended <= last])
    p50, p95, p99 = np.quantile(taken, [0.5, 0.95, 0.99]) * 1000 if len(taken) else [np.nan] * 3
    return Level(
        clients=len(counts),
        requests_per_second=len(taken) / (last - first),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        shed=sum(count.shed for count in counts),
        errors=sum(count.errors for count in counts),
        client_share=client_share,
    )
