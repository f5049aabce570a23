"""What an analysis that goes on wants to have measured. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.facts.measured import MeasureRequest

if TYPE_CHECKING:
    from modelservice_operator.api import Analysis, Rollout
    from modelservice_operator.decide.change.wish import Wish
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.rollout.model import Plan


def running_analysis(rollout: Rollout, step: Plan) -> Analysis | None:
    """Return the analysis whose measurements the plan waits for: that of its step, else the last one."""
    if step.measures is None or step.progress is None or rollout.canary is None:
        return None
    if step.phase == "Complete":
        return rollout.last_analysis
    steps = rollout.canary.steps
    return steps[step.progress.index].analysis if step.progress.index < len(steps) else None


def request_of(wish: Wish, step: Plan, facts: Facts) -> MeasureRequest | None:
    """Return what to measure, None where nothing is."""
    analysis = running_analysis(wish.rollout, step)
    if analysis is None or step.measures is None or wish.target is None:
        return None
    prometheus = wish.rollout.prometheus
    return MeasureRequest(
        run=step.measures,
        candidate=wish.target.name,
        stable=facts.stable if facts.stable != wish.target.name else None,
        interval_seconds=analysis.interval_seconds,
        metrics=tuple((one.type, one.query) for one in analysis.metrics),
        prometheus_url=prometheus.url if prometheus else None,
    )
