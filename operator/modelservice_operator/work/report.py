"""Reporting: the status is computed once, written once, at the end, and only where it changed.

What a person waits for is written at once: a new generation seen, a condition that changed, a refused write.
What changes many times a second while pods come and go (replica counts) is written once a second, and pods
are read only when they have not become available by themselves within a second. Nothing of this pacing
needs to survive a restart.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from modelservice_operator import metrics
from modelservice_operator.decide.rollout.room.deadlines import soonest
from modelservice_operator.explain.status import compute_status
from modelservice_operator.explain.transitions import compute_transitions
from modelservice_operator.facts.errors import ApiError, NotFoundError, is_namespace_gone
from modelservice_operator.facts.kinds import MODEL_SERVICES
from modelservice_operator.facts.pods import is_ready, of_revision
from modelservice_operator.facts.recorded import engine_of, is_given_up
from modelservice_operator.work.allowance import Allowance
from modelservice_operator.work.merge_patch import merge_patch
from modelservice_operator.work.pods.evaluations import with_job_pods
from modelservice_operator.work.pods.nodes import FRESH_SECONDS
from modelservice_operator.work.pods.reader import has_not_started

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.events import Recorder
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.observed import Observed
    from modelservice_operator.work.concurrency import ConcurrencyLimit
    from modelservice_operator.work.measure.measurer import Measurer
    from modelservice_operator.work.pods.reader import PodReader, Pods
    from modelservice_operator.work.pods.rounds import Rounds
    from modelservice_operator.work.writes.write import Applied

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.5
"""After a Deployment was written a fast one has done all by then, and its event tells: one status write says
both. For pods that take longer the status tells what is known."""
AWAITED = frozenset({"Deployment", "Service"})
"""Kinds after whose writes another reconciliation is due soon: it tells of both."""
PATIENCE_SECONDS = 1.0
"""Nothing waits longer than this, however often things change."""
MOST_LOOKS, LOOK_SECONDS = 32, 0.2
"""Looks at pods of services at rest that may follow each other at once, and the time after which there is one
more: where everything is slow, looking at all of it makes it slower."""
TURN_SECONDS = 0.05
"""Between two ready services whose pods are listed and asked: thousands may be due after an upgrade."""


class View(Struct, frozen=True, kw_only=True):
    """What one reconciliation saw, decided and did."""

    key: Key
    observed: Observed
    decision: Decision
    applied: Applied
    now: datetime


@dataclass(kw_only=True)
class _Pace:
    """When things happened to one service, on the monotonic clock."""

    owed_since: float | None = None
    """A Deployment was written and the status has not been since."""
    pods_wanted_since: float | None = -math.inf
    """Since when its pods are worth a look; None: they are not. From before this process began: for ever."""
    written_at: float | None = None
    settled_at: str | None = None
    """The resourceVersion of a Deployment whose pods were compared, or do not say what they loaded."""
    turn_at: float | None = None
    """When it is this service's turn to have its pods compared."""
    look_after_seconds: float | None = None
    """When to come back to look at pods again."""


