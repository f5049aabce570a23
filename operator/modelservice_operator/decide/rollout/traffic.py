"""Weights as pods and a selector: the one place that knows how a share of the traffic is made.

kube-proxy spreads connections over the pods that a Service selects, so a weight is a ratio of pods. What is
to get no traffic at all is left out of the selector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.rollout.model import RolloutState


class Reach(NamedTuple):
    """Whom clients find, with the selector that is there and with the one that is to come."""

    observed: RolloutState
    selector: str | None

    def counts(self, name: str) -> bool:
        """Whether pods of the revision answer clients whatever selector they are led by."""
        return self.observed.all_lead_to(name) and self._will_lead_to(name)

    def is_free(self, name: str) -> bool:
        """Whether no client can be led to the revision, now or soon."""
        return not self.observed.leads_to(name) and not self._will_lead_to(name)

    def serving(self) -> int:
        """Return the pods that answer clients whatever selector they are led by."""
        return sum(one.serving for one in self.observed.revisions if self.counts(one.name))

    def _will_lead_to(self, name: str) -> bool:
        return not self.observed.has_service or self.selector in (None, name)


def split(replicas: int, weight: int, surge: int, *, is_routed: bool = False) -> tuple[int, int]:
    """Return (pods of stable, pods of the target) that are closest to the weight.

    Ties go to the target; between 1 and 99 percent each has at least one. One pod cannot be shared: beside it
    comes a second one where there may be one more (`surge`), else one of them has it. Where gateways split
    requests (`is_routed`) nothing hangs on the ratio: each has enough for its part, with one more in all.
    """
    if weight in (0, 100) or replicas == 0:
        target = replicas if weight == 100 else 0
        return replicas - target, target
    if replicas == 1 and surge:
        return 1, 1
    if is_routed and surge:
        return -(-replicas * (100 - weight) // 100), -(-replicas * weight // 100)
    nearest = (2 * replicas * weight + 100) // 200
    target = min(max(nearest, 1), replicas - 1) if replicas > 1 else nearest
    return replicas - target, target


def choose_selector(
    observed: RolloutState, wish: str | None, needed: int, *, may_stand_in: bool = True
) -> str | None:
    """Return the only revision to lead clients to, None for all.

    A wish waits while it would leave fewer than `needed` pods that answer, and fewer than there are now.
    Where the target is to be hidden meanwhile, another revision will do that can (`may_stand_in`): pods of
    stable are hidden then too, so that is no way to fill it up.
    """
    if wish is None or not observed.has_service:
        return wish
    found = [one for one in observed.revisions if observed.leads_to(one.name)]
    # One that is not settled may have pods that became available since: nobody has counted them yet.
    enough = min(needed, sum(one.serving if one.settled else one.wanted for one in found))
    if observed.state(wish).serving >= enough:
        return wish
    if not may_stand_in:
        return observed.selected
    others = {one.name: one.serving for one in found if one.serving >= enough and one.name != observed.target}
    return max(others, key=lambda name: others[name]) if others else observed.selected


def percentages(counts: Mapping[str, int]) -> dict[str, int]:
    """Return whole percentages that sum up to 100 (largest remainder); nothing where all counts are 0."""
    total = sum(counts.values())
    if total == 0:
        return {}
    shares = {name: count * 100 // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(counts[name] * 100 % total), name))
    for name in by_remainder[: 100 - sum(shares.values())]:
        shares[name] += 1
    return shares


def by_pods(observed: RolloutState, selector: str | None, fallback: str) -> dict[str, int]:
    """Return the weights that the pods which answer make; `fallback` where none answers."""
    counts = {
        one.name: one.serving for one in observed.revisions if one.serving and selector in (None, one.name)
    }
    return percentages(counts) or {fallback: 100}
