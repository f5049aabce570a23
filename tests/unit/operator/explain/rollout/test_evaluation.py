"""The evaluation of a new revision as a person sees it, decided and told step by step."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.unit.operator.builders import SHA_A, SHA_B, World, make_runtime, model, timestamp

from modelservice_operator.decide.decide import decide
from modelservice_operator.explain.status import compute_status
from modelservice_operator.facts import labels

EVALUATION = {
    "data": {"storageUri": "oci://registry.example/data/spam@sha256:" + SHA_B, "file": "rows.csv"},
    "min": "0.5",
    "maxDrop": "0.01",
}
ROLLOUT = {"evaluation": EVALUATION}
GOOD = {"value": 0.9, "rows": 500, "stable": 0.9, "bound": 0.005, "modelSha256": SHA_A}
WORSE = {**GOOD, "value": 0.8, "bound": 0.12}
NAMES = ("fetch", "stable-fetch", "fetch-data", "evaluation")


class Evaluated(World):
    """A service whose revisions are evaluated before they get a pod."""

    def __init__(self, *runtimes: dict[str, Any], **spec: Any) -> None:
        super().__init__(*runtimes, **{"model": model(1), "replicas": 2, "rollout": ROLLOUT, **spec})

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status["rollout"]
        return found

    def job(self) -> str:
        (name,) = self.names("Job")
        return name

    def ask(self, verb: str, more: str = "") -> None:
        target = self.status["targetRevision"]
        self.service["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: f"{verb}@{target}{more}"}

    def pods_of_target(self) -> int:
        deployment = self.deployments().get(self.status["targetRevision"])
        return deployment.spec_replicas if deployment else 0

    def end_job(
        self, ended: str, text: str = "", *, code: int = 0, at: str = "evaluation", **facts: Any
    ) -> None:
        """The Job's only pod has ended, by the container `at`."""
        statuses = []
        for name in NAMES[: NAMES.index(at) + 1]:
            state = {"exitCode": code, "message": text} if name == at else {"exitCode": 0}
            statuses.append({"name": name, "state": {"terminated": {**state, **facts}}})
        pod = {
            "metadata": {"name": "pod", "uid": "pod", "creationTimestamp": timestamp(self.now)},
            "status": {"containerStatuses": statuses},
        }
        self.job_pods = (pod,)
        self._change_job(ended=ended, reason="BackoffLimitExceeded" if ended == "Failed" else "")

    def miss_deadline(self) -> None:
        self.job_pods = ()
        self._change_job(ended="Failed", reason="DeadlineExceeded", message="it was active too long")

    def _change_job(self, **facts: Any) -> None:
        place = "Job", self.job()
        self.children[place] = msgspec.structs.replace(self.children[place], **facts)

    def score(self, score: dict[str, Any]) -> None:
        self.end_job("Complete", json.dumps(score))
        self.settle()


@pytest.fixture
def change() -> Evaluated:
    """A change to a second revision that waits for its evaluation."""
    world = Evaluated()
    world.settle()
    world.score({"value": 0.9, "rows": 500, "modelSha256": SHA_A})
    world.edit(model=model(2))
    world.settle()
    return world


def events_of(world: World) -> list[tuple[str, str]]:
    return [(one.type, one.reason) for one in world.events]


def test_first_revision_gets_its_pods_when_the_job_says_that_it_is_good_enough() -> None:
    world = Evaluated()
    world.settle()

    assert (world.rollout["phase"], world.pods_of_target(), len(world.names("Job"))) == ("Verifying", 0, 1)
    assert "is evaluated before it gets a pod" in world.condition("Ready")["message"]
    args = world.objects["Job", world.job()]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--stable" not in args

    world.score({"value": 0.9, "rows": 500, "modelSha256": SHA_A})
    assert (world.pods_of_target(), world.names("Job")) == (2, set())
    assert world.condition("Ready")["status"] == "True"
    (scored,) = world.status["evaluations"]
    assert (scored["value"], scored["rows"], scored["modelSha256"]) == ("0.9", 500, SHA_A)
    assert ("Normal", "EvaluationPassed") in events_of(world)


def test_first_revision_that_is_not_good_enough_gets_no_pod_until_its_evaluation_is_changed() -> None:
    world = Evaluated()
    world.settle()
    world.score({"value": 0.4, "rows": 500})

    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "EvaluationFailed")
    assert "0.4 is less than min 0.5" in degraded["message"]
    assert "nothing has served before it" in degraded["message"]
    assert (world.rollout["phase"], world.pods_of_target(), world.names("Job")) == ("Aborted", 0, set())
    assert world.condition("Stalled")["status"] == "True"
    assert [one["outcome"] for one in world.status["outcomes"]] == ["Aborted"]

    world.edit(rollout={"evaluation": {**EVALUATION, "min": "0.3"}})
    world.settle()
    world.score({"value": 0.4, "rows": 500})
    assert (world.rollout["phase"], world.pods_of_target()) == ("Complete", 2)
    assert world.status.get("abortedRevisions") is None


