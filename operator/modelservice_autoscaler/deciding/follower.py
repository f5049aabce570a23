"""One service, look after look, for as long as it is followed."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelservice_autoscaler import metrics
from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Look
from modelservice_autoscaler.algorithm.state import EMPTY, scaled
from modelservice_autoscaler.deciding.plan import build_report, is_followed, is_told, plan, refused
from modelservice_autoscaler.looking.looks import Looks
from modelservice_autoscaler.writing.writer import Refusal
from modelservice_operator.facts.errors import LeadershipLostError

if TYPE_CHECKING:
    from modelservice_autoscaler.deciding.plan import Plan
    from modelservice_autoscaler.looking.sight import Sight
    from modelservice_autoscaler.watching.services import Key, Service
    from modelservice_autoscaler.writing.writer import Outcome, Writer

log = logging.getLogger(__name__)

BUSY_SECONDS = 1.0
"""From look to look: a step of the load is seen in the next one, and acted on within 3 s."""
QUIET_SECONDS = 2.0
"""The same while no pod has requests."""
SETTLE_SECONDS = 5.0
"""What hinders the scaling is told when it has lasted this long: single answers get lost."""
TELL_SECONDS = 15.0
"""Nor is it told more often than this. Changes of replicas are told at once."""
BASE_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0


class Follower:
    """Looks at one service, decides and writes."""

    def __init__(self, key: Key, sight: Sight, writer: Writer) -> None:
        self._key = key
        self._sight = sight
        self._writer = writer
        self._looks = Looks(sight.pods, sight.clock)
        self._state = EMPTY
        self._failures = 0
        self._not_before = 0.0
        """The API server refused a write: the next one not before this time."""
        self._untold: dict[str, Any] | None = None
        """What has to be told, until the API server has taken it."""
        self._told: dict[str, Any] | None = None
        """What was told last; None as long as the status of before counts."""
        self._differs_since: float | None = None
        self._told_at = -TELL_SECONDS

    async def run(self) -> None:
        """Look until there is nothing to follow; another service of the same name is another one."""
        try:
            await self._run()
        finally:
            self._looks.close()

    async def _run(self) -> None:
        first = self._find()
        # Services that came together, as after a start, are not looked at together.
        await asyncio.sleep(random.random() * BUSY_SECONDS)  # noqa: S311  no secret
        while (service := self._find()) is not None and first is not None and service.uid == first.uid:
            began = self._sight.clock()
            await self.turn(service)
            rest = BUSY_SECONDS if self._looks.is_busy else QUIET_SECONDS
            await asyncio.sleep(max(began + rest - self._sight.clock(), 0.0))

    def _find(self) -> Service | None:
        service = self._sight.services.get(self._key)
        return service if service is not None and is_followed(service) else None

    async def turn(self, service: Service) -> None:
        """Look once, and do what follows."""
        try:
            await self._turn(service)
        except LeadershipLostError:
            raise
        except Exception:
            # One poison service must not end the process that scales all.
            log.exception("cannot scale", extra=_fields(self._key))
            metrics.BROKEN.inc()
            self._state = EMPTY
            self._back_off()

    async def _turn(self, service: Service) -> None:
        await self._looks.look(self._sight.endpoints.ready(self._key))
        now = self._sight.clock()
        # News may have come while the pods were asked.
        newest = self._find()
        if newest is None or newest.uid != service.uid:
            return
        decision = decide(newest.spec, Look(newest.replicas, self._looks.samples), self._state, now)
        self._state = decision.state
        todo = plan(newest, decision, self._looks.idle_seconds)
        if todo is not None and now >= self._not_before:
            await self._carry_out(newest, todo, now)

    async def _carry_out(self, service: Service, todo: Plan, now: float) -> None:
        if todo.desired != service.replicas:
            outcome = await self._writer.scale(service, todo.desired)
            if not self._note(outcome):
                if isinstance(outcome, Refusal):
                    await self._tell(service, refused(todo, service.replicas, outcome.sentence), now)
                return
            self._failures = 0
            metrics.DECISIONS.labels(_direction(service.replicas, todo.desired)).inc()
            log.info("scaled: %s", todo.message, extra=_fields(self._key))
            self._state = scaled(self._state, service.replicas, todo.desired, now)
            self._untold = build_report(todo, service.replicas, datetime.now(UTC))
        if await self._tell(service, todo, now):
            self._failures = 0

    async def _tell(self, service: Service, todo: Plan, now: float) -> bool:
        if self._untold is None and self._is_due(service, todo, now):
            self._untold = build_report(todo, service.replicas, datetime.now(UTC))
        if self._untold is None or not self._writer.has_room_to_tell:
            return False
        if not self._note(await self._writer.tell(service, self._untold)):
            return False
        self._told, self._untold = self._untold, None
        self._differs_since = None
        self._told_at = now
        return True

    def _is_due(self, service: Service, todo: Plan, now: float) -> bool:
        """Whether to tell that something hinders the scaling, or no longer does, or the first decision."""
        if is_told(todo, self._told or service.told):
            self._differs_since = None
            return False
        if self._differs_since is None:
            self._differs_since = now
        return now - self._differs_since >= SETTLE_SECONDS and now - self._told_at >= TELL_SECONDS

    def _note(self, outcome: Outcome) -> bool:
        """Whether a write was carried out; after a conflict (False) there is no pause, after all else one."""
        if not isinstance(outcome, bool):
            self._back_off()
        return outcome is True

    def _back_off(self) -> None:
        seconds = min(BASE_BACKOFF_SECONDS * 2 ** min(self._failures, 16), MAX_BACKOFF_SECONDS)
        self._failures += 1
        self._not_before = self._sight.clock() + seconds * (0.5 + random.random() / 2)  # noqa: S311  no secret


def _direction(before: int, after: int) -> str:
    if after == 0:
        return "idle"
    return "up" if after > before else "down"


def _fields(key: Key) -> dict[str, str]:
    return {"namespace": key.namespace, "service": key.name}
