"""Kubernetes events for transitions of a ModelService: best effort, and never in anybody's way.

Only changes of status become events, so nothing repeats at rest or after a restart. The same sentence
about the same object is sent once in ten minutes. When the API server cannot keep up, events are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelservice_operator import metrics
from modelservice_operator.errors import ApiError
from modelservice_operator.kinds import EVENTS
from modelservice_operator.labels import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.kubeapi import ApiClient
    from modelservice_operator.status import Transition

log = logging.getLogger(__name__)

BACKLOG = 1000
REPEAT_SECONDS = 600.0
REMEMBERED = 10_000
NOTE_LIMIT = 1024
"""The API's limit for `note`, in bytes."""


class Recorder:
    """Queues events; `run` sends them one by one."""

    def __init__(self, api: ApiClient, identity: str) -> None:
        self._api = api
        self._identity = identity
        self._backlog: asyncio.Queue[dict[str, Any]] = asyncio.Queue(BACKLOG)
        self._sent: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def record(self, service: Mapping[str, Any], transition: Transition) -> None:
        """Queue an event about a ModelService, unless it was sent lately or too many are waiting."""
        if self._is_repeated((service["metadata"]["uid"], transition.reason, transition.message)):
            return
        try:
            self._backlog.put_nowait(build_event(service, transition, self._identity, datetime.now(UTC)))
        except asyncio.QueueFull:
            metrics.EVENTS.labels("dropped").inc()

    async def run(self) -> None:
        """Send what is queued, for ever; a failure is counted and forgotten."""
        while True:
            event = await self._backlog.get()
            try:
                await self._api.create(EVENTS, event["metadata"]["namespace"], event)
            except ApiError as error:
                metrics.EVENTS.labels("failed").inc()
                log.info("event not recorded: %s", error.message)
            else:
                metrics.EVENTS.labels("sent").inc()

    def _is_repeated(self, identity: tuple[str, str, str]) -> bool:
        now = time.monotonic()
        last = self._sent.get(identity)
        if last is not None and now - last < REPEAT_SECONDS:
            return True
        self._sent[identity] = now
        self._sent.move_to_end(identity)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        return False


def build_event(
    service: Mapping[str, Any], transition: Transition, identity: str, now: datetime
) -> dict[str, Any]:
    """An events.k8s.io/v1 Event about `service`."""
    metadata = service["metadata"]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{metadata['name']}.{secrets.token_hex(8)}",
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
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }
