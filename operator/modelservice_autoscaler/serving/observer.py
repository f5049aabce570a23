"""Looks at services for as long as somebody asks about them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Look
from modelservice_autoscaler.algorithm.state import EMPTY
from modelservice_autoscaler.looking.looks import Looks
from modelservice_autoscaler.serving.values import Activity, is_active, value_of

if TYPE_CHECKING:
    from modelservice_autoscaler.algorithm.decision import Reading
    from modelservice_autoscaler.algorithm.spec import Signal
    from modelservice_autoscaler.looking.sight import Sight
    from modelservice_autoscaler.watching.services import Key, Service

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
KEEP_SECONDS = 60.0
"""KEDA asks every 5 s, an HPA every 15."""
PATIENCE_SECONDS = 2.5
"""How long the first one who asks waits: two looks make an average. KEDA gives up after 3 s by default."""
POLL_SECONDS = 0.1


class _Observer:
    """Looks at one service."""

    def __init__(self, key: Key, uid: str, sight: Sight) -> None:
        self.uid = uid
        self._key = key
        self._sight = sight
        self._looks = Looks(sight.pods, sight.clock)
        self._state = EMPTY
        self._asked_at = sight.clock()
        self.readings: tuple[Reading, ...] = ()
        self.looked = asyncio.Event()
        """Set once there was a look."""

    @property
    def activity(self) -> Activity:
        """What the last look says of requests."""
        return Activity(
            ready=len(self._looks.samples), silent=self._looks.silent, idle_seconds=self._looks.idle_seconds
        )

    def ask(self) -> None:
        """Somebody wants to know."""
        self._asked_at = self._sight.clock()

    async def run(self) -> None:
        """Look until nobody has asked for a while, or the service is gone."""
        try:
            await self._run()
        finally:
            self._looks.close()

    async def _run(self) -> None:
        clock = self._sight.clock
        while clock() - self._asked_at < KEEP_SECONDS:
            service = self._sight.services.get(self._key)
            if service is None or service.uid != self.uid:
                return
            began = clock()
            await self._looks.look(self._sight.endpoints.ready(self._key))
            decision = decide(service.spec, Look(service.replicas, self._looks.samples), self._state, clock())
            self._state, self.readings = decision.state, decision.readings
            self.looked.set()
            await asyncio.sleep(max(began + LOOK_SECONDS - clock(), 0.0))


class Observers:
    """One for each service that somebody asks about."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._observers: dict[Key, _Observer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, key: Key) -> Service | None:
        """The service, None where there is none that scales."""
        return self._sight.services.get(key)

    async def value(self, service: Service, signal: Signal) -> float | None:
        """What a signal says of all pods now, in the unit of its target; None where nothing is known."""
        if service.replicas == 0:
            return 0.0
        observer = self._observe(service)
        for _ in range(round(PATIENCE_SECONDS / POLL_SECONDS)):
            if (value := self._read(observer, service, signal)) is not None:
                return value
            await asyncio.sleep(POLL_SECONDS)
        return None

    async def is_active(self, service: Service) -> bool:
        """Whether somebody has asked for predictions in the last seconds, or may have."""
        if service.replicas == 0 or service.cannot_sleep:
            return service.cannot_sleep
        observer = self._observe(service)
        await observer.looked.wait()
        return is_active(service, observer.activity)

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _read(self, observer: _Observer, service: Service, signal: Signal) -> float | None:
        if not observer.looked.is_set():
            return None
        reading = next((one for one in observer.readings if one.signal == signal), None)
        return value_of(signal, reading, service, observer.activity)

    def _observe(self, service: Service) -> _Observer:
        known = self._observers.get(service.key)
        if known is None or known.uid != service.uid:
            known = self._observers[service.key] = _Observer(service.key, service.uid, self._sight)
            task = asyncio.create_task(
                known.run(), name=f"observer {service.key.namespace}/{service.key.name}"
            )
            self._tasks.add(task)
            task.add_done_callback(lambda ended: self._on_end(service.key, known, ended))
        known.ask()
        return known

    def _on_end(self, key: Key, observer: _Observer, ended: asyncio.Task[None]) -> None:
        self._tasks.discard(ended)
        observer.looked.set()
        if self._observers.get(key) is observer:
            del self._observers[key]
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error(
                "cannot look at a service",
                exc_info=error,
                extra={"namespace": key.namespace, "service": key.name},
            )
