"""Canary and BlueGreen under load: good candidates are promoted, bad ones stopped, and no request is lost.

One ModelService goes from test to test: the revision that one leaves is the stable one of the next.
"""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.api import Object, condition_status
from hack.load import Load
from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import User, condition, is_current
from tests.support.tiny_models import make_adder, make_failing_adder, make_slow_adder

NAME = "canary"
PREVIEW = f"{NAME}-preview"
FIRST, GOOD, UNWATCHED, BLUE = 1.0, 2.0, 3.0, 4.0
"""What the models that serve add, in the order of the tests."""
SLOW, FAILING, OTHER_INPUT = 11.0, 12.0, 13.0
# About 0.4 s of a quiet core: other requests take some milliseconds, on a busy machine some tens of them.
SLOW_STEPS = 400_000
FAILING_SHARE = 0.05
ERRORS = {"type": "ErrorRatio", "maxIncrease": "0.01"}
NOT_FINITE = {"type": "NonFiniteRatio", "maxIncrease": "0.001"}
TWICE_AS_SLOW = {"type": "LatencyP99", "maxRatio": "2"}
# No answer takes as long: the metric is measured, and a busy machine is no failure.
NEVER_SO_SLOW = {"type": "LatencyP99", "max": "20"}


def canary(*metrics: Object, **analysis: Any) -> Object:
    """A rollout with one step of half the traffic, and an analysis of short intervals.

    A measurement that says nothing is no end: a busy machine needs longer for as many requests.
    """
    measured = {"intervalSeconds": 2, "count": 2, "minRequests": 10, "inconclusiveLimit": 100}
    steps = [{"setWeight": 50}, {"analysis": {"metrics": list(metrics), **measured, **analysis}}]
    return {"strategy": "Canary", "canary": {"steps": steps}}


@pytest.fixture(scope="module")
def service(user: User) -> Object:
    """The ModelService, with two pods of its first revision."""
    rollout = canary(ERRORS, NEVER_SO_SLOW, NOT_FINITE)
    user.apply(NAME, model=user.push_adder(FIRST), replicas=2, rollout=rollout)
    return user.wait_ready(NAME)


@pytest.fixture
def load(user: User, service: Object) -> Iterator[Load]:
    """Clients of REST and gRPC, on kept and on new connections; none of their requests may be lost."""
    with adder_load(user, NAME, keeping=1, reconnecting=2, grpc_clients=True) as load:
        wait_until(lambda: load.count() > 20, "clients are answered")
        yield load
        end = load.count()
        wait_until(lambda: load.count() > end + 20, "clients are answered in the end")
    lost = [one for one in load.failures if "the model failed" not in one]
    assert not lost, f"{len(lost)} of {load.count()}: {lost[:3]}"


def rollout_of(service: Object) -> Object:
    rollout: Object = service["status"].get("rollout", {})
    return rollout


def wait_phase(user: User, phase: str, **fields: str) -> Object:
    """Wait until the rollout of the spec as it is now has come to a phase."""
    expected = {"phase": phase, **fields}

    def has_come(one: Object) -> bool:
        return is_current(one) and expected.items() <= rollout_of(one).items()

    return user.wait(NAME, has_come, f"the rollout {expected}")


