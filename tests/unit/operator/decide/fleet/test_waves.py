"""The ways of a run that people count on, one after the other."""

from __future__ import annotations

import json

import pytest
from tests.unit.operator.builders import make_runtime
from tests.unit.operator.decide.fleet.cluster import NEW, OLD, OTHER, Cluster, make_rollout
from tests.unit.operator.decide.fleet.told import all_arrive, conditions, reason

from modelservice_operator.api.runtimerollout import MOST_MEMBERS
from modelservice_operator.explain.fleet import fleet_transitions
from modelservice_operator.facts.fleet import read_assignments

WAVES = [{"name": "canary", "selector": {"matchLabels": {"wave": "1"}}}, {"name": "rest", "rest": True}]


def test_members_move_wave_by_wave_and_all_is_told() -> None:
    cluster = Cluster(6, waves=WAVES, maxConcurrent=2, maxUnavailable=2)
    cluster.look()
    assert cluster.status["members"][:3] == [
        "mail/s01 s01-1234 0 1",
        "mail/s04 s04-1234 0 1",
        "mail/s00 s00-1234 0 1",
    ]
    assert (cluster.states, cluster.status["wave"]) == ("MMPPPP", "canary")
    assert cluster.decision.step is not None
    assert cluster.decision.step.released == ("mail/s01", "mail/s04")
    assert conditions(cluster)["Reconciling"] == "True"
    all_arrive(cluster)
    cluster.look()
    assert (cluster.states, cluster.status["wave"]) == ("UUMMPP", "rest")
    cluster.look_on()
    assert (cluster.states, cluster.status["progress"]) == ("UUUUUU", "6/6")
    assert conditions(cluster) == {
        "Ready": "True",
        "Progressing": "False",
        "Degraded": "False",
        "Reconciling": "False",
        "Stalled": "False",
    }
    assert {one.image for one in cluster.services.values()} == {NEW}
    assert "moving" not in cluster.status


def test_a_member_must_stay_healthy_for_as_long_as_it_soaks() -> None:
    cluster = Cluster(1, soakSeconds=60, maxUnavailable=1)
    cluster.look()
    all_arrive(cluster)
    cluster.wait(59)
    cluster.look()
    assert cluster.states == "M"
    assert cluster.decision.requeue_after_seconds == pytest.approx(1)
    cluster.vanish("s00")
    cluster.wait(60)
    cluster.look()
    cluster.heal("s00")
    cluster.look()
    assert cluster.states == "M", "its time begins anew"
    cluster.wait(60)
    cluster.look()
    assert cluster.states == "U"


@pytest.mark.parametrize(("at", "state"), [(7200, "M"), (86_400 + 60, "F")])
def test_a_member_that_soaks_may_be_without_a_pod_for_a_while(at: int, state: str) -> None:
    cluster = Cluster(1, soakSeconds=86_400, memberDeadlineSeconds=60, maxUnavailable=1)
    cluster.look()
    all_arrive(cluster)
    cluster.wait(3600)
    cluster.vanish("s00")
    cluster.heal("s00")
    cluster.look()
    cluster.wait(at - 3600)
    cluster.vanish("s00")
    cluster.look()
    assert cluster.states == state


@pytest.mark.parametrize(
    ("share", "members", "most"),
    [("10%", 9, 1), ("10%", 19, 1), ("10%", 20, 2), ("100%", 3, 3), (2, 9, 2), ("1%", 5, 1)],
)
def test_most_that_may_be_unavailable_rounds_down_and_is_at_least_one(
    share: int | str, members: int, most: int
) -> None:
    cluster = Cluster(members, maxConcurrent=500, maxUnavailable=share)
    cluster.look()
    assert cluster.states.count("M") == most