@dataclass(kw_only=True)
class Reporter:
    """Writes status and events, and reads pods for them."""

    api: ApiClient
    ingest: Ingest
    pods: PodReader
    rounds: Rounds
    measurer: Measurer
    recorder: Recorder
    concurrency: ConcurrencyLimit
    clock: Callable[[], float] = time.monotonic
    _paces: dict[Key, _Pace] = field(default_factory=dict)
    _looks: Allowance = field(default_factory=lambda: Allowance(most=MOST_LOOKS, each_seconds=LOOK_SECONDS))
    _next_turn_at: float = -math.inf

    def may_wait(self, view: View) -> bool:
        """Whether the status is better written in SETTLE_SECONDS: never after a failure, and not for ever."""
        if view.applied.failures or view.applied.written.isdisjoint(AWAITED) or _is_woken_now(view):
            return False
        pace = self._paces.setdefault(view.key, _Pace())
        if pace.owed_since is None:
            pace.owed_since = self.clock()
        return self.clock() - pace.owed_since < PATIENCE_SECONDS

    async def report(self, view: View) -> float | None:
        """Write what changed, and events about it; returns seconds after which to come back, or None.

        Raises ApiError; that the service is gone is no error.
        """
        pace = self._paces.setdefault(view.key, _Pace())
        if (left_seconds := self._settles_in_seconds(view, pace)) > 0:
            return left_seconds
        old = view.observed.service.get("status") or {}
        observed, soon = await with_job_pods(self.api, view.key, view.observed, view.decision, view.now)
        told_at = pace.settled_at
        if observed is not view.observed:
            view = replace(view, observed=observed)
        new = await self._compute(view, pace)
        pace.look_after_seconds = soonest(pace.look_after_seconds, soon)
        patch = merge_patch(old, new)
        pace.owed_since = None
        if not patch or _is_compared_again(old, patch):
            return pace.look_after_seconds
        if not is_news(old, new) and (wait := self._wait_seconds(pace)) > 0:
            pace.settled_at = told_at  # what came of a comparison is not told yet
            return min(wait, pace.look_after_seconds or math.inf)
        pace.written_at = self.clock()
        settled_at, pace.settled_at = pace.settled_at, told_at
        if not await self._write(view.key, patch):
            return None
        pace.settled_at = settled_at
        _measure_cold_start(old, new)
        for transition in compute_transitions(old, new):
            self.recorder.record(view.observed.service, transition)
        return pace.look_after_seconds if _decided(old) == _decided(new) else 0.0

    def forget(self, key: Key) -> None:
        """The service is gone."""
        self.pods.forget(key)
        self.rounds.leave(key)
        self.measurer.forget(key)
        self._paces.pop(key, None)

    def _settles_in_seconds(self, view: View, pace: _Pace) -> float:
        """How long a Deployment that was written may still take before the status goes without it."""
        if pace.owed_since is None or view.applied.failures or _is_woken_now(view):
            return 0.0
        if view.decision.stable != _status(view).get("stableRevision"):
            # What it replaces may go, and does so only when that is recorded.
            return 0.0
        is_moving = any(one.is_moving for one in view.observed.deployments)
        return pace.owed_since + SETTLE_SECONDS - self.clock() if is_moving else 0.0

    def _wait_seconds(self, pace: _Pace) -> float:
        return 0.0 if pace.written_at is None else pace.written_at + PATIENCE_SECONDS - self.clock()

    async def _compute(self, view: View, pace: _Pace) -> dict[str, Any]:
        """The status; with pods where they are wanted and did not just become so."""
        status = compute_status(view.observed, view.decision, view.applied.failures, view.now)
        pace.look_after_seconds = None
        if view.decision.measures is None:
            self.measurer.forget(view.key)
        if not view.decision.wants_pods:
            pace.pods_wanted_since = None
            if not self._wants_comparison(view, pace):
                return status
        else:
            if pace.pods_wanted_since is None or not view.observed.service.get("status"):
                pace.pods_wanted_since = self.clock()
            if not _is_ready(status) and not self._may_look(view, pace):
                return status
        observed = await self._with_pods(view, pace)
        return compute_status(observed, view.decision, view.applied.failures, view.now)

    def _wants_comparison(self, view: View, pace: _Pace) -> bool:
        """Whether to ask the pods of a ready service what they loaded, now.

        What a revision's pods loaded at first is told soon, one service after the other: many at once are in
        question only after the operator's start. Pods that came since are compared with them at leisure.
        """
        uncompared = view.decision.uncompared
        if uncompared is None or uncompared == pace.settled_at:
            pace.turn_at = None
            self.rounds.leave(view.key)
            self.pods.forget(view.key)
            return False
        if _is_compared(_status(view)) or pace.settled_at is not None:
            is_turn = self.rounds.is_turn(view.key)
            if not is_turn:
                self.pods.forget(view.key)  # nothing is watched meanwhile
            return is_turn
        if pace.turn_at is None:
            pace.turn_at = self._next_turn_at = max(self.clock(), self._next_turn_at + TURN_SECONDS)
        if self.clock() < pace.turn_at:
            pace.look_after_seconds = pace.turn_at - self.clock()
            return False
        return True

    def _may_look(self, view: View, pace: _Pace) -> bool:
        """Whether to look at pods that are not available, now; else there is a time to come back at.

        Why pods are slow where all are, nobody asks: only what a change waits for is always looked at.
        """
        soon, plan = view.decision.look_after_seconds, view.decision.plan
        is_luxury = soon is not None and plan is not None and not plan.is_under_way
        if self._is_too_early(view, pace) or (is_luxury and not self._looks.spend(self.clock())):
            pace.look_after_seconds = soon
            return False
        return True

    def _is_too_early(self, view: View, pace: _Pace) -> bool:
        """Whether pods may still become available by themselves, and the next look at them is due soon."""
        soon = view.decision.look_after_seconds
        since = pace.pods_wanted_since
        if since is None or soon is None or soon > PATIENCE_SECONDS:
            return False
        return self.clock() - since < PATIENCE_SECONDS

    async def _with_pods(self, view: View, pace: _Pace) -> Observed:
        """Add the pods; without the right to list them there is a status all the same, without causes."""
        is_waiting = view.decision.look_after_seconds is not None
        pace.look_after_seconds = view.decision.look_after_seconds
        try:
            found = await self.pods.read(view.key, view.now, follow=is_waiting)
        except ApiError as error:
            log.warning("cannot read pods: %s", error.message, extra=log_fields(view.key))
            return view.observed
        if found.are_followed and not any(has_not_started(pod) for pod in found.pods):
            pace.look_after_seconds = None
        if found.nodes is not None and pace.look_after_seconds is None:
            # Nodes come, go and are labelled, and no event tells a pod that waits for one.
            pace.look_after_seconds = FRESH_SECONDS
        observed = replace(
            view.observed,
            pods=found.pods,
            pod_events=found.events,
            pod_reports=found.answers.reports,
            nodes=found.nodes,
        )
        if (request := view.decision.measures) is not None:
            observed = replace(observed, measurement=self.measurer.of(view.key, request, found.pods))
        compared_at = self._compared_at(view, found, pace)
        if not is_waiting and not found.answers.is_pending:
            # No event may follow: nothing stays open at rest.
            self.pods.forget(view.key)
        return replace(observed, compared_at=compared_at)

    def _compared_at(self, view: View, found: Pods, pace: _Pace) -> str | None:
        """The state of the Deployment that is compared by now; what cannot be is not tried for ever."""
        serving, uncompared = view.decision.serving, view.decision.uncompared
        if uncompared is None or serving is None:
            return None
        ready = sum(is_ready(pod) for pod in of_revision(found.pods, serving.name))
        wanted = sum(
            one.available_replicas for one in view.observed.deployments if one.revision == serving.name
        )
        if ready < wanted:
            # The list is older than the Deployment's status.
            pace.look_after_seconds = PATIENCE_SECONDS
            return None
        if found.answers.is_complete or not found.answers.is_pending:
            pace.settled_at = uncompared
            self.rounds.leave(view.key)
        return uncompared if found.answers.is_complete else None

    async def _write(self, key: Key, patch: Mapping[str, Any]) -> bool:
        """Whether the patch was applied; False where the service, or its namespace, is gone."""
        started = self.clock()
        try:
            answer = await self.api.patch_status(MODEL_SERVICES, key.namespace, key.name, {"status": patch})
        except NotFoundError:
            return False
        except ApiError as error:
            if is_namespace_gone(error):
                return False
            raise
        self.concurrency.note(self.clock() - started)
        self.ingest.on_service_written(answer)
        return True


