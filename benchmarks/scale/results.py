"""What was measured; what was not, or failed, is None."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class Result:
    """What came of one number of services."""

    services: int
    fill: FillRow | None = None
    rest: RestRow | None = None
    cold: StartRow | None = None
    failover: StartRow | None = None
    edits: list[EditRow] = field(default_factory=list)
    wave: WaveRow | None = None
    failed: dict[str, str] = field(default_factory=dict)
    """Scenarios that came to no end, and why."""
