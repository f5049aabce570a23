"""What users get wrong is explained with cause and remedy within seconds, and heals when mended."""

from collections.abc import Iterator

import pytest
from hack.cluster.api import Object, condition_status
from tests.support.faults import FAULTS, Fault, foreign_deployment_name
from tests.support.serving import User, condition, is_current

# Mostly the pods' own time: nine of them start at once on two cores.
EXPLAIN_TIMEOUT_SECONDS = 200.0
# Kubernetes waits up to 40 s between the third and the fourth try of a container.
HEAL_TIMEOUT_SECONDS = 240.0

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])


@pytest.fixture(scope="module")
def broken(user: User) -> dict[str, Object]:
    """All faults, made at once; the objects that were there before, by name."""
    prepared = {fault.name: fault.prepare(user) for fault in FAULTS}
    for fault in FAULTS:
        user.apply(fault.name, **fault.spec(user))
    return {name: found for name, found in prepared.items() if isinstance(found, dict)}


@pytest.fixture(scope="module")
def mended(user: User, broken: dict[str, Object]) -> Iterator[None]:
    """All faults, mended at once."""
    for fault in FAULTS:
        fault.mend(user)
    yield
    for found in user.cluster.api.get("/apis/modelservice.dev/v1alpha1/modelruntimes")["items"]:
        if found["metadata"]["name"].endswith(f"-{user.namespace}"):
            user.cluster.api.delete(user.cluster.api.path_of(found))


@each_fault
def test_fault_is_explained(user: User, broken: dict[str, Object], fault: Fault) -> None:
    found = user.wait(
        fault.name,
        lambda one: is_current(one) and condition(one, "Ready")["reason"] == fault.reason,
        f"Ready=False with the reason {fault.reason}",
        EXPLAIN_TIMEOUT_SECONDS,
    )
    ready = condition(found, "Ready")
    assert ready["status"] == "False"
    assert condition(found, "Degraded")["status"] == "True"
    if not fault.pods_answer:
        assert condition_status(found, "Available") == "False"
    missing = [words for words in fault.words if words not in ready["message"]]
    assert not missing, ready["message"]
    if fault.stalls:
        assert condition_status(found, "Stalled") == "True"


def test_foreign_objects_are_not_touched(user: User, broken: dict[str, Object]) -> None:
    for fault, kind, name in (
        ("foreign-service", "services", "foreign-service"),
        ("foreign-deployment", "deployments", foreign_deployment_name(user)),
    ):
        before, now = broken[fault], user.cluster.api.get(user.path(kind, name))
        assert now["spec"] == before["spec"]
        assert "ownerReferences" not in now["metadata"]
        assert now["metadata"].get("labels") == before["metadata"].get("labels")


@each_fault
def test_mended_fault_heals(user: User, mended: None, fault: Fault) -> None:
    healed = user.wait_ready(fault.name, HEAL_TIMEOUT_SECONDS)
    assert condition_status(healed, "Degraded") == "False"
    assert condition_status(healed, "Stalled") == "False"
    assert user.ask(fault.name, 41) == 42
