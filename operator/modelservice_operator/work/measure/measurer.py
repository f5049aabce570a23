"""Measures two revisions, interval after interval, for as long as somebody asks for it.

In the background: a pod or a Prometheus that does not answer delays no reconciliation. Nothing of it
survives a restart of the operator: the present interval begins again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence  # noqa: TC003  the dataclass' fields
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from modelservice_operator.facts.measured import Measurement, MeasureRequest
from modelservice_operator.work.measure.pods import PodSource
from modelservice_operator.work.measure.prometheus import PrometheusSource, guarded_connector, is_allowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.work.measure.looks import Source

log = logging.getLogger(__name__)

CONCURRENT = 16
"""Pods that are asked at once, for all services together."""
CONCURRENT_QUERIES = 8
"""Of all services to whatever Prometheus they name."""
BROKE = "measuring broke; the operator's log says how"


@dataclass(eq=False)
class _Run:
    """Of one analysis of one service."""

    request: MeasureRequest
    pods: Sequence[Mapping[str, Any]]
    newest: Measurement | None = None
    is_wanted: bool = True
    """Somebody has asked since the last measurement."""
    task: asyncio.Task[None] | None = None


class Measurer:
    """Measurements of services under analysis; calls `wake` when there is a new one."""

    def __init__(
        self,
        wake: Callable[[Key], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        may_reach: Callable[[str], bool] = is_allowed,
    ) -> None:
        """`may_reach` says of an IP address whether a user's Prometheus may stand there."""
        self._wake = wake
        self._now = now
        self._may_reach = may_reach
        self._runs: dict[Key, _Run] = {}
        self._places = asyncio.Semaphore(CONCURRENT)
        self._prometheus_places = asyncio.Semaphore(CONCURRENT_QUERIES)

    def of(self, key: Key, request: MeasureRequest, pods: Sequence[Mapping[str, Any]]) -> Measurement | None:
        """The newest finished measurement of this request, None before the first.

        The first call begins it, another request begins anew; every call brings the present pods of the
        service, those of other revisions too. Who stops asking is measured for one interval more at most.
        """
        run = self._runs.get(key)
        if run is None or run.request != request:
            self.forget(key)
            run = self._runs[key] = _Run(request, pods)
        run.pods, run.is_wanted = pods, True
        if run.task is None or run.task.done():
            self._begin(key, run)
        return run.newest

    def _begin(self, key: Key, run: _Run) -> None:
        run.task = asyncio.create_task(self._measure(key, run), name=f"measurements of {key.name}")
        run.task.add_done_callback(lambda task: self._ended(key, run, task))

    def forget(self, key: Key) -> None:
        """Nobody wants to know any more."""
        run = self._runs.pop(key, None)
        if run is not None and run.task is not None:
            run.task.cancel()

    async def _measure(self, key: Key, run: _Run) -> None:
        """Until nobody has asked for a whole interval."""
        async with self._session(run.request) as session:
            source = self._source(key, run, session)
            while True:
                looks = await source.measure()
                if not run.is_wanted:
                    return
                run.newest = looks.measurement(run.request.run, self._second())
                run.is_wanted = False
                self._wake(key)

    def _source(self, key: Key, run: _Run, session: aiohttp.ClientSession) -> Source:
        if run.request.prometheus_url is None:
            return PodSource(run.request, lambda: run.pods, session, self._places)
        return PrometheusSource(key, run.request, session, self._prometheus_places)

    def _session(self, request: MeasureRequest) -> aiohttp.ClientSession:
        if request.prometheus_url is None:
            # A server ends connections that rest; an interval is longer than that.
            connector = aiohttp.TCPConnector(limit=CONCURRENT, force_close=True)
        else:
            connector = guarded_connector(self._may_reach)
        return aiohttp.ClientSession(connector=connector, headers={"Accept-Encoding": "identity"})

    def _second(self) -> datetime:
        return self._now().replace(microsecond=0)

    def _ended(self, key: Key, run: _Run, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error("measuring broke", exc_info=task.exception(), extra={"service": key.name})
            run.newest = Measurement(run=run.request.run, ended_at=self._second(), problem=BROKE)
            self._wake(key)
        elif run.is_wanted:
            self._begin(key, run)  # somebody asked while it was closing
