"""The part of a ModelService's status that tells how the number of pods is steered."""

from typing import Annotated, Literal

from modelservice_operator.api.types.base import ApiModel, limited
from modelservice_operator.api.types.figures import Count, Seconds, Time


class ColdStart(ApiModel):
    """How long a service took from its first replica wanted to its first pod ready, in seconds by phase."""

    time: Time
    """When the pod was ready."""
    total_seconds: Seconds
    """From the moment at which a replica was wanted."""
    schedule_seconds: Seconds | None = None
    """Until a node was found."""
    pull_seconds: Seconds | None = None
    """Until the images and volumes were there."""
    fetch_seconds: Seconds | None = None
    """Until the model's files were there."""
    load_seconds: Seconds | None = None
    """Until the model was loaded."""
    warm_seconds: Seconds | None = None
    """Until it was warmed up and the pod was ready."""


class PodRequests(ApiModel):
    """What a pod requests."""

    cpu: Annotated[str, limited(32)] | None = None
    """CPU."""
    memory: Annotated[str, limited(32)] | None = None
    """Memory."""


class AutoscalingStatus(ApiModel):
    """How replicas are steered; written by the operator."""

    engine: Literal["Builtin", "HPA", "Keda"] | None = None
    """Who decides."""
    pod_requests: PodRequests | None = None
    """What targets in percent are percentages of, where Builtin decides."""
    standby_since: Time | None = None
    """Since when the activator stands in for the pods."""
    woken_at: Time | None = None
    """When a replica was wanted again, until one is ready."""
    cannot_sleep: Annotated[str, limited(256)] | None = None
    """Why the last pod stays, also when nobody asks."""
    cold_start: ColdStart | None = None
    """The last start from zero."""


class ScalingDecision(ApiModel):
    """The last decision of modelservice-autoscaler; written by it alone."""

    time: Time
    """When."""
    replicas: Count
    """The number of pods before."""
    desired: Count
    """The number after."""
    message: Annotated[str, limited(512)] = ""
    """Why, such as `Concurrency 12.4 of 8 a pod: 2 -> 4`."""
    limit: Literal["MinReplicas", "MaxReplicas", "ScaleUpRate", "ScaleDownRate", "Stabilized"] | None = None
    """What kept it from going further."""
    missing: Annotated[str, limited(512)] | None = None
    """Data that it lacks, such as `2 of 4 pods do not answer`."""
