"""`status.autoscaling` as far as it is about sleep: who leads since when, and the last cold start. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.explain.cold_start import complete, measure
from modelservice_operator.facts.text.times import format_precise

if TYPE_CHECKING:
    from datetime import datetime

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.observed import Observed

FIELDS = ("standbySince", "wokenAt", "cannotSleep", "coldStart")


def standby_status(observed: Observed, decision: Decision) -> dict[str, Any]:
    """Return the fields of `status.autoscaling` about sleep; where nothing can be decided they stay."""
    known = (observed.service.get("status") or {}).get("autoscaling") or {}
    switch = decision.standby
    if switch is None:
        return {name: known[name] for name in FIELDS if name in known}
    is_scaled = decision.service is None or decision.service.spec.autoscaling is not None
    status = {
        "standbySince": _format(switch.standby_since),
        "wokenAt": _format(switch.woken_at),
        "cannotSleep": switch.problem if switch.phase != "Asleep" else None,
        "coldStart": _cold_start(observed, known, is_over=switch.woken_at is None) if is_scaled else None,
    }
    return {name: value for name, value in status.items() if value is not None}


def _cold_start(observed: Observed, known: dict[str, Any], *, is_over: bool) -> dict[str, Any] | None:
    """Return the last start from zero: the one that has just ended, else the one that is recorded."""
    led, last = observed.surroundings.led, known.get("coldStart")
    started = measure(str(known["wokenAt"]), led) if is_over and led and known.get("wokenAt") else None
    if started is not None:
        return started
    return complete(last, observed.pods or (), observed.pod_reports) if last else None


def _format(time: datetime | None) -> str | None:
    return format_precise(time) if time is not None else None
