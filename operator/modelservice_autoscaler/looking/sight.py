"""What whoever looks at services sees with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_autoscaler.looking.pods import PodClient
    from modelservice_autoscaler.watching.endpoints import Endpoints
    from modelservice_autoscaler.watching.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Where services and their pods are, and how they are asked."""

    services: Services
    endpoints: Endpoints
    pods: PodClient
    clock: Callable[[], float]
    """Monotonic seconds."""
