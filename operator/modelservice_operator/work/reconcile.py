"""Reconciliation of one ModelService: observe, decide, apply, report.

Level-based: whatever the cause, the same happens, and a second time nothing happens. There is no memory
that a restart would miss: what is kept between runs only saves calls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from modelservice_operator import metrics
from modelservice_operator.api import STRICT_NETWORK_POLICY
from modelservice_operator.decide.autoscaling.engine import OBJECTS
from modelservice_operator.decide.decide import decide
from modelservice_operator.facts.errors import FORBIDDEN, ApiError, LeadershipLostError
from modelservice_operator.work.report import SETTLE_SECONDS, View, log_fields
from modelservice_operator.work.writes.write import Applied, Owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.api import NetworkPolicySpec
    from modelservice_operator.cache.store import Store
    from modelservice_operator.cache.workqueue import Key, WorkQueue
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.observed import ApplyFailure, Observed
    from modelservice_operator.work.pods.reader import PodReader
    from modelservice_operator.work.report import Reporter
    from modelservice_operator.work.standby.standby import Led, Standbys
    from modelservice_operator.work.writes.apply import Applier

log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the queue does with the key next."""

    requeue_after_seconds: float | None = None
    failed: bool = False
    """Come back with a backoff."""
    retry_after_seconds: float = 0.0
    """The least that the backoff must be."""


DONE = Outcome()
LOOKED_AT_AGAIN = frozenset({"Service", *OBJECTS.values()})
"""Kinds on which further decisions wait."""


def utc_now() -> datetime:
    """Wall-clock time, for timestamps in status and deadlines."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Runs `reconcile` for one key at a time per key (the queue sees to that)."""

    store: Store
    applier: Applier
    reporter: Reporter
    pods: PodReader
    standbys: Standbys
    network_policy: NetworkPolicySpec = STRICT_NETWORK_POLICY
    """For what a ModelService leaves out of its own."""
    now: Callable[[], datetime] = utc_now

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one ModelService to its spec, as far as that goes now."""
        observed = self._observe(key)
        if observed is None or "deletionTimestamp" in observed.service["metadata"]:
            # Children go with their owner: the garbage collector deletes them, in the order that was asked.
            self.reporter.forget(key)
            self.standbys.forget(key)
            return DONE
        now = self.now()
        observed, decision = await self._decide_with_pods(key, observed, now)
        owner = Owner(key=key, uid=observed.service["metadata"]["uid"])
        refused = await self._record_replicas(key, observed, decision)
        applied = await self.applier.apply(owner, decision.desired, decision.retire)
        if refused is not None:
            applied = replace(applied, failures=(*applied.failures, refused))
        if applied.is_hopeless:
            return DONE
        view = View(key=key, observed=observed, decision=decision, applied=applied, now=now)
        if self.reporter.may_wait(view):
            self.standbys.follow(key, observed, decision)
            return outcome_of(decision, applied, SETTLE_SECONDS)
        if applied.written:
            # Report what is there now, not what was there before: since now, after the writes.
            fresh, now = self._observe(key, observed.surroundings.led), self.now()
            if fresh is None:
                return DONE
            view = View(key=key, observed=fresh, decision=self._decide(fresh, now), applied=applied, now=now)
        self.standbys.follow(key, view.observed, view.decision)
        return outcome_of(view.decision, applied, await self.reporter.report(view))

    async def _record_replicas(self, key: Key, observed: Observed, decision: Decision) -> ApplyFailure | None:
        """Write the number of pods that autoscaling begins with; its event brings the next reconciliation."""
        if decision.begin_with is None:
            return None
        version = observed.service["metadata"]["resourceVersion"]
        return await self.applier.scale(key, decision.begin_with, version)

    def _observe(self, key: Key, led: Led | None = None) -> Observed | None:
        observed = self.store.observe(key)
        return self.standbys.surround(key, observed, led) if observed is not None else None

    async def _decide_with_pods(
        self, key: Key, observed: Observed, now: datetime
    ) -> tuple[Observed, Decision]:
        """Decide by the cache; pods are looked at only where something waits for their end or their start.

        What the report goes by too is in the observation that is returned.
        """
        decision = self._decide(observed, now)
        if decision.standby is not None and decision.standby.looks:
            observed = self.standbys.surround(key, observed, await self.standbys.look(key))
            decision = self._decide(observed, now)
        if decision.plan is None or not decision.plan.waits_for_leaving:
            return observed, decision
        try:
            pods = await self.pods.look(key)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            # Without that right nobody can tell: go on as if they were gone.
            pods = ()
        return observed, self._decide(msgspec.structs.replace(observed, pods=pods), now)

    def _decide(self, observed: Observed, now: datetime) -> Decision:
        return decide(observed, now, network_policy=self.network_policy)


def outcome_of(decision: Decision, applied: Applied, soonest: float | None) -> Outcome:
    """Return when to come back after this decision was carried out; `soonest` is when the report is due."""
    # No event tells that clients are led elsewhere now, or that an engine has gone: we know our write.
    again = 0.0 if not applied.written.isdisjoint(LOOKED_AT_AGAIN) else None
    wishes = [decision.requeue_after_seconds, soonest, applied.recheck_seconds, again]
    delays = [delay for delay in wishes if delay is not None]
    return Outcome(
        requeue_after_seconds=min(delays) if delays else None,
        failed=bool(applied.failures) and applied.recheck_seconds is None,
        retry_after_seconds=applied.retry_after_seconds,
    )


class Reconciles(Protocol):
    """Whoever brings what a key names to what is wanted."""

    async def reconcile(self, key: Key) -> Outcome:
        """Bring it there, as far as that goes now."""


async def work(queue: WorkQueue, reconciler: Reconciles) -> None:
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
        # Thousands at rest, as after a start, wait for no call: events, probes and the Lease have their turn.
        await asyncio.sleep(0)


async def _attempt(reconciler: Reconciles, key: Key) -> Outcome:
    """Reconcile, and turn whatever goes wrong into a retry of this one key."""
    try:
        outcome = await reconciler.reconcile(key)
    except LeadershipLostError:
        raise
    except ApiError as error:
        log.warning("reconcile failed: %s", error.message, extra=log_fields(key))
        outcome = Outcome(failed=True, retry_after_seconds=error.retry_after_seconds or 0.0)
    except Exception:
        # One poison object must not end the worker that serves all.
        log.exception("reconcile broke", extra=log_fields(key))
        metrics.RECONCILES.labels("error").inc()
        return Outcome(failed=True)
    metrics.RECONCILES.labels("retry" if outcome.failed else "ok").inc()
    return outcome


def settle(queue: WorkQueue, key: Key, outcome: Outcome) -> None:
    """Tell the queue when the key is due again."""
    if outcome.failed:
        queue.retry(key, outcome.retry_after_seconds)
    else:
        queue.forget(key)
    if outcome.requeue_after_seconds is not None:
        queue.add(key, after_seconds=outcome.requeue_after_seconds)
