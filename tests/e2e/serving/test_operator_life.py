"""The operator may die or be replaced at any moment: the end is the same, and no pod restarts for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.images import ImageBuild, build_and_push, build_image
from hack.demo.images import OPERATOR
from hack.load import Load
from tests.support.installation import NAMESPACE, ROOT, Installation
from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import CHILDREN, User, is_current, is_ready

VARIANT = Path(__file__).parent / "variant"
ANNOTATION = "tests.example/builder"
KILLED = "killed"
UNDISTURBED = "undisturbed"
UPGRADED = "upgraded"


@pytest.fixture
def variant_image(installation: Installation) -> str:
    """The operator with a pod builder that gives new pods an annotation."""
    build = ImageBuild(
        "tests/operator-variant:1",
        VARIANT / "Dockerfile",
        context=VARIANT,
        base_image=build_image(OPERATOR.make_build(ROOT)),
    )
    return build_and_push(installation.cluster, build)


@pytest.fixture
def upgrade(installation: Installation, variant_image: str) -> Iterator[None]:
    """The operator is the variant, until the test ends."""
    installation.set_operator_image(variant_image)
    yield
    installation.set_operator_image(installation.operator_image)


def child_names(user: User, name: str) -> set[str]:
    """Kind and name of the children, which is what a rollout leaves behind."""
    return {
        f"{kind}/{one['metadata']['name']}"
        for kind in CHILDREN
        for one in user.items(kind)
        if one["metadata"]["name"].startswith(name)
    }


def test_leader_killed_mid_rollout_ends_in_the_same_state(user: User, installation: Installation) -> None:
    first, second = user.push_adder(1), user.push_adder(2)
    for name in (KILLED, UNDISTURBED):
        user.apply(name, model=first)
    for name in (KILLED, UNDISTURBED):
        user.wait_ready(name)
    user.edit(UNDISTURBED, {"model": second})
    user.edit(KILLED, {"model": second})
    user.wait(KILLED, is_current, "a rollout that has begun")
    assert not is_ready(user.service(KILLED))
    leader = installation.leader()
    user.kubectl.run("delete", "pod", leader, "--namespace", NAMESPACE, "--grace-period=0", "--force")
    wait_until(lambda: installation.leader() not in ("", leader), "the other replica leads")

    ready = user.wait_ready(KILLED)["status"]
    undisturbed = user.wait_ready(UNDISTURBED)["status"]
    user.wait_answer(KILLED, 40, 42)
    for field in ("stableRevision", "targetRevision", "traffic", "replicas", "availableReplicas"):
        assert ready[field] == undisturbed[field]
    expected = {name.replace(UNDISTURBED, KILLED) for name in child_names(user, UNDISTURBED)}
    wait_until(lambda: child_names(user, KILLED) == expected, "the same children")
    installation.wait_rolled_out()


def test_operator_with_another_pod_builder_restarts_no_pod(
    user: User, installation: Installation, request: pytest.FixtureRequest
) -> None:
    user.apply(UPGRADED, model=user.push_adder(1))
    user.wait_ready(UPGRADED)
    before = user.pods(UPGRADED)
    versions = user.versions_at_rest(UPGRADED)

    with adder_load(user, UPGRADED, grpc_clients=True) as load:
        request.getfixturevalue("upgrade")
        user.apply("newer", model=user.push_adder(1))
        user.wait_ready("newer")
    assert_answered(load)
    (newer,) = user.pods("newer").values()
    assert newer["metadata"]["annotations"][ANNOTATION] == "variant"

    # The new operator has seen this one too: it was there when the cache was filled.
    assert user.versions(UPGRADED) == versions
    after = user.pods(UPGRADED)
    assert after.keys() == before.keys()
    (pod,) = after.values()
    assert ANNOTATION not in pod["metadata"]["annotations"]
    assert all(one["restartCount"] == 0 for one in pod["status"]["containerStatuses"])

    # Its next revision comes from the new builder.
    user.edit(UPGRADED, {"model": user.push_adder(2)})
    user.wait_ready(UPGRADED)
    (pod,) = user.pods(UPGRADED).values()
    assert pod["metadata"]["annotations"][ANNOTATION] == "variant"

    # The way back is the same: what the newer operator made is left as it is.
    versions, before = user.versions_at_rest(UPGRADED), user.pods(UPGRADED)
    with adder_load(user, UPGRADED, grpc_clients=True) as load:
        installation.set_operator_image(installation.operator_image)
        user.apply("older", model=user.push_adder(1))
        user.wait_ready("older")
    assert_answered(load)
    (older,) = user.pods("older").values()
    assert ANNOTATION not in older["metadata"].get("annotations", {})
    assert (user.versions(UPGRADED), user.pods(UPGRADED).keys()) == (versions, before.keys())


def assert_answered(load: Load) -> None:
    """Clients were answered all the time."""
    assert not load.failures, f"{len(load.failures)} of {load.count()}: {load.failures[:3]}"
    assert load.count() > 50