def test_members_that_are_down_already_count() -> None:
    cluster = Cluster(4, maxConcurrent=4, maxUnavailable=2)
    cluster.vanish("s03")
    cluster.look()
    assert cluster.states == "MPPB"
    cluster.vanish("s02")
    all_arrive(cluster)
    cluster.look()
    assert (cluster.states, reason(cluster)) == ("UPBB", "TooManyUnavailable")
    cluster.heal("s02")
    cluster.look()
    assert cluster.states == "UMBB"


def test_a_member_that_its_user_is_changing_is_waited_for_though_not_for_ever() -> None:
    cluster = Cluster(1, maxUnavailable=1, memberDeadlineSeconds=100)
    cluster.change("s00")
    cluster.look()
    assert cluster.states == "P"
    service = cluster.services["s00"]
    service.observed, service.is_ready, service.since = 2, False, cluster.now
    cluster.wait(99)
    cluster.look()
    assert (cluster.states, cluster.decision.requeue_after_seconds) == ("P", 1)
    cluster.wait(1)
    cluster.look()
    assert (cluster.states, cluster.status["phase"]) == ("B", "Complete")


def fail_two(cluster: Cluster) -> None:
    """Two of the first wave fail: one gives its rollout up, one breaks with the new image."""
    cluster.look()
    all_arrive(cluster)
    cluster.services["s01"].assigned = {**(cluster.services["s01"].assigned or {}), "phase": "Failed"}
    cluster.services["s01"].image = OLD
    cluster.break_down("s04")
    cluster.look()


FAILING = {"waves": WAVES, "maxConcurrent": 2, "maxUnavailable": 4, "soakSeconds": 60}


def test_halt_starts_no_further_member_until_more_failures_are_put_up_with() -> None:
    cluster = Cluster(6, **FAILING, maxFailures=1)
    fail_two(cluster)
    assert (cluster.states, cluster.status["phase"]) == ("FFPPPP", "Halted")
    assert (conditions(cluster)["Stalled"], conditions(cluster)["Degraded"]) == ("True", "True")
    assert [one["reason"] for one in cluster.status["failures"]] == ["RolloutGivenUp", "Because"]
    cluster.look_on()
    assert cluster.states == "FFPPPP"
    cluster.edit(maxFailures=2)
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("FFUUUU", "Complete")


def test_a_member_fails_for_what_its_answer_says_also_where_its_status_told_earlier_that_it_gave_up() -> None:
    """A status says first that a change was given up, and with the next write what came of its request."""
    cluster = Cluster(6, **FAILING, maxFailures=1)
    cluster.look()
    cluster.take("s01")
    member = cluster.services["s01"]
    member.is_stalled = member.is_degraded = member.is_given_up = True
    cluster.look()
    assert cluster.states.startswith("M")
    cluster.give_up("s01")
    cluster.look()
    assert cluster.states.startswith("F")
    assert [one["reason"] for one in cluster.status["failures"]] == ["RolloutGivenUp"]


@pytest.mark.parametrize(
    ("failing", "degraded", "ready"),
    [
        (1, "1 member failed: mail/s00: RolloutGivenUp.", "1 member failed, and spec.maxFailures allows 0"),
        (
            4,
            "4 members failed, the last ones: "
            + "; ".join(f"mail/s0{number}: RolloutGivenUp" for number in (1, 2, 3))
            + ".",
            "4 members failed, and spec.maxFailures allows 0",
        ),
    ],
)
def test_what_is_said_of_failures_has_the_right_number(failing: int, degraded: str, ready: str) -> None:
    cluster = Cluster(failing, maxConcurrent=4, maxUnavailable=4)
    cluster.look()
    for name in list(cluster.services):
        cluster.take(name)
        cluster.give_up(name)
    cluster.look()
    told = {one["type"]: one["message"] for one in cluster.status["conditions"]}
    assert told["Degraded"] == degraded
    assert told["Ready"].startswith(ready)
    are = "0 of 1 member is" if failing == 1 else "0 of 4 members are"
    assert f" {are} updated, {failing} failed." in told["Ready"]


