"""When the status is written, when pods are read, and when both wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.operator_objects import make_child, make_model_service

from modelservice_operator import metrics
from modelservice_operator.cache.project import project_child
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.decide.decision import Decision
from modelservice_operator.decide.revision import Revision
from modelservice_operator.decide.rollout.model import Plan
from modelservice_operator.decide.standby.switch import Switch
from modelservice_operator.facts.errors import ApiError, NotFoundError
from modelservice_operator.facts.kinds import DEPLOYMENTS
from modelservice_operator.facts.observed import ApplyFailure, DeploymentChild, Observed
from modelservice_operator.work import report as report_module
from modelservice_operator.work.measure.measurer import Measurer
from modelservice_operator.work.pods.nodes import FRESH_SECONDS
from modelservice_operator.work.pods.reader import Pods
from modelservice_operator.work.pods.reports import Answers
from modelservice_operator.work.report import (
    MOST_LOOKS,
    PATIENCE_SECONDS,
    SETTLE_SECONDS,
    TURN_SECONDS,
    Reporter,
    View,
)
from modelservice_operator.work.writes.write import Applied

KEY = Key("mail", "spam")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAILURE = ApplyFailure(kind="Service", name="spam", reason="Forbidden", message="no", transient=False)

SERVING = Revision(name="r", number=1, snapshot=None, recorded=True)  # type: ignore[arg-type]


def make_status(ready: str = "False", *, count: int = 0, generation: int = 1) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": "R", "message": f"{count} of 3"}]
    return {"observedGeneration": generation, "replicas": count, "conditions": conditions}


class Desk:
    """A Reporter whose surroundings are in memory; `status` is what will be computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.status = make_status()
        self.stored: dict[str, Any] | None = None
        self.patches: list[dict[str, Any]] = []
        self.pod_reads = 0
        self.found = Pods(())
        self.follows = False
        self.forgotten = 0
        self.recorded: list[object] = []
        self.slowness_seconds = 0.0
        self.call_seconds: list[float] = []
        self.error: ApiError | None = None
        self.uncompared: str | None = None
        self.is_called = False
        self.waits = False
        monkeypatch.setattr(report_module, "compute_status", lambda *_: self.status)
        monkeypatch.setattr(report_module, "compute_transitions", lambda *_: ["transition"])
        self.reporter = Reporter(
            api=self,  # type: ignore[arg-type]
            ingest=self,  # type: ignore[arg-type]
            pods=self,  # type: ignore[arg-type]
            rounds=self,  # type: ignore[arg-type]
            measurer=Measurer(lambda _: None),
            recorder=self,  # type: ignore[arg-type]
            concurrency=self,  # type: ignore[arg-type]
            clock=lambda: self.now,
        )

    async def patch_status(self, *args: Any) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.patches.append(args[-1]["status"])
        self.now += self.slowness_seconds
        return {}

    async def read(self, *_: object, follow: bool) -> Pods:
        self.pod_reads += 1
        self.follows = follow
        return self.found

    def note(self, seconds: float) -> None:
        self.call_seconds.append(seconds)

    def on_service_written(self, _: object) -> None:
        self.stored = self.status

    def forget(self, _: Key) -> None:
        self.forgotten += 1

    def is_turn(self, _: Key) -> bool:
        self.waits = not self.is_called
        return self.is_called

    def leave(self, _: Key) -> None:
        self.is_called = self.waits = False

    def record(self, _: object, transition: object) -> None:
        self.recorded.append(transition)

    def view(
        self, *, written: str = "", failures=(), wants_pods: bool = False, soon: float | None = 1.0
    ) -> View:
        fields = {"status": self.stored} if self.stored is not None else {}
        return View(
            key=KEY,
            observed=Observed(
                service=make_model_service(**fields), runtimes=(), revisions=(), deployments=(), others=()
            ),
            decision=Decision(
                serving=SERVING,
                wants_pods=wants_pods,
                look_after_seconds=soon if wants_pods else None,
                uncompared=self.uncompared,
            ),
            applied=Applied(written=frozenset([written] if written else []), failures=tuple(failures)),
            now=NOW,
        )

    async def report(self, **fields: Any) -> float | None:
        return await self.reporter.report(self.view(**fields))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


