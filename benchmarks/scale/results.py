"""What was measured; what was not, or failed, is None."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.scale.edits import Latencies


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


@dataclass(kw_only=True)
class EditRow:
    """One kind of edit at one rate. Times are milliseconds."""

    kind: str
    rate: float
    reached: float
    plain_p50: float
    plain_p99: float
    deployment_p50: float
    deployment_p99: float
    status_p50: float
    status_p99: float
    calls: float
    cpu_ms: float
    plane_cpu_ms: float | None
    """Of the whole control plane, for one edit; not known of a cluster that was not started for this."""
    busy_percent: float
    """Of the machine's cores, until the last edit was seen."""
    rss_mib: float


@dataclass(kw_only=True)
class FillRow:
    """How services were made, by a control plane that has as few cores as the rest."""

    made: int
    per_second: float


@dataclass(kw_only=True)
class StartRow:
    """An operator that comes up, or takes over from one that was killed. Seconds."""

    first_seconds: float
    """Until everything is read; of one that takes over, until it leads."""
    looked_seconds: float
    """Until every service was decided on."""
    writes: float
    rss_mib: float


@dataclass(kw_only=True)
class RestRow:
    """What goes on while nothing changes."""

    writes: float
    calls_per_second: float
    cpu_percent: float


@dataclass(kw_only=True)
class WaveRow:
    """An image that goes through members in waves."""

    members: int
    most_concurrent: int
    """What was allowed."""
    most_moving: int
    """What a watch saw, of services whose target was not their stable revision."""
    seconds: float
    writes: float
    """Of the operator, for each member; Events and Leases are not in them."""
    calls: float
    cpu_ms: float


@dataclass(kw_only=True)
class EditTimes:
    """Milliseconds until a watch delivered the Deployment of an edit, and those of a ConfigMap's patch."""

    deployment_p50: float
    deployment_p99: float
    plain_p50: float
    plain_p99: float

    @classmethod
    def of(cls, seen: Latencies) -> EditTimes:
        """Of all edits."""
        return cls(
            deployment_p50=percentile(seen.deployment, 50),
            deployment_p99=percentile(seen.deployment, 99),
            plain_p50=percentile(seen.plain, 50),
            plain_p99=percentile(seen.plain, 99),
        )

    def __str__(self) -> str:
        return (
            f"{self.deployment_p50:.0f} / {self.deployment_p99:.0f} ms "
            f"(ConfigMap {self.plain_p50:.0f} / {self.plain_p99:.0f})"
        )


@dataclass(kw_only=True)
class TenantRow:
    """Edits of a small tenant beside a large one."""

    rest: EditTimes
    """All others are at rest."""
    due: EditTimes
    """Every service of the large one is due at the operator, again and again."""
    reconciles: float
    """Of everybody, meanwhile."""


@dataclass(kw_only=True)
class Result:
    """What came of one number of services."""

    services: int
    fill: FillRow | None = None
    rest: RestRow | None = None
    cold: StartRow | None = None
    failover: StartRow | None = None
    edits: list[EditRow] = field(default_factory=list)
    wave: WaveRow | None = None
    tenants: TenantRow | None = None
    failed: dict[str, str] = field(default_factory=dict)
    """Scenarios that came to no end, and why."""
