"""Contracts, steps, analyses and switches as a person sees them, decided and told step by step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.builders import NOW, SIGNATURE, World, model

from modelservice_operator.explain.transitions import Transition, compute_transitions
from modelservice_operator.facts import labels
from modelservice_operator.facts.measured import Measurement, Window
from modelservice_operator.facts.observed import ServiceChild
from modelservice_operator.facts.signature import Signature, Tensor

OTHER = Signature((Tensor("x", "FP32", (-1, 5)),), SIGNATURE.outputs)
ANALYSIS = {
    "intervalSeconds": 10,
    "count": 2,
    "minRequests": 10,
    "metrics": [{"type": "ErrorRatio", "max": "0.01"}],
}


class Change(World):
    """A service in a change from `old` to `new`; what was reachable is checked after every step."""

    def __init__(self, signature: Signature | None = SIGNATURE, replicas: int = 4, **rollout: Any) -> None:
        super().__init__(model=model(1), replicas=replicas, rollout=rollout)
        self.settle()
        self.old = str(self.status["stableRevision"])
        self.edit(model=model(2))
        self.reconcile()
        self.new = str(self.status["targetRevision"])
        self.signatures[self.new] = signature

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status["rollout"]
        return found

    def selected(self, name: str = "spam") -> str | None:
        service = self.children["Service", name]
        assert isinstance(service, ServiceChild)
        return service.selector.get(labels.REVISION)

    def ask(self, verb: str) -> None:
        self.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: f"{verb}@{self.new}"}

    def measure(self, errors: float, requests: int = 100) -> None:
        """One more measurement of the analysis that goes on is there."""
        self.wait(10)
        decision = self.settle()
        assert decision.measures is not None
        self.measurement = Measurement(
            run=decision.measures.run,
            ended_at=self.now,
            candidate=Window(requests=requests, values={"0": errors}),
            stable=Window(requests=requests, values={"0": 0.0}),
        )
        self.settle()


def canary(*steps: dict[str, Any], **fields: Any) -> Change:
    return Change(strategy="Canary", canary={"steps": list(steps)}, **fields)


def test_clients_find_no_pod_of_a_target_before_its_contract_is_known() -> None:
    world = Change(None)
    assert world.selected() == world.selected("spam-pods") == world.old
    world.run_controllers()
    world.signatures[world.old] = None
    for _ in range(3):
        world.reconcile()

    assert world.selected() is None, "neither of them tells: that holds up no change"
    assert world.rollout["contract"] == "Unknown"


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate", "BlueGreen"])
def test_deployment_of_a_target_is_made_when_clients_cannot_find_its_pods(strategy: str) -> None:
    world = World(model=model(1), replicas=2, rollout={"strategy": strategy})
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    decision = world._reconcile_once()
    assert decision.target is not None
    # Clients of a BlueGreen are led to one revision anyway.
    made = {old: 2, **({decision.target.name: 2} if strategy == "BlueGreen" else {})}
    assert world.replicas() == made
    assert world.status["selector"].endswith(f"={old}")
    world._reconcile_once()
    first = {"RollingUpdate": 1, "Recreate": 0, "BlueGreen": 2}[strategy]
    assert world.replicas()[decision.target.name] == first


def test_target_that_breaks_clients_gets_no_traffic_and_is_given_up() -> None:
    world = Change(OTHER)
    for _ in range(12):
        world.run_controllers()
        world.reconcile()
        assert world.selected() == world.old or world.new not in world.replicas()
    world.settle()

    assert world.replicas() == {world.old: 4}
    assert world.status["abortedRevisions"] == [world.new]
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContractBroken")
    assert 'input "x": clients send FP32 [-1, 4], the candidate takes FP32 [-1, 5]' in ready["message"]
    assert world.rollout["verdicts"][-1]["result"] == "Failed"
    assert world.selected() is None, "nobody has to be hidden any more"


def test_target_that_breaks_clients_is_rolled_out_where_that_is_only_a_warning() -> None:
    world = Change(OTHER, contract="Warn")
    world.settle()

    assert world.replicas() == {world.new: 4}
    assert [one.reason for one in world.events if one.type == "Warning"] == ["ContractFailed"]


def test_target_that_breaks_clients_is_rolled_out_where_nobody_minds() -> None:
    world = Change(OTHER, contract="Ignore")
    world.settle()

    assert world.replicas() == {world.new: 4}
    assert "verdicts" not in world.rollout


def test_way_back_to_a_revision_that_has_served_is_never_barred() -> None:
    world = Change()
    world.settle()
    more = (*SIGNATURE.outputs, Tensor("z", "FP32", (-1,)))
    world.edit(model=model(3))
    world.reconcile()
    newest = str(world.status["targetRevision"])
    world.signatures[newest] = Signature(SIGNATURE.inputs, more)
    world.settle()
    assert world.replicas() == {newest: 4}
    world.edit(model=model(2))
    world.settle()

    assert world.replicas() == {world.new: 4}
    assert [one.reason for one in world.events if one.type == "Warning"] == ["ContractFailed"]


def test_retry_looks_at_the_contract_again() -> None:
    world = Change(OTHER)
    world.settle()
    world.signatures[world.new] = SIGNATURE
    world.ask("retry")
    world.settle()

    assert world.replicas() == {world.new: 4}
    assert "abortedRevisions" not in world.status


def test_canary_goes_through_its_steps() -> None:
    world = canary({"setWeight": 25}, {"pause": {"durationSeconds": 60}}, {"setWeight": 50}, {"pause": {}})
    world.settle()
    assert world.replicas() == {world.old: 3, world.new: 1}
    assert (world.rollout["phase"], world.rollout["weight"], world.rollout["step"]) == ("Paused", 25, 1)
    assert world.condition("Progressing")["reason"] == "RolloutPaused"
    assert world.condition("Stalled")["status"] == "False"
    assert world.condition("Degraded")["status"] == "False"

    world.wait(59)
    world.settle()
    assert world.rollout["step"] == 1
    world.wait(1)
    world.settle()
    assert world.replicas() == {world.old: 2, world.new: 2}
    assert (world.rollout["phase"], world.rollout["weight"], world.rollout["step"]) == ("Paused", 50, 3)
    assert [one["desired"] for one in world.status["traffic"]] == [50, 50]

    world.wait(10_000)
    world.settle()
    assert world.rollout["step"] == 3, "waits for a person"
    world.ask("resume")
    world.settle()
    assert world.replicas() == {world.new: 4}
    assert world.rollout["phase"] == "Complete"
    assert world.condition("Ready")["status"] == "True"


def test_promote_skips_all_steps_that_are_left() -> None:
    world = canary({"setWeight": 25}, {"pause": {}}, {"analysis": ANALYSIS}, {"pause": {}})
    world.settle()
    world.ask("promote")
    world.settle()

    assert world.replicas() == {world.new: 4}


def test_pause_holds_a_rolling_update_until_resume() -> None:
    world = Change()
    world.ask("pause")
    world.settle()
    assert world.new in world.replicas()
    assert world.replicas()[world.old] > 0
    assert world.rollout["paused"] == "Requested"
    world.scale(6)
    world.settle()
    assert sum(world.replicas().values()) == 6, "a pause holds no scaling up"

    world.ask("resume")
    world.settle()
    assert world.replicas() == {world.new: 6}


def test_analysis_that_goes_well_goes_on() -> None:
    world = canary({"setWeight": 25}, {"analysis": ANALYSIS})
    world.settle()
    assert world.rollout["phase"] == "Verifying"
    world.measure(0.0)
    assert world.rollout["analysis"]["measured"] == 1
    world.measure(0.005)

    assert world.replicas() == {world.new: 4}


def test_one_measurement_counts_once_however_often_it_is_looked_at() -> None:
    world = canary({"setWeight": 25}, {"analysis": ANALYSIS})
    world.measure(0.0)
    for _ in range(5):
        world.wait(1)
        world.settle()

    assert world.rollout["analysis"]["measured"] == 1


def test_analysis_that_goes_badly_aborts() -> None:
    world = canary({"setWeight": 50}, {"analysis": ANALYSIS})
    world.measure(0.05)
    world.measurement = None
    world.settle()

    assert world.replicas() == {world.old: 4}
    assert world.status["abortedRevisions"] == [world.new]
    assert world.condition("Ready")["reason"] == "AnalysisFailed"
    assert "ErrorRatio: 0.05 is more than" in world.condition("Ready")["message"]
    assert world.rollout["phase"] == "Aborted"


def test_analysis_that_says_nothing_waits_for_a_person() -> None:
    world = canary({"setWeight": 25}, {"analysis": {**ANALYSIS, "inconclusiveLimit": 1}})
    for _ in range(2):
        world.measure(0.0, requests=3)

    assert (world.rollout["phase"], world.rollout["paused"]) == ("Paused", "Inconclusive")
    assert world.replicas() == {world.old: 3, world.new: 1}
    world.ask("resume")
    world.settle()
    assert world.replicas() == {world.new: 4}


def test_measurements_of_another_run_do_not_count() -> None:
    world = canary({"setWeight": 25}, {"analysis": ANALYSIS})
    world.settle()
    world.measurement = Measurement(
        run="other", ended_at=NOW + timedelta(seconds=9), candidate=Window(requests=99, values={"0": 1.0})
    )
    world.settle()

    assert world.rollout["analysis"] == {
        "run": world.rollout["analysis"]["run"],
        "measured": 0,
        "failed": 0,
        "inconclusive": 0,
    }


@pytest.mark.parametrize("errors", [0.5, 0.0])
def test_change_is_taken_back_where_it_goes_badly_afterwards(errors: float) -> None:
    world = canary({"setWeight": 50}, {"analysis": {**ANALYSIS, "count": 1}})
    world.edit(rollout={**world.service["spec"]["rollout"], "rollbackWindowSeconds": 300})
    world.measure(0.0)
    assert world.status["stableRevision"] == world.new
    assert world.condition("Ready")["status"] == "True"
    assert world.names("Deployment") == {f"spam-{world.old}", f"spam-{world.new}"}, "it may come back"
    world.measure(errors)
    world.measurement = None
    world.settle()

    if errors:
        assert world.replicas() == {world.old: 4}
        assert world.status["stableRevision"] == world.old
        assert world.condition("Ready")["reason"] == "RolledBack"
        return
    world.wait(300)
    world.settle()
    assert world.replicas() == {world.new: 4}
    assert "previousRevision" not in world.rollout


def test_blue_green_leads_clients_over_at_once() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"scaleDownDelaySeconds": 60})
    assert world.selected() == world.old
    world.settle()

    assert world.selected() == world.new
    assert world.replicas() == {world.old: 4, world.new: 4}, "the old pods stay for a while"
    assert world.condition("Ready")["status"] == "True"
    assert (world.status["replicas"], world.status["selector"]) == (
        4,
        f"{labels.NAME}=spam,{labels.REVISION}={world.new}",
    )
    world.wait(60)
    world.settle()
    assert world.replicas() == {world.new: 4}


def test_blue_green_goes_back_at_once_while_the_old_pods_are_there() -> None:
    blue_green = {"autoPromote": False, "scaleDownDelaySeconds": 60}
    world = Change(strategy="BlueGreen", blueGreen=blue_green)
    world.settle()
    world.ask("promote")
    world.settle()
    assert world.selected() == world.new
    world.edit(model=model(1))
    world.settle()

    assert world.selected() == world.old
    assert world.status["stableRevision"] == world.old
    assert world.replicas() == {world.old: 4, world.new: 4}


def test_canary_goes_back_without_steps_while_the_old_revision_may_come_back() -> None:
    world = canary({"setWeight": 50}, {"pause": {}}, {"analysis": ANALYSIS}, contract="Enforce")
    world.edit(rollout={**world.service["spec"]["rollout"], "rollbackWindowSeconds": 300})
    world.settle()
    world.ask("promote")
    world.settle()
    assert world.status["stableRevision"] == world.new
    world.edit(model=model(1))
    world.settle()
    assert world.replicas()[world.old] == 4
    assert world.status["stableRevision"] == world.old

    world.wait(301)
    world.settle()
    world.edit(model=model(2))
    world.settle()
    assert (world.rollout["phase"], world.rollout["weight"]) == ("Paused", 50), (
        "later on it is like any other"
    )


def test_blue_green_stays_ready_while_the_old_pods_stop() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"scaleDownDelaySeconds": 60})
    world.settle()
    since = world.condition("Ready")
    world.wait(60)
    world.reconcile()
    assert world.replicas() == {world.old: 0, world.new: 4}
    assert world.deployments()[world.old].replicas == 4, "they have not stopped yet"
    assert world.condition("Ready") == since
    world.settle()

    assert world.condition("Ready") == since


def test_old_pods_that_clients_still_find_keep_a_change_from_being_ready() -> None:
    world = Change(replicas=2)
    world.settle()
    world.edit(model=model(3), rollout={"contract": "Ignore"})
    for _ in range(12):
        world.reconcile()
        others = [one for name, one in world.deployments().items() if name != world.status["targetRevision"]]
        if any(one.replicas for one in others):
            assert world.condition("Ready")["status"] == "False"
        world.run_controllers()

    assert world.condition("Ready")["status"] == "True"


def test_aborted_canary_is_to_get_no_traffic_at_once() -> None:
    world = canary({"setWeight": 50}, {"pause": {}})
    world.settle()
    world.ask("abort")
    world.reconcile()
    shares = {one["revision"]: (one["desired"], one["actual"]) for one in world.status["traffic"]}

    assert world.rollout["weight"] == 0
    assert shares == {world.old: (100, 50), world.new: (0, 50)}, "its pods go as others take over"


def test_events_of_a_promotion_are_told_in_order_and_without_what_makes_a_request_differ() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"autoPromote": False})
    world.settle()
    world.events.clear()
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: f"promote@{world.new}@20260102"}
    world.settle()

    reasons = [one.reason for one in world.events]
    assert reasons.index("RolloutActionAccepted") < reasons.index("RolloutResumed")
    assert reasons.index("RolloutResumed") < reasons.index("RolloutComplete")
    accepted = world.events[reasons.index("RolloutActionAccepted")]
    assert accepted.message.startswith(f"promote@{world.new}: ")


def test_blue_green_waits_behind_the_preview_for_a_person() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"autoPromote": False})
    world.settle()
    assert (world.selected(), world.selected("spam-preview")) == (world.old, world.new)
    assert world.rollout["paused"] == "AwaitingPromotion"
    assert {one["revision"]: one["desired"] for one in world.status["traffic"]} == {world.old: 100}

    world.ask("promote")
    world.settle()
    assert world.selected() == world.new


def test_blue_green_previews_for_a_while() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"previewSeconds": 100, "scaleDownDelaySeconds": 0})
    world.settle()
    assert (world.selected(), world.rollout["paused"]) == (world.old, "Preview")
    world.wait(100)
    world.settle()

    assert world.replicas() == {world.new: 4}


def test_blue_green_preview_is_not_begun_anew_by_scaling() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"previewSeconds": 100, "scaleDownDelaySeconds": 0})
    world.settle()
    for replicas in (5, 6, 7):
        world.wait(30)
        world.scale(replicas)
        world.settle()
    assert (world.selected(), world.rollout["paused"]) == (world.old, "Preview")
    world.wait(10)
    world.settle()

    assert world.replicas() == {world.new: 7}


@pytest.mark.parametrize(
    "rollout",
    [
        {"strategy": "BlueGreen", "blueGreen": {"autoPromote": False}},
        {"strategy": "Canary", "canary": {"steps": [{"setWeight": 25}, {"pause": {}}]}},
    ],
)
def test_scaling_to_zero_promotes_nothing_that_waits_for_a_person(rollout: dict[str, Any]) -> None:
    world = Change(**rollout)
    world.settle()
    assert world.rollout["phase"] == "Paused"
    world.scale(0)
    world.settle()
    assert world.status["stableRevision"] == world.old
    assert world.condition("Ready")["reason"] == "RolloutPaused"
    world.scale(4)
    world.settle()
    assert (world.rollout["phase"], world.status["stableRevision"]) == ("Paused", world.old)

    world.ask("promote")
    world.settle()
    assert world.status["stableRevision"] == world.new


def test_scaling_to_zero_ends_a_change_that_waits_for_nobody() -> None:
    world = canary({"setWeight": 25}, {"pause": {"durationSeconds": 60}})
    world.settle()
    world.scale(0)
    world.settle()

    assert world.status["stableRevision"] == world.new
    assert world.condition("Ready")["reason"] == "ScaledToZero"


def test_blue_green_that_is_aborted_leaves_clients_where_they_are() -> None:
    world = Change(strategy="BlueGreen", blueGreen={"autoPromote": False})
    world.settle()
    world.ask("abort")
    for _ in range(10):
        world.reconcile()
        world.run_controllers()
        assert world.selected() == world.selected("spam-preview") == world.old

    assert world.replicas() == {world.old: 4}


def test_outcomes_say_what_became_of_each_revision() -> None:
    world = Change(OTHER)
    world.settle()
    assert {one["revision"]: (one["outcome"], one["reason"]) for one in world.status["outcomes"]} == {
        world.old: ("Stable", "RolloutComplete"),
        world.new: ("Aborted", "ContractBroken"),
    }
    world.edit(model=model(3))
    world.reconcile()
    between = world.status["targetRevision"]
    world.edit(model=model(4))
    world.settle()

    assert [(one["revision"], one["outcome"]) for one in world.status["outcomes"]] == [
        (world.new, "Aborted"),
        (between, "Superseded"),
        (world.old, "Replaced"),
        (world.status["stableRevision"], "Stable"),
    ]


def test_outcome_of_a_revision_that_is_tried_again_is_open() -> None:
    world = Change(OTHER)
    world.settle()
    world.ask("retry")
    world.reconcile()

    assert [one["revision"] for one in world.status["outcomes"]] == [world.old]


def test_events_tell_steps_waits_and_verdicts() -> None:
    world = canary(
        {"setWeight": 25}, {"pause": {"durationSeconds": 5}}, {"analysis": {**ANALYSIS, "count": 1}}
    )
    world.settle()
    world.wait(5)
    world.measure(0.0)

    assert [
        one.reason
        for one in world.events
        if one.reason.startswith(("RolloutS", "RolloutP", "RolloutR", "Ana", "Con"))
    ] == [
        "RolloutStarted",
        "RolloutStarted",
        "ContractPassed",
        "RolloutStep",
        "RolloutPaused",
        "RolloutStep",
        "RolloutResumed",
        "AnalysisPassed",
        "RolloutStep",
    ]


def verdicts(second: int, **results: str) -> list[dict]:
    """One look at an analysis; the results by metric."""
    time = f"2026-01-01T12:00:{second:02}Z"
    return [
        {
            "gate": "Analysis",
            "metric": metric,
            "result": result,
            "time": time,
            "message": f"{metric} {second}",
        }
        for metric, result in results.items()
    ]


def events_of(old: list[dict], new: list[dict]) -> list[Transition]:
    def status(found: list[dict]) -> dict:
        return {"rollout": {"revision": "b", "phase": "Verifying", "verdicts": found}}

    return list(compute_transitions(status(old), status(new)))


def test_look_at_a_gate_is_one_event_that_names_what_decided_it() -> None:
    failed = verdicts(1, ErrorRatio="Passed", LatencyP99="Failed", NonFiniteRatio="Inconclusive")
    (event,) = events_of([], failed)
    assert (event.type, event.reason) == ("Warning", "AnalysisFailed")
    assert event.message == "Revision b: LatencyP99: LatencyP99 1"


def test_looks_that_say_the_same_repeat_and_failures_never_do() -> None:
    looks = [
        verdicts(number, ErrorRatio=result)
        for number, result in enumerate(("Passed", "Passed", "Failed", "Failed", "Inconclusive", "Passed"))
    ]
    known: list[dict] = []
    seen = []
    for look in looks:
        (event,) = events_of(known, [*known, *look])
        known += look
        seen.append((event.reason, event.repeats))
    assert seen == [
        ("AnalysisPassed", False),
        ("AnalysisPassed", True),
        ("AnalysisFailed", False),
        ("AnalysisFailed", False),
        ("AnalysisInconclusive", False),
        ("AnalysisPassed", False),
    ]


@pytest.mark.parametrize("verb", ["resume", "promote", "pause", "jump"])
def test_request_that_means_nothing_is_refused(verb: str) -> None:
    world = World()
    world.settle()
    revision = world.status["stableRevision"]
    world.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: f"{verb}@{revision}"}
    world.settle()

    assert world.status["rollout"]["action"]["accepted"] is False