def test_failed_members_alone_go_back() -> None:
    cluster = Cluster(6, **FAILING, maxFailures=1, onFailure="RollbackFailed")
    fail_two(cluster)
    assert cluster.states == "GGPPPP"
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("VVPPPP", "Halted")
    assert {one.image for one in cluster.services.values()} == {OLD}
    assert cluster.status["counts"]["failed"] == cluster.status["counts"]["rolledBack"] == 2


def test_all_go_back_whatever_is_waited_for() -> None:
    closed = [{"schedule": "0 4 * * *", "durationSeconds": 60}]
    cluster = Cluster(6, **FAILING, maxFailures=3, onFailure="RollbackAll")
    cluster.look()
    all_arrive(cluster)
    cluster.wait(60)
    cluster.look()
    assert cluster.states == "UUMMPP"
    cluster.edit(maxFailures=0, paused=True, maintenanceWindows=closed)
    cluster.take("s00")
    cluster.give_up("s00")
    cluster.look()
    assert cluster.status["phase"] == "RollingBack"
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("RRVRPP", "RolledBack")
    assert {one.image for one in cluster.services.values()} == {OLD}
    assert conditions(cluster)["Stalled"] == "True"


def test_windows_approvals_and_pauses_block_starts_alone() -> None:
    waves = [{**WAVES[0], "approval": True}, WAVES[1]]
    cluster = Cluster(3, waves=waves, maintenanceWindows=[{"schedule": "30 3 * * *", "durationSeconds": 60}])
    cluster.look()
    assert (cluster.states, cluster.status["phase"]) == ("PPP", "AwaitingApproval")
    cluster.ask("approve@rest")
    cluster.look()
    assert cluster.status["action"]["accepted"] is False
    assert "canary" in cluster.status["action"]["message"]
    cluster.ask("approve@canary")
    cluster.look()
    assert (cluster.status["phase"], reason(cluster)) == ("AwaitingWindow", "OutsideMaintenanceWindow")
    assert cluster.decision.requeue_after_seconds == 1800
    cluster.wait(1800)
    cluster.ask("pause")
    cluster.look()
    assert cluster.status["phase"] == "Paused"
    cluster.ask("resume")
    cluster.look()
    assert cluster.states == "MPP"
    cluster.wait(60)
    all_arrive(cluster)
    cluster.look()
    assert (cluster.states, cluster.status["phase"]) == ("UPP", "AwaitingWindow")


def test_nobody_is_chosen_while_it_is_paused_from_the_beginning() -> None:
    cluster = Cluster(2, paused=True)
    cluster.look()
    assert (cluster.status["phase"], "members" in cluster.status) == ("Paused", False)
    cluster.edit(paused=False)
    cluster.look()
    assert "members" in cluster.status


def test_image_that_the_runtime_does_not_name_is_waited_for() -> None:
    cluster = Cluster(2, target={"runtime": "onnx", "image": OTHER})
    cluster.look()
    assert (cluster.status["phase"], reason(cluster)) == ("Pending", "ImageNotNamed")
    told = conditions(cluster)
    assert (told["Reconciling"], told["Stalled"], "members" in cluster.status) == ("True", "False", False)
    cluster.runtimes = []
    cluster.look()
    assert (reason(cluster), conditions(cluster)["Stalled"]) == ("RuntimeNotFound", "False")
    cluster.runtimes = [make_runtime(image=OTHER)]
    cluster.look()
    assert cluster.status["images"] == [OLD, OTHER]


def test_a_selector_that_takes_nobody_is_told() -> None:
    cluster = Cluster(2, selector={"namespaces": ["mial"]})
    cluster.look()
    assert (cluster.status["phase"], cluster.status["progress"], reason(cluster)) == (
        "Complete",
        "0/0",
        "NoMembers",
    )
    (event,) = fleet_transitions({}, cluster.status)
    assert (event.type, event.reason) == ("Warning", "RolloutComplete")