def log_fields(key: Key) -> dict[str, str]:
    """A key as fields of a log line."""
    return {"namespace": key.namespace, "service": key.name}


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))


def _is_compared(status: Mapping[str, Any]) -> bool:
    """Whether it tells what the pods of the serving revision loaded."""
    return "comparedAt" in (status.get("model") or {})


def _is_compared_again(old: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    """Whether nothing came of a comparison: not worth a write, a new process compares once more."""
    return _is_compared(old) and patch.keys() == {"model"} and (patch["model"] or {}).keys() == {"comparedAt"}


def is_news(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a change is more than counts and wording: a generation, a revision, a condition's state."""
    return _headline(old) != _headline(new)


def _decided(status: Mapping[str, Any]) -> tuple[object, ...]:
    """What the next decision reads of a status: no event may follow, so it has to be made at once.

    Only when it is recorded that a revision became stable, or was given up, may what it replaced go; and only
    when it is recorded that there is no room, an old pod before a new one comes.
    """
    target = status.get("targetRevision")
    given_up = is_given_up(status, str(target))
    told = (status.get("route") or {}).get("backends")
    return target, status.get("stableRevision"), given_up, status.get("rollout"), told, _switched(status)


def _measure_cold_start(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Count the phases that the status tells for the first time."""
    told, known = ((one.get("autoscaling") or {}).get("coldStart") or {} for one in (new, old))
    fresh = told if told.get("time") != known.get("time") else told.keys() - known.keys()
    for name in fresh:
        if name.endswith("Seconds"):
            metrics.COLD_START_SECONDS.labels(name.removesuffix("Seconds")).observe(float(told[name]))


def _is_woken_now(view: View) -> bool:
    """Whether this is the first reconciliation that wants pods again: which of them are new goes by it."""
    switch = view.decision.standby
    return switch is not None and switch.woken_at is not None and not _switched(_status(view))[1]


def _status(view: View) -> Mapping[str, Any]:
    status: Mapping[str, Any] = view.observed.service.get("status") or {}
    return status


def _switched(status: Mapping[str, Any]) -> tuple[object, ...]:
    """When the activator began to stand in, and when pods were wanted again."""
    scaling = status.get("autoscaling") or {}
    return scaling.get("standbySince"), scaling.get("wokenAt")


_UNHURRIED = frozenset({"weight", "shortSince", "verifyingSince"})
"""Of `status.rollout`: what follows from the rest, or only begins to count."""
_PHASES = {"Verifying": "Progressing"}
"""What was found out is soon told with it."""


def _headline(status: Mapping[str, Any]) -> tuple[object, ...]:
    conditions = {
        (one.get("type"), one.get("status"), one.get("reason")) for one in status.get("conditions", ())
    }
    fields = ("observedGeneration", "stableRevision", "targetRevision", "route")
    model = {name: value for name, value in (status.get("model") or {}).items() if name != "comparedAt"}
    rollout = {
        name: _PHASES.get(value, value) if name == "phase" else value
        for name, value in (status.get("rollout") or {}).items()
        if name not in _UNHURRIED
    }
    # An engine acts, or acts no more, when it reads there that it is the one.
    engine, others = engine_of(status), (status.get(name) for name in fields)
    return (conditions, model, rollout, _switched(status), engine, *others)