async def test_equal_status_is_not_written(desk):
    desk.stored = make_status()
    assert await desk.report() is None
    assert (desk.patches, desk.recorded) == ([], [])


async def test_status_is_written_with_an_event_and_then_not_again(desk):
    await desk.report()
    await desk.report()
    assert (len(desk.patches), len(desk.recorded)) == (1, 1)


async def test_limit_of_reconciliations_at_once_goes_by_the_time_of_answers(desk):
    desk.slowness_seconds = 0.25
    desk.error = ApiError("too many requests", status=429)
    with pytest.raises(ApiError):
        await desk.report()
    assert desk.call_seconds == [], "a refusal is quick where everything is slow"
    desk.error = None
    await desk.report()
    assert desk.call_seconds == [0.25]


async def test_counts_wait_a_second_after_a_write_and_come_back(desk):
    await desk.report()
    desk.status = make_status(count=1)
    wait = await desk.report()
    assert 0 < wait <= PATIENCE_SECONDS
    assert len(desk.patches) == 1
    desk.now += wait
    assert await desk.report() is None
    assert desk.patches[1]["replicas"] == 1


@pytest.mark.parametrize(
    "news",
    [
        make_status("True"),
        make_status(generation=2),
        {**make_status(), "autoscaling": {"engine": "HPA"}},
    ],
)
async def test_conditions_generations_and_engines_do_not_wait(desk, news):
    await desk.report()
    desk.status = news
    assert await desk.report() is None
    assert len(desk.patches) == 2


