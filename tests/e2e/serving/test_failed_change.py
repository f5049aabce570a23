"""A change that fails takes nothing away: the old revision serves on, and reverting heals."""

import pytest
from hack.cluster.api import Object, condition_status
from tests.support.faults import NO_SUCH_DIGEST
from tests.support.serving import User, condition, is_current

NAME = "steady"
DEADLINE_SECONDS = 15


@pytest.fixture(scope="module")
def model(user: User) -> Object:
    """The good model, served."""
    model = user.push_adder(1)
    user.apply(NAME, model=model)
    user.wait_ready(NAME)
    return model


def is_explained(service: Object) -> bool:
    return is_current(service) and condition(service, "Ready")["reason"] == "DigestMismatch"


def test_failed_change_keeps_the_old_revision_serving(user: User, model: Object) -> None:
    before = user.service(NAME)["status"]["stableRevision"]
    pods = user.pods(NAME).keys()
    user.edit(NAME, {"model": {"sha256": NO_SUCH_DIGEST}})
    failed = user.wait(NAME, is_explained, "the wrong digest explained")
    assert condition_status(failed, "Ready") == "False"
    assert condition_status(failed, "Available") == "True"
    assert condition_status(failed, "Degraded") == "True"
    assert failed["status"]["stableRevision"] == before != failed["status"]["targetRevision"]
    assert user.ask(NAME, 41) == 42
    assert pods <= user.pods(NAME).keys()

    user.edit(NAME, {"model": {"sha256": model["sha256"]}})
    healed = user.wait_ready(NAME)
    assert healed["status"]["targetRevision"] == before
    assert condition_status(healed, "Degraded") == "False"
    # Not one pod of the old revision had to be started anew.
    assert user.pods(NAME).keys() == pods


def test_change_past_its_deadline_is_given_up(user: User, model: Object) -> None:
    user.edit(
        NAME,
        {"model": {"sha256": NO_SUCH_DIGEST}, "rollout": {"progressDeadlineSeconds": DEADLINE_SECONDS}},
    )
    stalled = user.wait(
        NAME, lambda one: is_current(one) and condition_status(one, "Stalled") == "True", "Stalled"
    )
    ready = condition(stalled, "Ready")
    assert ready["reason"] == "DigestMismatch"
    assert "serves on" in ready["message"]
    assert condition_status(stalled, "Available") == "True"
    revision = stalled["status"]["targetRevision"]
    user.wait(
        NAME,
        lambda one: one["status"]["replicas"] == 1 and not user.items("pods", name=NAME, revision=revision),
        "no pod of the revision that was given up",
    )
    assert user.ask(NAME, 41) == 42

    user.edit(NAME, {"model": {"sha256": model["sha256"]}})
    user.wait_ready(NAME)
