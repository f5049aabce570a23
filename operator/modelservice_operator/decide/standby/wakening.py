"""What becomes of a service that sleeps when its spec does not let it sleep any more. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.decide.autoscaling.beginning import Beginning, is_written_by_hand
from modelservice_operator.decide.standby.read import may_sleep

if TYPE_CHECKING:
    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.facts.observed import Observed


def find_wakening(spec: ModelServiceSpec, observed: Observed) -> Beginning | None:
    """Return the number of pods to record in `spec.replicas`, None where nothing has to be woken.

    The 0 there was the autoscaler's, not a person's who switches the service off: it has to go with the leave
    to sleep, for nothing wakes a service that may not.
    """
    slept = (observed.service.get("status") or {}).get("autoscaling") or {}
    if spec.replicas or may_sleep(observed.service) or not slept.get("standbySince"):
        return None
    if is_written_by_hand(observed.service["metadata"]):
        return None
    return Beginning(max(1, spec.autoscaling.min_replicas if spec.autoscaling else 1), is_certain=True)
