"""When the next reconciliation of a service is due."""

from __future__ import annotations

import pytest

from modelservice_operator.decide.decision import Decision
from modelservice_operator.work.reconcile import outcome_of
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