def run_rollout(user: User, *arguments: str) -> None:
    """`modelservice rollout`, as a user calls it; AssertionError where it fails."""
    command = [Path(sys.executable).with_name("modelservice"), "rollout", *arguments, NAME]
    where = ["--kubeconfig", str(user.cluster.kubeconfig), "-n", user.namespace]
    result = subprocess.run([*command, *where], capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def metrics_with(service: Object, result: str) -> set[str]:
    """The metrics of which some verdict says so."""
    verdicts = rollout_of(service).get("verdicts", [])
    return {one.get("metric", one["gate"]) for one in verdicts if one["result"] == result}


def outcome_of(service: Object, revision: str) -> Object:
    return next(one for one in service["status"]["outcomes"] if one["revision"] == revision)


def test_good_candidate_is_promoted_by_its_analysis(user: User, load: Load) -> None:
    user.edit(NAME, {"model": user.push_adder(GOOD)})
    wait_phase(user, "Verifying", contract="Passed")
    half = user.wait(NAME, lambda one: rollout_of(one).get("analysis", {}).get("measured"), "a verdict")
    assert rollout_of(half)["weight"] == 50
    promoted = wait_phase(user, "Complete")
    assert metrics_with(promoted, "Passed") == {"Contract", "ErrorRatio", "LatencyP99", "NonFiniteRatio"}
    user.wait_ready(NAME)
    changed_at = load.count()
    wait_until(lambda: load.count() > changed_at + 20, "clients are answered")
    assert load.answers.keys() == {FIRST, GOOD}
    said = f"Revision {promoted['status']['stableRevision']} is the stable one."
    wait_until(lambda: said in {one["message"] for one in user.items("events")}, "an event of the promotion")


@pytest.mark.parametrize(
    ("model", "answer", "metric", "analysis"),
    [
        (
            make_slow_adder(SLOW, SLOW_STEPS),
            SLOW,
            TWICE_AS_SLOW,
            {
                "intervalSeconds": 5,
                "minRequests": 2,
                "count": 3,
            },  # on a busy machine it answers once a second
        ),
        # Six windows of so many requests are all good by chance in one of 30,000 cases.
        (make_failing_adder(FAILING, FAILING_SHARE), FAILING, ERRORS, {"minRequests": 40, "count": 6}),
        (make_adder(math.nan), math.nan, NOT_FINITE, {}),
    ],
    ids=["slow", "failing", "not a number"],
)
def test_bad_candidate_is_stopped_by_its_analysis(
    user: User, load: Load, model: bytes, answer: float, metric: Object, analysis: Object
) -> None:
    before = user.service(NAME)["status"]["stableRevision"]
    user.edit(
        NAME,
        {"model": user.push(model, f"bad-{answer}"), "replicas": 1, "rollout": canary(metric, **analysis)},
    )
    stopped = wait_phase(user, "Aborted", reason="AnalysisFailed")
    status = stopped["status"]
    assert status["stableRevision"] == before != status["targetRevision"]
    assert status["targetRevision"] in status["abortedRevisions"]
    assert metrics_with(stopped, "Failed") == {metric["type"]}
    degraded = condition(stopped, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "AnalysisFailed")
    assert metric["type"] in degraded["message"]
    assert condition_status(stopped, "Available") == "True"
    assert load.count(answer), "no client was answered by it"
    user.wait(NAME, lambda one: one["status"]["replicas"] == 1, "no pod of the candidate")


def test_candidate_with_another_input_answers_nobody(user: User, load: Load) -> None:
    user.edit(
        NAME,
        {"model": user.push(make_adder(OTHER_INPUT, "numbers"), "other"), "rollout": canary(NEVER_SO_SLOW)},
    )
    stopped = wait_phase(user, "Aborted", reason="ContractBroken")
    degraded = condition(stopped, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ContractBroken")
    assert "values" in degraded["message"]
    assert outcome_of(stopped, stopped["status"]["targetRevision"])["outcome"] == "Aborted"
    user.wait(NAME, lambda one: one["status"]["replicas"] == 1, "no pod of the candidate")
    assert not load.failures
    # For a moment nodes may lead to a pod of the candidate of before, which gives no numbers.
    assert {one for one in load.answers if not math.isnan(one)} == {GOOD}


def test_analysis_without_requests_waits_for_a_person(user: User, service: Object) -> None:
    rollout = canary(ERRORS, intervalSeconds=1, inconclusiveLimit=0)
    user.edit(NAME, {"model": user.push_adder(UNWATCHED), "rollout": rollout})
    paused = wait_phase(user, "Paused", paused="Inconclusive")
    assert metrics_with(paused, "Inconclusive") == {"ErrorRatio"}
    assert condition_status(paused, "Degraded") == "False"
    run_rollout(user, "resume", "-w", "--timeout=240s")
    assert wait_phase(user, "Complete")["status"]["stableRevision"] == paused["status"]["targetRevision"]


def test_blue_green_switches_at_once(user: User, load: Load) -> None:
    rollout = {
        "strategy": "BlueGreen",
        "canary": None,
        "blueGreen": {"autoPromote": False, "scaleDownDelaySeconds": 1},
    }
    user.edit(NAME, {"model": user.push_adder(BLUE), "rollout": rollout})
    paused = wait_phase(user, "Paused", paused="AwaitingPromotion")
    assert user.ask(PREVIEW, 0, model=NAME) == BLUE  # a Service that no other pod was ever behind
    # For a moment nodes may lead to a pod of the revision of before.
    assert load.answers.keys() - {GOOD} == {UNWATCHED}
    run_rollout(user, "promote", "-w", "--timeout=240s")
    assert user.service(NAME)["status"]["stableRevision"] == paused["status"]["targetRevision"]
    user.wait(NAME, lambda one: one["status"]["replicas"] == 1, "the old pod has gone")
    wait_until(lambda: load.count(BLUE) > 50, "clients are answered by the new pod")
