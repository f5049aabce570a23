from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.cli.rollout.statuses import NEW, OLD, facts_with, rollout
from tests.unit.operator.builders import UID

from modelservice_cli.rollout.cluster import read as module
from modelservice_cli.rollout.cluster.errors import ForbiddenError
from modelservice_cli.rollout.cluster.read import Reader
from modelservice_operator.facts.kinds import DEPLOYMENTS

if TYPE_CHECKING:
    from modelservice_cli.rollout.cluster.api import Cluster


class Server:
    """Answers reads one after the other: each item is what is there from that read of the service on.

    A moment: resourceVersion, available pods of the new revision by the status, and by its Deployment.
    """

    def __init__(self, *moments: tuple[str, int, int]) -> None:
        self.moments = list(moments)
        self.now = self.moments[0]
        self.reads = 0

    def read_service(self, _namespace: str, _name: str) -> dict[str, Any]:
        self.reads += 1
        self.now = self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]
        version, counted, _ = self.now
        counts: dict[str, Any] = {"availableReplicas": counted, "readyReplicas": counted}
        counts["traffic"] = [{"revision": NEW, "desired": 100, "actual": 100 if counted else 0}]
        service = copy.deepcopy(dict(facts_with(rollout(), **counts).service))
        service["metadata"]["resourceVersion"] = version
        return service

    def list_children(self, resource: Any, *_: str) -> list[dict[str, Any]]:
        if resource != DEPLOYMENTS:
            return []
        return [
            {
                "metadata": {"name": f"spam-{name}", "ownerReferences": [{"uid": UID}]},
                "spec": {"replicas": 4},
                "status": {"availableReplicas": count, "readyReplicas": count} if count else {},
            }
            for name, count in ((OLD, 0), (NEW, self.now[2]))
        ]

    def list_pods(self, *_: str) -> list[dict[str, Any]]:
        return []


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)


def look(server: Server) -> Any:
    return Reader(cast("Cluster", server), "mail", "spam").everything()


@pytest.mark.parametrize(
    ("moments", "version", "settled"),
    [
        ([("1", 2, 2)], "1", True),
        # The status was written while the Deployments were read.
        ([("1", 2, 2), ("2", 3, 3), ("2", 3, 3)], "2", True),
        # The operator has not counted a pod yet.
        ([("1", 2, 3), ("1", 2, 3), ("2", 3, 3), ("2", 3, 3)], "2", True),
        # It is not there to count.
        ([("1", 2, 3)], "1", False),
        ([("1", 0, 0)], "1", True),
    ],
)
def test_everything_is_of_one_moment_or_says_that_it_is_not(
    moments: list[tuple[str, int, int]], version: str, settled: bool
) -> None:
    facts = look(Server(*moments))
    available = [one.get("status", {}).get("availableReplicas", 0) for one in facts.deployments.values()]

    assert facts.service["metadata"]["resourceVersion"] == version
    assert facts.settled is settled
    assert (sum(available) == facts.status["availableReplicas"]) is settled


def test_service_that_never_rests_is_shown_nevertheless() -> None:
    facts = look(Server(*((str(number), 2, 2) for number in range(99))))

    assert facts.settled


def test_counts_that_may_not_be_read_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise ForbiddenError("no")

    server = Server(("1", 2, 2))
    monkeypatch.setattr(server, "list_children", refuse)
    facts = look(server)

    assert facts.deployments is None
    assert facts.settled
    assert server.reads == 2
