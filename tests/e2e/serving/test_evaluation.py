"""A model that is worse on the rows never gets a request, a better one does: scored by Jobs in the image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hack.cluster.registry import push_model
from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import User, condition, is_current

if TYPE_CHECKING:
    from hack.cluster.api import Object

NAME = "evaluated"
FIRST, WORSE, BETTER = 2.25, 2.5, 2.0
"""What the models add; right is 2. Their R2 on the rows: about 0.82, 0.26 and 1."""
ROWS = 200


def push_rows(user: User) -> Object:
    """Push rows whose label is their value and 2, as an artifact of one file."""
    values = [-1 + 2 * row / (ROWS - 1) for row in range(ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        file.write_text("values,label\n" + "".join(f"{one:.6f},{one + 2:.6f}\n" for one in values))
        pushed = push_model(user.cluster.registry, file, f"oci://10.0.0.1:5000/data/{user.namespace}:1")
    return {"storageUri": pushed.uri, "sha256": pushed.sha256, "file": "rows.csv"}


@pytest.fixture(scope="module")
def service(user: User) -> Object:
    """A service whose first revision has passed."""
    evaluation = {"data": push_rows(user), "metric": "R2", "min": "0.5", "maxDrop": "0.05"}
    user.apply(NAME, model=user.push_adder(FIRST), rollout={"evaluation": evaluation})
    return user.wait_ready(NAME)


def verdict_of(service: Object) -> Object:
    return next(one for one in service["status"]["rollout"]["verdicts"] if one["gate"] == "Evaluation")


def test_worse_model_never_gets_a_request_and_a_better_one_does(user: User, service: Object) -> None:
    assert float(verdict_of(service)["value"]) == pytest.approx(0.82, abs=0.03)

    with adder_load(user, NAME) as load:
        user.edit(NAME, {"model": user.push_adder(WORSE)})
        aborted = user.wait(
            NAME,
            lambda one: is_current(one) and one["status"].get("rollout", {}).get("phase") == "Aborted",
            "given up",
        )
        verdict = verdict_of(aborted)
        assert (verdict["result"], verdict["rows"]) == ("Failed", ROWS)
        assert float(verdict["stable"]) - float(verdict["value"]) > 0.5
        assert condition(aborted, "Degraded")["reason"] == "EvaluationFailed"
        assert condition(aborted, "Available")["status"] == "True"

        user.edit(NAME, {"model": user.push_adder(BETTER)})
        better = user.wait_ready(NAME)
    assert float(verdict_of(better)["value"]) == pytest.approx(1.0)
    assert load.failures == []
    assert load.answers.keys() <= {FIRST, BETTER}
    user.wait_answer(NAME, 1.0, 1.0 + BETTER)
    wait_until(lambda: user.items("jobs") == [], "no Job is left")


def test_job_without_its_rows_says_why(user: User, service: Object) -> None:
    data = {**push_rows(user), "file": "other.csv"}
    user.apply("rowless", model=user.push_adder(FIRST), rollout={"evaluation": {"data": data, "min": "0.5"}})

    found = user.wait(
        "rowless", lambda one: condition(one, "Degraded").get("status") == "True", "it says why"
    )

    degraded = condition(found, "Degraded")
    assert degraded["reason"] == "EvaluationInconclusive"
    assert "there is no other.csv among the files (rows.csv)" in degraded["message"]
    assert user.pods("rowless") == {}