def test_worse_revision_is_aborted_without_a_pod(change: Evaluated) -> None:
    change.score(WORSE)

    assert (change.rollout["reason"], change.pods_of_target()) == ("EvaluationFailed", 0)
    assert max(change.replicas().values()) == 2
    (verdict,) = [one for one in change.rollout["verdicts"] if one["gate"] == "Evaluation"]
    assert {**verdict, "time": "", "message": ""} == {
        "gate": "Evaluation",
        "metric": "Accuracy",
        "result": "Failed",
        "value": "0.8",
        "stable": "0.9",
        "threshold": "0.89",
        "bound": "0.12",
        "rows": 500,
        "time": "",
        "message": "",
    }
    degraded = change.condition("Degraded")
    assert degraded["reason"] == "EvaluationFailed"
    assert "serves on" in degraded["message"]
    warning = next(
        one for one in change.events if one.reason == "EvaluationFailed" and "rows 500" in one.message
    )
    assert (warning.type, "at least 0.89" in warning.message) == ("Warning", True)


def test_better_revision_gets_its_pods(change: Evaluated) -> None:
    change.score(GOOD)

    assert (change.rollout["phase"], change.pods_of_target()) == ("Complete", 2)


def test_operator_that_begins_anew_writes_nothing(change: Evaluated) -> None:
    for _ in range(3):
        change.reconcile()
        assert change.writes == []


def test_what_was_measured_is_not_measured_again(change: Evaluated) -> None:
    pinned = {"storageUri": "oci://registry.example/models/spam@sha256:" + SHA_A}
    change.edit(model=pinned)
    change.settle()
    change.score(GOOD)
    assert change.rollout["phase"] == "Complete"

    change.edit(podMetadata={"annotations": {"example.com/a": "b"}})
    change.settle()

    assert (change.rollout["phase"], change.rollout["evaluation"], change.names("Job")) == (
        "Complete",
        "Passed",
        set(),
    )
    (verdict,) = [one for one in change.rollout["verdicts"] if one["gate"] == "Evaluation"]
    assert (verdict["value"], verdict["stable"], verdict["bound"]) == ("0.9", "0.9", "0")


def test_model_that_no_digest_pins_is_measured_for_each_revision(change: Evaluated) -> None:
    change.score(GOOD)
    change.edit(podMetadata={"annotations": {"example.com/a": "b"}})
    change.settle()

    assert (change.rollout["phase"], len(change.names("Job"))) == ("Verifying", 1)


def test_retry_measures_again_by_another_job(change: Evaluated) -> None:
    first = change.job()
    change.score(WORSE)
    change.ask("retry")
    change.settle()

    assert change.job() != first
    assert (change.rollout["phase"], change.rollout["evaluationRetries"]) == ("Verifying", 1)

    change.score(GOOD)
    assert change.rollout["phase"] == "Complete"


def test_verdict_of_before_the_retry_does_not_count_after_another_edit(change: Evaluated) -> None:
    pinned = {"storageUri": "oci://registry.example/models/spam@sha256:" + SHA_A}
    old = change.service["spec"]["model"]
    change.edit(model=pinned)
    change.settle()
    change.score(WORSE)
    change.ask("retry")
    change.settle()
    change.edit(model=old)
    change.settle()

    assert [one["value"] for one in change.status["evaluations"]][-1] == "0.8"


def test_spec_that_changes_meanwhile_takes_the_job_with_it(change: Evaluated) -> None:
    first = change.job()
    change.edit(model=model(3))
    change.settle()

    assert change.job() != first
    change.score(GOOD)
    assert change.rollout["phase"] == "Complete"


def test_spec_that_goes_back_takes_the_job_with_it(change: Evaluated) -> None:
    change.edit(model=model(1))
    change.settle()

    assert (change.names("Job"), change.rollout["phase"]) == (set(), "Complete")


def test_abort_takes_the_job_with_it(change: Evaluated) -> None:
    change.ask("abort")
    change.settle()

    assert (change.names("Job"), change.rollout["phase"]) == (set(), "Aborted")
    assert change.condition("Degraded")["reason"] == "RolloutAborted"


