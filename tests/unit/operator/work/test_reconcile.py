"""When the next reconciliation of a service is due, and that others have their turn meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from modelservice_operator.cache.workqueue import Key, WorkQueue
from modelservice_operator.decide.decision import Decision
from modelservice_operator.work.reconcile import DONE, Outcome, outcome_of, work
from modelservice_operator.work.writes.write import Applied


@pytest.mark.parametrize(
    ("written", "due"),
    [(set(), 7.0), ({"Deployment"}, 7.0), ({"Service"}, 0.0), ({"Deployment", "Service"}, 0.0)],
)
def test_outcome_after_leading_clients_elsewhere_is_to_look_again_at_once(
    written: set[str], due: float
) -> None:
    outcome = outcome_of(Decision(), Applied(written=frozenset(written)), 7.0)

    assert outcome.requeue_after_seconds == due


def test_outcome_where_nothing_is_due_is_to_wait_for_an_event() -> None:
    assert outcome_of(Decision(), Applied(), None).requeue_after_seconds is None


class AtRest:
    """Services that need nothing: no call of the API server lets others have their turn."""

    def __init__(self) -> None:
        self.seen: list[Key] = []

    async def reconcile(self, key: Key) -> Outcome:
        self.seen.append(key)
        return DONE


async def test_work_leaves_the_event_loop_to_others_after_every_service() -> None:
    queue, services = WorkQueue(), AtRest()
    for number in range(100):
        queue.add(Key("mail", f"m{number}"))
    worker = asyncio.create_task(work(queue, services))
    turns = 0
    while len(queue) > 0:
        await asyncio.sleep(0)
        turns += 1
    worker.cancel()
    assert turns >= 99
