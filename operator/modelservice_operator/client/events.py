"""Kubernetes events for transitions of an object of ours: best effort, and never in anybody's way.

Only changes of status become events, so nothing repeats at rest or after a restart, and the newest event is
what the service came to: A, B, A are three events. A service that goes on flapping gets no more objects: what
it did before is counted in the event that it has for that reason, as a series. When the API server cannot
keep up, events are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelservice_operator import metrics
from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import EVENTS
from modelservice_operator.facts.labels import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.explain.transitions import Transition

log = logging.getLogger(__name__)

BACKLOG = 1000
BURST = 40
"""Events of one service that may follow each other at once: a few edits with all their steps and gates."""
REFILL_SECONDS = 60.0
"""One more event for each such time."""
REMEMBERED = 5000
"""Services whose events are remembered; Kubernetes forgets events after an hour."""
_OF_THE_CLUSTER = "default"
"""Namespace of events about what has none."""
_LONGEST_BEGIN = 200
"""Of the 253 characters that an Event's name may have."""
NOTE_LIMIT = 1024
"""The API's limit for `note`, in bytes."""


@dataclass(slots=True)
class _Series:
    """The newest event of one reason, and how often it has happened."""

    name: str
    count: int = 1


@dataclass(slots=True)
class _Past:
    """What was told about one service."""

    allowance: float = BURST
    refilled_at: float = 0.0
    by_reason: dict[tuple[str, str], _Series] = field(default_factory=dict)
    """By type and reason. There are a few dozen reasons, so this is what bounds the number of events."""

    def spend(self, now: float) -> bool:
        """Whether one more event may be made now."""
        gained = (now - self.refilled_at) / REFILL_SECONDS
        self.allowance, self.refilled_at = min(float(BURST), self.allowance + gained), now
        if self.allowance < 1:
            return False
        self.allowance -= 1
        return True


class Recorder:
    """Queues events; `run` sends them one by one."""

    def __init__(self, api: ApiClient, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._identity = identity
        self._clock = clock
        self._backlog: asyncio.Queue[dict[str, Any]] = asyncio.Queue(BACKLOG)
        self._pasts: OrderedDict[str, _Past] = OrderedDict()
        """By UID of the service."""

    def record(self, service: Mapping[str, Any], transition: Transition) -> None:
        """Queue an event about an object of ours, unless too many are waiting."""
        event = build_event(service, transition, self._identity, datetime.now(UTC))
        past = self._past(service["metadata"]["uid"])
        kind = (transition.type, transition.reason)
        known = past.by_reason.get(kind)
        has_place = not transition.repeats and past.spend(self._clock())
        if has_place or known is None:
            past.by_reason[kind] = _Series(event["metadata"]["name"])
        else:
            known.count += 1
            event["metadata"]["name"] = known.name
            event["series"] = {"count": known.count, "lastObservedTime": event["eventTime"]}
        try:
            self._backlog.put_nowait(event)
        except asyncio.QueueFull:
            metrics.EVENTS.labels("dropped").inc()

    async def run(self) -> None:
        """Send what is queued, for ever; a failure is counted and forgotten."""
        while True:
            event = await self._backlog.get()
            try:
                await self._send(event)
            except ApiError as error:
                metrics.EVENTS.labels("failed").inc()
                log.info("event not recorded: %s", error.message)
            else:
                metrics.EVENTS.labels("sent").inc()

    async def _send(self, event: dict[str, Any]) -> None:
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        if "series" in event:
            await self._api.amend(EVENTS, namespace, name, {"series": event["series"]})
        else:
            await self._api.create(EVENTS, namespace, event)

    def _past(self, uid: str) -> _Past:
        past = self._pasts.setdefault(uid, _Past(refilled_at=self._clock()))
        self._pasts.move_to_end(uid)
        if len(self._pasts) > REMEMBERED:
            self._pasts.popitem(last=False)
        return past


def _begin_of(name: str) -> str:
    """Return as much of a name as leaves room behind it: names of RuntimeRollouts may be as long as any."""
    return name[:_LONGEST_BEGIN].rstrip("-.")


def build_event(
    service: Mapping[str, Any], transition: Transition, identity: str, now: datetime
) -> dict[str, Any]:
    """An events.k8s.io/v1 Event about `service`. Names rise with time: lists come in the order of names."""
    metadata = service["metadata"]
    namespace = metadata.get("namespace") or _OF_THE_CLUSTER
    microseconds = int(now.timestamp() * 1_000_000)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "namespace": namespace,
            "name": f"{_begin_of(metadata['name'])}.{microseconds:x}{secrets.token_hex(3)}",
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": identity[:128],
        "action": "Reconcile",
        "reason": transition.reason[:128],
        "type": transition.type,
        "note": transition.message.encode()[:NOTE_LIMIT].decode(errors="ignore"),
        "regarding": {
            "apiVersion": service["apiVersion"],
            "kind": service["kind"],
            **({"namespace": namespace} if "namespace" in metadata else {}),
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }
