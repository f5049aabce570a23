"""Kubernetes' own types that appear inside ours, with Kubernetes' field names and rules."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import (
    ATOMIC_MAP,
    LABEL_KEYS,
    LABEL_VALUES,
    QUALIFIED_NAME,
    ApiModel,
    LabelValue,
    ObjectName,
    Quantity,
    between,
    limited,
    list_map,
    unique_by,
)
from modelservice_operator.api.types.rules import Rule, must_match


class ObjectMeta(ApiModel):
    """The part of an object's metadata that the operator and the command line read."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class LocalObjectReference(ApiModel):
    """An object of the same namespace."""

    name: ObjectName
    """Its name."""


_TAINT_KEY = must_match(f"({QUALIFIED_NAME})?", "expected a taint's key such as spot or nvidia.com/gpu")


class Toleration(ApiModel):
    """Lets pods run on nodes with a matching taint."""

    key: Annotated[str, limited(317), _TAINT_KEY] | None = None
    """The taint's key; without it, with operator Exists, every taint is tolerated."""
    operator: Literal["Equal", "Exists"] | None = None
    """How key and value are compared. Default: Equal."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; without it, every effect is tolerated."""
    toleration_seconds: Annotated[int, between(-1, 2**53)] | None = None
    """How long a NoExecute taint is tolerated; without it, for ever."""

    rules = (
        Rule(
            cel="(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
            message="a toleration without a key needs operator: Exists (it then tolerates every taint)",
            check=lambda self: bool(self.key) or self.operator == "Exists",
        ),
        Rule(
            cel="!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            message="operator Exists takes no value: remove it, or use operator: Equal",
            check=lambda self: self.operator != "Exists" or not self.value,
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            message="tolerationSeconds needs effect: NoExecute",
            check=lambda self: self.toleration_seconds is None or self.effect == "NoExecute",
        ),
    )


# Keys and values of affinities are bounded, but their characters are left to the API server, which checks
# them in the pod template: rules at this depth exceed its budget for CEL, four times over.
_Key = Annotated[str, Field(min_length=1, max_length=317)]
_Value = Annotated[str, limited(63)]
_Values = Annotated[tuple[_Value, ...], Field(max_length=64)]


def _needs_values(operators: str) -> Rule:
    return Rule(
        cel=f"(self.operator in [{operators}]) == (has(self.values) && size(self.values) > 0)",
        message=f"operators {operators.replace(chr(39), '')} need values, the others take none",
        check=lambda self: (f"'{self.operator}'" in operators) == bool(self.values),
    )


class NodeSelectorRequirement(ApiModel):
    """A condition on a node's labels or fields."""

    key: _Key
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How it is compared."""
    values: _Values | None = None
    """What it is compared with."""

    rules = (_needs_values("'In', 'NotIn', 'Gt', 'Lt'"),)


class NodeSelectorTerm(ApiModel):
    """Conditions that must all hold."""

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=32)] | None = None
    """Conditions on labels."""
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=8)] | None = None
    """Conditions on fields, such as metadata.name."""


class NodeSelector(ApiModel):
    """Terms of which one must hold."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=16)]
    """The terms."""


class PreferredSchedulingTerm(ApiModel):
    """A preferred kind of node."""

    weight: Annotated[int, between(1, 100)]
    """How much it counts."""
    preference: NodeSelectorTerm
    """The nodes."""


class NodeAffinity(ApiModel):
    """Which nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[tuple[PreferredSchedulingTerm, ...], Field(max_length=16)] | None
    ) = None
    """What should hold."""


class LabelSelectorRequirement(ApiModel):
    """A condition on labels."""

    key: _Key
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How it is compared."""
    values: _Values | None = None
    """What it is compared with."""

    rules = (_needs_values("'In', 'NotIn'"),)


class LabelSelector(ApiModel):
    """Conditions on labels that must all hold; an empty one matches everything."""

    match_labels: Annotated[dict[str, _Value], Field(max_length=64)] | None = None
    """Labels with exactly these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=32)] | None = None
    """Conditions."""


class PodAffinityTerm(ApiModel):
    """Pods near which, or away from which, ours should run."""

    topology_key: _Key
    """The node label that says what "near" is, such as topology.kubernetes.io/zone."""
    label_selector: LabelSelector | None = None
    """The other pods."""
    namespaces: Annotated[tuple[_Value, ...], Field(max_length=16)] | None = None
    """Their namespaces; without it, ours."""
    namespace_selector: LabelSelector | None = None
    """Their namespaces, by label; an empty selector is all of them."""


class WeightedPodAffinityTerm(ApiModel):
    """A preference."""

    weight: Annotated[int, between(1, 100)]
    """How much it counts."""
    pod_affinity_term: PodAffinityTerm
    """The pods."""


class PodAffinity(ApiModel):
    """Near to, or away from, which pods."""

    required_during_scheduling_ignored_during_execution: (
        Annotated[tuple[PodAffinityTerm, ...], Field(max_length=16)] | None
    ) = None
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[tuple[WeightedPodAffinityTerm, ...], Field(max_length=16)] | None
    ) = None
    """What should hold."""


class Affinity(ApiModel):
    """A pod's affinity, as in Kubernetes."""

    node_affinity: NodeAffinity | None = None
    """Which nodes."""
    pod_affinity: PodAffinity | None = None
    """Near which pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Away from which pods."""


class ScalingPolicy(ApiModel):
    """How much may change in how long."""

    type: Literal["Pods", "Percent"]
    """What `value` counts."""
    value: Annotated[int, between(1, 10_000)]
    """The largest change."""
    period_seconds: Annotated[int, between(1, 1800)]
    """In this time."""


class ScalingRules(ApiModel):
    """How fast to scale in one direction."""

    stabilization_window_seconds: Annotated[int, between(0, 3600)] | None = None
    """How far back recommendations are looked at. Default: 0 up, 300 down."""
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    """Which policy counts. Default: Max."""
    policies: Annotated[tuple[ScalingPolicy, ...], Field(max_length=16)] | None = None
    """The policies. Default: up 4 pods or 100 % in 15 s, down 100 % in 15 s."""
    tolerance: Quantity | None = None
    """By which part of its target a metric may be off and change nothing, such as 50m. Default: 100m."""


class ScalingBehavior(ApiModel):
    """A HorizontalPodAutoscaler's behavior, as in Kubernetes."""

    scale_up: ScalingRules | None = None
    """Upwards."""
    scale_down: ScalingRules | None = None
    """Downwards."""


NodeLabels = Annotated[
    dict[str, Annotated[str, limited(63)]],
    Field(max_length=32, json_schema_extra=ATOMIC_MAP),
    LABEL_KEYS,
    LABEL_VALUES,
    QUALIFIED_NAME,
]
"""Labels that a node must have."""

PullSecrets = Annotated[tuple[LocalObjectReference, ...], list_map("name", 16), unique_by("name")]
"""Secrets of the same namespace with registry credentials."""
