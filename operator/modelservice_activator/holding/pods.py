"""Which pod gets the next request: of those that are ready, one that has the fewest of ours."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelservice_activator.watching.services import Address

SHUN_SECONDS = 0.5
"""How long a pod is left alone that could not be reached; its slice will soon say more."""


class Pods:
    """The pods of one service, as far as we use them."""

    def __init__(self, per_pod: int) -> None:
        self._per_pod = per_pod
        self._in_flight: Counter[str] = Counter()
        self._shunned_until: dict[str, float] = {}

    def are_unused(self, now: float) -> bool:
        """Whether there is nothing to remember."""
        return not self._in_flight and not any(until > now for until in self._shunned_until.values())

    def choose(self, ready: Iterable[Address], now: float) -> Address | None:
        """Return the pod for a request and count it there; None where all are full, or there is none."""
        self._shunned_until = {pod: until for pod, until in self._shunned_until.items() if until > now}
        fitting = [
            address
            for address in ready
            if address[0] not in self._shunned_until and self._in_flight[address[0]] < self._per_pod
        ]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda one: (self._in_flight[one[0]], random.random()))  # noqa: S311
        self._in_flight[chosen[0]] += 1
        return chosen

    def release(self, address: Address) -> None:
        """A request that was counted there has ended."""
        self._in_flight[address[0]] -= 1
        if not self._in_flight[address[0]]:
            del self._in_flight[address[0]]

    def shun(self, address: Address, now: float) -> None:
        """Leave a pod alone for a moment."""
        self._shunned_until[address[0]] = now + SHUN_SECONDS
