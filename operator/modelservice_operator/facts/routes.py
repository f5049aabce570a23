"""What a route tells gateways, as a plain value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePlan:
    """What gateways shall be told, or are.

    `weights` are percentages by revision, None where routes lead to the Service. `shown` is the revision that
    testers and copies of requests go to.
    """

    weights: Mapping[str, int] | None = None
    shown: str | None = None