@pytest.mark.parametrize(
    "decided",
    [
        {"stableRevision": "b"},
        {"targetRevision": "c"},
        {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
    ],
)
async def test_decision_that_was_recorded_asks_for_the_next_one(desk, decided):
    desk.status = {**make_status(), "stableRevision": "a", "targetRevision": "b"}
    await desk.report()
    desk.status = {**desk.status, **decided}
    assert await desk.report() == 0
    assert await desk.report() is None


def test_status_waits_after_a_deployment_was_written_but_not_for_ever(desk):
    view = desk.view(written="Deployment")
    assert desk.reporter.may_wait(view)
    desk.now += PATIENCE_SECONDS / 2
    assert desk.reporter.may_wait(view)
    desk.now += PATIENCE_SECONDS
    assert not desk.reporter.may_wait(view)


def test_status_does_not_wait_after_other_writes_or_failures(desk):
    assert not desk.reporter.may_wait(desk.view(written="NetworkPolicy"))
    assert not desk.reporter.may_wait(desk.view(written="Deployment", failures=[FAILURE]))


def make_deployment(*, wanted: int, pods: int, available: int, seen: int = 1) -> DeploymentChild:
    child = project_child(DEPLOYMENTS, make_child(name="spam-r", version=5))
    counts = {"spec_replicas": wanted, "replicas": pods, "available_replicas": available}
    return msgspec.structs.replace(child, generation=1, observed_generation=seen, **counts)


@pytest.mark.parametrize(
    "counts",
    [
        {"wanted": 2, "pods": 1, "available": 1, "seen": 0},
        {"wanted": 2, "pods": 2, "available": 1},
        {"wanted": 1, "pods": 2, "available": 2},
    ],
)
async def test_status_waits_a_moment_for_the_pods_of_a_deployment_that_was_written(desk, counts):
    def view(**counts: int) -> View:
        view = desk.view()
        deployments = (make_deployment(**counts),)
        return replace(view, observed=msgspec.structs.replace(view.observed, deployments=deployments))

    await desk.reporter.report(view(wanted=1, pods=0, available=0))
    assert len(desk.patches) == 1, "nothing was written to a Deployment: nothing is waited for"
    desk.now += 2
    desk.status = make_status("True")
    assert desk.reporter.may_wait(desk.view(written="Deployment"))
    assert await desk.reporter.report(view(**counts)) == SETTLE_SECONDS
    assert await desk.reporter.report(replace(view(**counts), applied=Applied(failures=(FAILURE,)))) is None
    assert len(desk.patches) == 2, "a refusal is told at once"
    assert desk.reporter.may_wait(desk.view(written="Deployment"))
    desk.now += SETTLE_SECONDS
    desk.status = make_status("False")
    await desk.reporter.report(view(**counts))
    assert len(desk.patches) == 3


async def test_new_stable_revision_is_recorded_though_pods_of_the_old_one_are_stopping(desk):
    desk.reporter.may_wait(desk.view(written="Deployment"))
    view = desk.view()
    moving = msgspec.structs.replace(
        view.observed, deployments=(make_deployment(wanted=0, pods=1, available=1),)
    )
    await desk.reporter.report(
        replace(view, observed=moving, decision=replace(view.decision, stable="other"))
    )
    assert len(desk.patches) == 1


async def test_status_is_written_as_soon_as_pods_are_there(desk):
    desk.reporter.may_wait(desk.view(written="Deployment"))
    view = desk.view()
    settled = msgspec.structs.replace(
        view.observed, deployments=(make_deployment(wanted=2, pods=2, available=2),)
    )
    await desk.reporter.report(replace(view, observed=settled))
    assert len(desk.patches) == 1


def test_status_waits_for_what_is_decided_when_clients_were_led_elsewhere(desk):
    assert desk.reporter.may_wait(desk.view(written="Service"))
    desk.now += PATIENCE_SECONDS
    assert not desk.reporter.may_wait(desk.view(written="Service"))


async def test_weight_is_a_count_that_may_wait_and_a_step_is_news(desk):
    desk.stored = desk.status = {**make_status(), "rollout": {"weight": 0, "step": 0}}
    desk.status = {**make_status(), "rollout": {"weight": 50, "step": 0}}
    await desk.report()
    desk.status = {**make_status(), "rollout": {"weight": 100, "step": 0}}
    assert await desk.report() > 0
    assert len(desk.patches) == 1
    desk.status = {**make_status(), "rollout": {"weight": 100, "step": 1}}
    await desk.report()
    assert len(desk.patches) == 2


def test_status_does_not_wait_when_pods_are_wanted_again(desk):
    view = desk.view(written="Deployment")
    waking = Switch(phase="Waking", slice=None, woken_at=NOW)
    view = replace(view, decision=replace(view.decision, standby=waking))
    assert not desk.reporter.may_wait(view), "which pods are new goes by when that was"
    known = make_model_service(status={"autoscaling": {"wokenAt": "2026-01-01T00:00:00.000Z"}})
    observed = Observed(service=known, runtimes=(), revisions=(), deployments=(), others=())
    assert desk.reporter.may_wait(replace(view, observed=observed))


async def test_cold_start_is_measured_once(desk):
    def count(phase: str) -> float:
        name = "modelservice_operator_cold_start_seconds_count"
        return metrics.REGISTRY.get_sample_value(name, {"phase": phase}) or 0.0

    before = count("total"), count("load")
    for start in ({"totalSeconds": "3"}, {"totalSeconds": "3"}, {"totalSeconds": "3", "loadSeconds": "1"}):
        told = {"coldStart": {"time": "2026-01-01T00:00:03Z", **start}}
        desk.status = {**make_status("True"), "autoscaling": told}
        desk.now += PATIENCE_SECONDS
        await desk.report(wants_pods=False)
    assert (count("total") - before[0], count("load") - before[1]) == (1, 1)


async def test_pods_of_a_service_that_was_fine_are_read_after_a_second(desk):
    desk.stored = make_status("True")
    await desk.report(wants_pods=False)
    await desk.report(wants_pods=True)
    assert desk.pod_reads == 0
    desk.now += PATIENCE_SECONDS
    await desk.report(wants_pods=True)
    assert desk.pod_reads == 1


async def test_pods_are_read_at_once_where_this_process_has_just_begun(desk):
    # Otherwise a restart would write a status without the cause, and then one with it.
    desk.stored = make_status("False")
    await desk.report(wants_pods=True)
    assert desk.pod_reads == 1


async def test_pods_are_read_at_once_where_the_next_look_is_far_away(desk):
    desk.stored = make_status("True")
    await desk.report(wants_pods=False)
    await desk.report(wants_pods=True, soon=15.0)
    assert desk.pod_reads == 1


async def test_pods_are_read_before_ready_is_told(desk):
    await desk.report(wants_pods=True)
    desk.status = make_status("True")
    await desk.report(wants_pods=True)
    assert desk.pod_reads == 1


async def test_status_of_a_service_that_is_gone_is_no_error(desk):
    desk.error = NotFoundError("gone", status=404)
    assert await desk.report() is None
    desk.error = ApiError("terminating", status=403, details={"causes": [{"reason": "NamespaceTerminating"}]})
    assert await desk.report() is None
    assert desk.recorded == []


async def test_status_that_cannot_be_written_is_tried_again_at_once(desk):
    await desk.report()
    desk.status = make_status("True")
    desk.error = ApiError("oops", status=500)
    with pytest.raises(ApiError):
        await desk.report()
    desk.error = None
    await desk.report()
    assert len(desk.patches) == 2


# Comparing what the pods of a ready service loaded


def make_answers(*, pending: bool = False, complete: bool = True) -> Pods:
    return Pods((), answers=Answers({}, is_pending=pending, is_complete=complete))


def compare(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """From now on the service is ready and its Deployment not compared; the versions that are recorded."""
    recorded: list[str | None] = []

    def compute(observed: Observed, *_: object) -> dict[str, Any]:
        recorded.append(observed.compared_at)
        return desk.status

    monkeypatch.setattr(report_module, "compute_status", compute)
    desk.status = desk.stored = make_status("True")
    desk.uncompared = "7"
    return recorded


async def test_pods_of_a_ready_service_are_compared_once_and_not_followed(desk, monkeypatch):
    recorded = compare(desk, monkeypatch)
    assert await desk.report() is None
    assert (desk.pod_reads, desk.follows, recorded[-1]) == (1, False, "7")
    assert desk.forgotten == 1
    desk.uncompared = None
    await desk.report()
    assert desk.pod_reads == 1


async def test_pods_that_still_read_their_files_are_not_compared_yet(desk, monkeypatch):
    recorded = compare(desk, monkeypatch)
    desk.found = make_answers(pending=True, complete=False)
    await desk.report()
    assert (recorded[-1], desk.forgotten) == (None, 0)
    desk.found = make_answers()
    await desk.report()
    assert (desk.pod_reads, recorded[-1]) == (2, "7")


async def test_silent_pods_are_left_alone_until_the_deployment_changes(desk, monkeypatch):
    recorded = compare(desk, monkeypatch)
    desk.found = make_answers(complete=False)
    await desk.report()
    await desk.report()
    assert (desk.pod_reads, recorded[-1]) == (1, None)
    desk.uncompared = "8"
    desk.found = make_answers()
    desk.now += 1
    desk.is_called = True
    await desk.report()
    assert (desk.pod_reads, recorded[-1]) == (2, "8")


def make_compared(version: str, sha256: str = "a") -> dict[str, Any]:
    return {**make_status("True"), "model": {"sha256": sha256, "comparedAt": version}}


async def test_pods_that_came_later_are_compared_when_it_is_their_turn(desk, monkeypatch):
    recorded = compare(desk, monkeypatch)
    desk.stored = desk.status = make_compared("6")
    await desk.report()
    assert (desk.pod_reads, desk.waits, desk.forgotten) == (0, True, 1), "nothing is watched meanwhile"
    desk.is_called = True
    await desk.report()
    assert (desk.pod_reads, recorded[-1]) == (1, "7")
    desk.uncompared = "8"
    await desk.report()
    assert (desk.pod_reads, desk.waits) == (1, True), "each change waits for its own turn"


async def test_comparison_of_which_nothing_came_is_not_written_and_not_made_again(desk, monkeypatch):
    compare(desk, monkeypatch)
    desk.stored, desk.status, desk.is_called = make_compared("6"), make_compared("7"), True
    await desk.report()
    assert await desk.report() is None
    assert (desk.patches, desk.pod_reads, desk.waits) == ([], 1, False)


async def test_comparison_that_finds_something_is_written(desk, monkeypatch):
    compare(desk, monkeypatch)
    desk.stored, desk.status, desk.is_called = make_compared("6"), make_compared("7", "b"), True
    await desk.report()
    assert desk.patches == [{"model": {"sha256": "b", "comparedAt": "7"}}]


async def test_first_comparison_is_written_though_pods_say_nothing(desk, monkeypatch):
    compare(desk, monkeypatch)
    desk.status = {**desk.status, "model": {"comparedAt": "7"}}
    await desk.report()
    assert desk.patches == [{"model": {"comparedAt": "7"}}]


async def test_comparison_whose_write_has_to_wait_is_told_later(desk, monkeypatch):
    desk.status = make_status("True")
    await desk.report()
    compare(desk, monkeypatch)
    desk.status = {**desk.status, "model": {"comparedAt": "7"}}
    wait = await desk.report()
    assert (len(desk.patches), wait) == (1, PATIENCE_SECONDS)
    desk.now += PATIENCE_SECONDS
    await desk.report()
    assert desk.patches[1:] == [{"model": {"comparedAt": "7"}}]
    assert desk.pod_reads == 2


async def test_comparison_whose_write_failed_is_made_again(desk, monkeypatch):
    compare(desk, monkeypatch)
    desk.status = {**desk.status, "model": {"comparedAt": "7"}}
    desk.error = ApiError("oops", status=500)
    with pytest.raises(ApiError):
        await desk.report()
    desk.error = None
    desk.now += PATIENCE_SECONDS
    await desk.report()
    assert desk.patches == [{"model": {"comparedAt": "7"}}]
    assert desk.pod_reads == 2


async def test_many_ready_services_are_compared_one_after_the_other(desk, monkeypatch):
    compare(desk, monkeypatch)
    others = [replace(desk.view(), key=Key("mail", f"m{number}")) for number in range(3)]
    waits = [await desk.reporter.report(view) for view in others]
    assert waits == [None, pytest.approx(TURN_SECONDS), pytest.approx(2 * TURN_SECONDS)]
    assert desk.pod_reads == 1
    desk.now += TURN_SECONDS
    assert await desk.reporter.report(others[1]) is None
    assert await desk.reporter.report(others[2]) == pytest.approx(TURN_SECONDS)
    assert desk.pod_reads == 2


# Coming back to pods that are not available


def make_plan(phase: str) -> Plan:
    return Plan(replicas={}, weights={}, stable="r", phase=phase)  # type: ignore[arg-type]


@pytest.mark.parametrize(("phase", "looks"), [("Complete", MOST_LOOKS), ("Progressing", MOST_LOOKS + 3)])
async def test_pods_of_many_services_at_once_are_looked_at_as_far_as_that_is_cheap(desk, phase, looks):
    for number in range(MOST_LOOKS + 3):
        view = desk.view(wants_pods=True, soon=1.5)
        decision = replace(view.decision, plan=make_plan(phase))
        due = await desk.reporter.report(replace(view, key=Key("mail", f"m{number}"), decision=decision))
    assert (desk.pod_reads, due) == (looks, 1.5)


async def test_pods_that_are_followed_are_not_polled(desk):
    desk.found = Pods((), are_followed=True)
    assert await desk.report(wants_pods=True, soon=8.0) is None
    desk.found = Pods(())
    assert await desk.report(wants_pods=True, soon=8.0) == 8.0


async def test_pods_that_find_no_node_are_looked_at_again_when_nodes_are_old(desk):
    desk.found = Pods((), are_followed=True, nodes=())

    assert await desk.report(wants_pods=True, soon=8.0) == FRESH_SECONDS
    desk.found = Pods((), nodes=())
    assert await desk.report(wants_pods=True, soon=8.0) == 8.0


async def test_pods_of_a_service_that_waits_for_something_else_are_not_followed(desk):
    await desk.report(wants_pods=True, soon=None)
    assert (desk.pod_reads, desk.follows, desk.forgotten) == (1, False, 1)


async def test_events_of_followed_pods_that_do_not_start_are_polled(desk):
    pending = {"metadata": {}, "spec": {"nodeName": "n"}, "status": {"phase": "Pending"}}
    desk.found = Pods((pending,), are_followed=True)
    assert await desk.report(wants_pods=True, soon=2.0) == 2.0