def test_pause_leaves_the_job_and_holds_up_what_follows(change: Evaluated) -> None:
    change.ask("pause")
    change.settle()
    assert (change.rollout["phase"], len(change.names("Job"))) == ("Paused", 1)

    change.score(GOOD)
    assert (change.rollout["phase"], change.pods_of_target()) == ("Paused", 0)

    change.ask("resume")
    change.settle()
    assert change.rollout["phase"] == "Complete"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {
                "at": "fetch-data",
                "code": 1,
                "text": '{"reason": "ModelNotFound", "message": "there is no rows.csv"}',
            },
            "ModelNotFound: there is no rows.csv",
        ),
        (
            {"code": 2, "text": '{"reason": "NotScored", "message": "rows.csv has no rows"}'},
            "NotScored: rows.csv has no rows",
        ),
        ({"code": 137, "reason": "OOMKilled"}, "'evaluation' of its Job ran out of memory: raise"),
        ({"at": "stable-fetch", "code": 137}, "'stable-fetch' of its Job ran out of memory"),
        (
            {"code": 1, "text": "Traceback\nModuleNotFoundError: No module named 'modelservice_pipeline'"},
            "ended with exit code 1: ModuleNotFoundError: No module named 'modelservice_pipeline'",
        ),
    ],
)
def test_job_that_fails_ends_the_change_with_the_cause(
    change: Evaluated, facts: dict[str, Any], said: str
) -> None:
    change.end_job("Failed", **facts)
    change.settle()

    degraded = change.condition("Degraded")
    assert (change.rollout["phase"], degraded["reason"]) == ("Aborted", "EvaluationInconclusive")
    assert said in degraded["message"]
    assert (change.names("Job"), change.pods_of_target()) == (set(), 0)
    assert "rollout retry" in degraded["message"]


def test_job_that_takes_too_long_ends_the_change_with_what_it_waited_for(change: Evaluated) -> None:
    change.job_pods = ()
    change.job_events = (
        {"type": "Warning", "reason": "FailedCreate", "message": "pods is forbidden: exceeded quota: small"},
    )
    change.settle()
    assert "its pod is refused: pods is forbidden: exceeded quota" in change.condition("Ready")["message"]

    change.job_events = ()
    change.miss_deadline()
    change.settle()
    message = change.condition("Degraded")["message"]
    assert "not done in 1800 s" in message
    assert "exceeded quota: small" in message


def test_result_that_is_gone_or_forged_passes_nothing(change: Evaluated) -> None:
    change.end_job("Complete", '{"value": 1e999, "rows": 500}')
    change.settle()

    assert (change.rollout["reason"], change.pods_of_target()) == ("EvaluationInconclusive", 0)


def test_status_that_somebody_spoiled_is_measured_anew(change: Evaluated) -> None:
    change.score(GOOD)
    change.service["status"]["evaluations"] = [{"key": "x", "value": "much", "rows": "many", "metric": "?"}]
    change.edit(model=model(3))
    change.settle()

    assert len(change.names("Job")) == 1


def test_deleted_service_keeps_its_job_for_the_garbage_collector(change: Evaluated) -> None:
    change.service["metadata"]["deletionTimestamp"] = timestamp(change.now)
    assert change.reconcile().evaluating is None
    assert change.writes == []
    job = change.objects["Job", change.job()]
    assert job["metadata"]["ownerReferences"][0]["controller"]


def test_pod_of_the_job_is_found_by_no_service_and_takes_no_gpu() -> None:
    world = Evaluated(
        make_runtime(default=True, gpuImage="registry.example/gpu:1"),
        gpu={"count": 1},
        podMetadata={"labels": {"app": "spam"}},
        childMetadata={"labels": {"team": "a"}},
    )
    world.settle()
    template = world.objects["Job", world.job()]["spec"]["template"]

    assert template["metadata"]["labels"] == {"team": "a", labels.EVALUATION: "spam"}
    assert "nvidia.com/gpu" not in str(template["spec"]["containers"])
    policy = world.objects["NetworkPolicy", world.job()]
    assert policy["spec"]["podSelector"]["matchLabels"] == {labels.EVALUATION: "spam"}
    assert "ingress" not in policy["spec"]


def test_job_keeps_its_result_while_pods_cannot_be_read(change: Evaluated) -> None:
    change.end_job("Complete", json.dumps(WORSE))
    observed = msgspec.structs.replace(change.observe(), job_pods=None)
    status = compute_status(observed, decide(observed, change.now), (), change.now)

    assert (status["rollout"]["phase"], status["rollout"].get("evaluation")) == ("Verifying", None)


def test_pods_that_loaded_another_file_than_was_evaluated_get_no_traffic(change: Evaluated) -> None:
    change.score({**GOOD, "modelSha256": SHA_B})

    assert (change.rollout["phase"], change.rollout["reason"]) == ("Aborted", "ContractBroken")
    assert f"loaded sha256 {SHA_A}, and {SHA_B} was evaluated" in change.condition("Degraded")["message"]
