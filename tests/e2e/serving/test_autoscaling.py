"""Pods follow the requests in flight, decided by the autoscaler of the installation: no request fails."""

from __future__ import annotations

from functools import partial
from typing import Any

from hack.load import Load, rest_client
from tests.support.operator_process import wait_until
from tests.support.serving import READY_TIMEOUT_SECONDS, User
from tests.support.tiny_models import make_counter

NAME = "followed"
STEPS = 200_000
"""Of one request: a tenth of a second or more, so that hardly any time passes between two of them."""
DOWN_SECONDS = 240.0


def counting(user: User, *, keeping: int, reconnecting: int) -> Load:
    """Clients that each have one request in flight."""
    tensor = {"name": "values", "datatype": "INT64", "shape": [1], "data": [STEPS]}
    client = partial(
        rest_client, user.address(NAME), f"/v2/models/{NAME}/infer", {"inputs": [tensor]}, count_in
    )
    return Load([client] * keeping, [client] * reconnecting)


def count_in(answer: Any) -> int:
    return int(answer["outputs"][0]["data"][0])


def replicas(user: User) -> int:
    return int(user.service(NAME)["spec"]["replicas"])


def ready_pods(user: User) -> int:
    return int(user.service(NAME)["status"].get("readyReplicas", 0))


def test_step_of_the_load_and_back_fails_no_request(user: User) -> None:
    user.apply(
        NAME,
        model=user.push(make_counter(), "counter"),
        autoscaling={
            "provider": "Builtin",
            "maxReplicas": 4,
            "metrics": [{"type": "Concurrency", "target": {"averageValue": "2"}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
    )
    user.wait_ready(NAME)
    with counting(user, keeping=1, reconnecting=0) as quiet:
        wait_until(lambda: user.service(NAME)["status"].get("autoscaler"), "the autoscaler has decided")
        assert replicas(user) == 1
        with counting(user, keeping=3, reconnecting=4) as step:
            wait_until(lambda: replicas(user) > 2, "more pods are wanted")
            wanted = replicas(user)
            wait_until(lambda: ready_pods(user) >= wanted, "they answer", READY_TIMEOUT_SECONDS)
            assert "Concurrency" in user.service(NAME)["status"]["autoscaler"]["message"]
        wait_until(lambda: replicas(user) == 1, "one pod is wanted", DOWN_SECONDS)
        wait_until(lambda: len(user.items("pods", name=NAME)) == 1, "one pod is left", READY_TIMEOUT_SECONDS)
        seen = quiet.count()
        wait_until(lambda: quiet.count() > seen + 3, "it answers")
    for load in (quiet, step):
        assert not load.failures, f"{len(load.failures)} of {load.count()}: {load.failures[:3]}"
        assert load.answers.keys() == {STEPS}
