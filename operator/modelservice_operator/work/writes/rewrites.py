"""What admission makes of the objects that are applied: told once, and not fought.

A mutating webhook or policy may change every Deployment that is written, and will change it again. What came
of an apply counts as what was wanted, until something else changes it or the intent changes. This only saves
calls: a new process applies once more and learns the same.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelservice_operator import metrics
from modelservice_operator.facts.fields.canonical import canonicalise, project_managed
from modelservice_operator.facts.fields.differences import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelservice_operator.facts.observed import Child

log = logging.getLogger(__name__)

ACCEPTED_SECONDS = 600.0
"""After this time the next reconciliation applies again: the webhook may be gone."""
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """What came of one apply."""

    intended: str
    found: str
    fields: tuple[str, ...]
    noted_at: float


class Rewrites:
    """Remembers, by UID, what the API server answered where that was not what was sent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Rewrite] = OrderedDict()

    def accepts(self, child: Child, intended: str) -> bool:
        """Whether the object is what admission made of this very intent, a short time ago."""
        known = self._known.get(child.uid)
        return (
            known is not None
            and (known.intended, known.found) == (intended, child.fingerprint)
            and self._clock() - known.noted_at < ACCEPTED_SECONDS
        )

    def note(self, child: Child, intended: str, body: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Look at the answer of an apply of `body`; `child` is what was read of it."""
        known = self._known.pop(child.uid, None)
        if child.fingerprint == intended:
            return
        metrics.UNCONVERGED.labels(child.kind).inc()
        fields = differences(canonicalise(body), canonicalise(project_managed(answer)))
        self._known[child.uid] = _Rewrite(intended, child.fingerprint, fields, self._clock())
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if known is None or known.fields != fields:
            log.warning(
                "admission changed what was applied: %s",
                ", ".join(fields),
                extra={"kind": child.kind, "namespace": child.namespace, "child": child.name},
            )
