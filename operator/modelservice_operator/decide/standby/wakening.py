"""What becomes of a service that sleeps when it may not, or cannot, sleep any more. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.decide.autoscaling.beginning import Beginning, is_written_by_hand
from modelservice_operator.decide.standby.read import may_sleep

if TYPE_CHECKING:
    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.decide.standby.switch import Switch
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


def find_another_than_0(switch: Switch, wanted: int | None, observed: Observed) -> Beginning | None:
    """Return the number to record where none was wanted and one runs all the same, None for no other.

    Engines take 0 for a service that sleeps, and leave it alone however much it has to do.
    """
    is_ours = switch.is_sleepless and not is_written_by_hand(observed.service["metadata"])
    return Beginning(1, is_certain=True) if wanted == 0 and is_ours else None
