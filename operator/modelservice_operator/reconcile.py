"""Reconciliation of one ModelService: observe, decide, apply, report.

Level-based: whatever the cause, the same happens, and a second time nothing happens. There is no memory
that a restart would miss: what is kept between runs only saves calls.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from modelservice_operator import metrics
from modelservice_operator.apply import Applied, Owner
from modelservice_operator.decide import Decision, decide
from modelservice_operator.errors import ApiError, LeadershipLostError, NotFoundError, is_namespace_gone
from modelservice_operator.kinds import MODEL_SERVICES
from modelservice_operator.status import compute_status, compute_transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelservice_operator.apply import Applier
    from modelservice_operator.events import Recorder
    from modelservice_operator.ingest import Ingest
    from modelservice_operator.kubeapi import ApiClient
    from modelservice_operator.observed import Observed
    from modelservice_operator.pods import PodReader
    from modelservice_operator.store import Store
    from modelservice_operator.workqueue import Key, WorkQueue

log = logging.getLogger(__name__)

LAZY_STATUS_SECONDS = 0.25
"""After a Deployment was written its controller answers within this time: one status write says both."""
LAZY_STATUS_LIMIT_SECONDS = 1.0
"""Status does not wait longer than this, however often Deployments are written."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the queue does with the key next."""

    requeue_after_seconds: float | None = None
    failed: bool = False
    """Come back with a backoff."""
    retry_after_seconds: float = 0.0
    """The least that the backoff must be."""


DONE = Outcome()


def utc_now() -> datetime:
    """Wall-clock time, for timestamps in status and deadlines."""
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Reconciler:
    """Runs `reconcile` for one key at a time per key (the queue sees to that)."""

    api: ApiClient
    store: Store
    ingest: Ingest
    applier: Applier
    pods: PodReader
    recorder: Recorder
    now: Callable[[], datetime] = utc_now
    _status_owed_since: dict[Key, float] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one ModelService to its spec, as far as that goes now."""
        observed = self.store.observe(key)
        if observed is None or "deletionTimestamp" in observed.service["metadata"]:
            # Children go with their owner: the garbage collector deletes them, in the order that was asked.
            self._forget(key)
            return DONE
        now = self.now()
        decision = decide(observed, now)
        owner = Owner(key=key, uid=observed.service["metadata"]["uid"])
        applied = await self.applier.apply(owner, decision.desired, decision.retire)
        if applied.is_hopeless:
            return DONE
        if self._may_wait_with_status(key, applied):
            return _outcome(decision, applied, soonest=LAZY_STATUS_SECONDS)
        if applied.written:
            # Report what is there now, not what was there before.
            fresh = self.store.observe(key)
            if fresh is None:
                return DONE
            observed, decision = fresh, decide(fresh, now)
        if await self._report(key, observed, decision, applied, now):
            self._status_owed_since.pop(key, None)
            return _outcome(decision, applied)
        return DONE

    def _may_wait_with_status(self, key: Key, applied: Applied) -> bool:
        """Whether the status is better written in a moment: not after a failure, and not for ever."""
        if applied.failures or "Deployment" not in applied.written:
            return False
        owed_since = self._status_owed_since.setdefault(key, time.monotonic())
        return time.monotonic() - owed_since < LAZY_STATUS_LIMIT_SECONDS

    async def _report(
        self, key: Key, observed: Observed, decision: Decision, applied: Applied, now: datetime
    ) -> bool:
        """Write the status if it changed, and events for what changed in it; False if the service is gone."""
        if decision.wants_pods:
            observed = await self._with_pods(key, observed, now)
        else:
            self.pods.forget(key)
        old = observed.service.get("status") or {}
        new = compute_status(observed, decision, applied.failures, now)
        patch = merge_patch(old, new)
        if not patch:
            return True
        try:
            answer = await self.api.patch_status(MODEL_SERVICES, key.namespace, key.name, {"status": patch})
        except NotFoundError:
            return False
        except ApiError as error:
            if is_namespace_gone(error):
                return False
            raise
        self.ingest.on_service_written(answer)
        for transition in compute_transitions(old, new):
            self.recorder.record(observed.service, transition)
        return True

    async def _with_pods(self, key: Key, observed: Observed, now: datetime) -> Observed:
        """Add the pods; without the right to list them there is a status all the same, without causes."""
        try:
            found = await self.pods.read(key, now)
        except ApiError as error:
            log.warning("cannot read pods: %s", error.message, extra=_log_fields(key))
            return observed
        return replace(observed, pods=found.pods, pod_events=found.events)

    def _forget(self, key: Key) -> None:
        self.pods.forget(key)
        self._status_owed_since.pop(key, None)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that turns `old` into `new`; empty where they are equal.

    Fields that are only in `old` become null, so nothing stale and nothing forged stays. A merge patch
    without a resourceVersion cannot conflict with an edit of the spec.
    """
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        known = old.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            nested = merge_patch(known, value)
            if nested:
                patch[name] = nested
        elif name not in old or not _is_same(known, value):
            patch[name] = value
    return patch


def _is_same(left: object, right: object) -> bool:
    """Equality as JSON: a tuple and a list are one."""
    return left == right or msgspec.json.encode(left, order="sorted") == msgspec.json.encode(
        right, order="sorted"
    )


def _outcome(decision: Decision, applied: Applied, soonest: float | None = None) -> Outcome:
    wishes = [decision.requeue_after_seconds, soonest, applied.recheck_seconds]
    delays = [delay for delay in wishes if delay is not None]
    return Outcome(
        requeue_after_seconds=min(delays) if delays else None,
        failed=bool(applied.failures) and applied.recheck_seconds is None,
        retry_after_seconds=applied.retry_after_seconds,
    )


async def work(queue: WorkQueue, reconciler: Reconciler) -> None:
    """One worker: reconcile the next key, for ever. Ends only by LeadershipLostError."""
    while True:
        key = await queue.get()
        started = time.perf_counter()
        try:
            # Before `done`: what came meanwhile must not overtake the API server's wish to wait.
            settle(queue, key, await _attempt(reconciler, key))
        finally:
            metrics.RECONCILE_SECONDS.observe(time.perf_counter() - started)
            queue.done(key)


async def _attempt(reconciler: Reconciler, key: Key) -> Outcome:
    """Reconcile, and turn whatever goes wrong into a retry of this one key."""
    try:
        outcome = await reconciler.reconcile(key)
    except LeadershipLostError:
        raise
    except ApiError as error:
        log.warning("reconcile failed: %s", error.message, extra=_log_fields(key))
        outcome = Outcome(failed=True, retry_after_seconds=error.retry_after_seconds or 0.0)
    except Exception:
        log.exception("reconcile broke", extra=_log_fields(key))
        metrics.RECONCILES.labels("error").inc()
        return Outcome(failed=True)
    metrics.RECONCILES.labels("retry" if outcome.failed else "ok").inc()
    return outcome


def _log_fields(key: Key) -> dict[str, str]:
    return {"namespace": key.namespace, "service": key.name}


def settle(queue: WorkQueue, key: Key, outcome: Outcome) -> None:
    """Tell the queue when the key is due again."""
    if outcome.failed:
        queue.retry(key, outcome.retry_after_seconds)
    else:
        queue.forget(key)
    if outcome.requeue_after_seconds is not None:
        queue.add(key, after_seconds=outcome.requeue_after_seconds)