def test_members_get_the_runtime_that_the_run_began_with() -> None:
    cluster = Cluster(2, maxConcurrent=1)
    cluster.look()
    cluster.runtimes = [make_runtime(image=OTHER)]
    cluster.look_on()
    told = read_assignments({**cluster.rollout, "status": {**cluster.status, "states": "MU"}})
    runtime = told["mail/s00"].runtime
    assert runtime is not None
    assert (runtime["metadata"]["name"], runtime["spec"]["image"]) == ("onnx", NEW)


def test_one_that_cannot_be_understood_from_the_beginning_is_pending() -> None:
    cluster = Cluster(1, soakSeconds="long")
    cluster.look()
    assert (cluster.status["phase"], reason(cluster)) == ("Pending", "InvalidSpec")


def test_rollouts_of_other_runtimes_do_not_meet() -> None:
    cluster = Cluster(1, maxUnavailable=1)
    cluster.look()
    other = make_rollout("june", age=9, target={"runtime": "other"})
    other["status"] = {"startedAt": "2026-01-01T00:00:00Z", "phase": "Progressing"}
    cluster.strangers = [other]
    cluster.look_on()
    assert cluster.status["phase"] == "Complete"


def test_abort_ends_it_and_rollback_takes_all_back_even_then() -> None:
    cluster = Cluster(4, maxConcurrent=1, maxUnavailable=1)
    cluster.look()
    all_arrive(cluster)
    cluster.look()
    cluster.ask("abort")
    cluster.look()
    assert (cluster.states, cluster.status["phase"], "endedAt" in cluster.status) == (
        "UMPP",
        "Aborted",
        False,
    )
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"], "endedAt" in cluster.status) == ("UUPP", "Aborted", True)
    cluster.ask("rollback")
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("RRPP", "RolledBack")


def test_the_limits_hold_on_the_way_back_too() -> None:
    cluster = Cluster(6, maxConcurrent=2, maxUnavailable="100%")
    cluster.look_on()
    cluster.ask("rollback")
    cluster.look()
    assert cluster.states == "CCUUUU"
    cluster.edit(maxConcurrent=4, maxUnavailable=3)
    cluster.vanish("s05")
    cluster.vanish("s04")
    cluster.look()
    assert cluster.states == "CCUUCC", "those without a pod may turn back, and nobody else"


def test_it_is_deleted_when_it_was_kept_for_long_enough_and_not_before_it_is_over() -> None:
    cluster = Cluster(1, maxUnavailable=1, ttlSecondsAfterFinished=100)
    cluster.look()
    assert not cluster.decision.is_expired
    all_arrive(cluster)
    cluster.look()
    assert (cluster.decision.is_expired, cluster.decision.requeue_after_seconds) == (False, 100)
    cluster.wait(100)
    cluster.look()
    assert cluster.decision.is_expired


def test_events_tell_each_phase_wave_and_failure_once() -> None:
    cluster = Cluster(6, **FAILING)
    told: list[str] = []
    for step in range(6):
        before = json.loads(json.dumps(cluster.status))
        if step == 2:
            cluster.services["s01"].image = OLD
            cluster.break_down("s01")
        cluster.look()
        told += [one.reason for one in fleet_transitions(before, cluster.status)]
        all_arrive(cluster)
    assert told == ["RolloutProgressing", "RolloutHalted", "MemberFailed"]


def test_five_thousand_members_fit_into_one_object() -> None:
    cluster = Cluster(
        MOST_MEMBERS,
        namespace="n" * 63,
        prefix="s" * 48,
        maxConcurrent=500,
        maxUnavailable="100%",
        waves=WAVES,
    )
    cluster.look()
    assert cluster.states.count("M") == 500
    assert len(cluster.status["members"]) == MOST_MEMBERS
    assert len(json.dumps(cluster.rollout)) < 1_000_000
