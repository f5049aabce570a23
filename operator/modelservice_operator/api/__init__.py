"""The API `modelservice.dev` as typed objects: the source of the CRDs and of the reference pages.

Everything that reads or writes a ModelService may import this package; it imports pydantic and `facts`
only, so the command line can use it without a cluster. `parse_*` is the only place where a raw spec is read.
"""

from modelservice_operator.api.canonical import to_canonical
from modelservice_operator.api.errors import InvalidSpec, Problem
from modelservice_operator.api.fleet_status import RuntimeRolloutStatus
from modelservice_operator.api.modelruntime import ModelRuntime, ModelRuntimeSpec
from modelservice_operator.api.modelservice import (
    Batching,
    ModelService,
    ModelServiceSpec,
    RuntimeSpec,
    Scheduling,
)
from modelservice_operator.api.parse import (
    parse_model_runtime,
    parse_model_service,
    parse_network_policy,
    parse_part,
    parse_runtime_rollout,
    unknown_fields,
)
from modelservice_operator.api.runtimerollout import (
    MaintenanceWindow,
    MemberSelector,
    RolloutTarget,
    RuntimeRollout,
    RuntimeRolloutSpec,
    Wave,
)
from modelservice_operator.api.spec.access import AuthSpec, TlsSpec
from modelservice_operator.api.spec.analysis import Analysis, AnalysisMetric, PrometheusSource
from modelservice_operator.api.spec.autoscaling import Autoscaling, Metric, MetricTarget
from modelservice_operator.api.spec.evaluation import Evaluation, EvaluationData
from modelservice_operator.api.spec.explainer import ExplainerSpec
from modelservice_operator.api.spec.generation import Adapter, Generation
from modelservice_operator.api.spec.gpu import DeviceClaim, GpuSpec
from modelservice_operator.api.spec.metadata import ChildMetadata, PodMetadata
from modelservice_operator.api.spec.model import Credentials, ModelSpec, Samples
from modelservice_operator.api.spec.network import STRICT_NETWORK_POLICY, NetworkPeer, NetworkPolicySpec
from modelservice_operator.api.spec.resources import Resources
from modelservice_operator.api.spec.rollout import BlueGreen, Canary, CanaryStep, Pause, Rollout
from modelservice_operator.api.spec.route import HeaderMatch, Ingress, ParentRef, Route
from modelservice_operator.api.spec.server import EnvVar, ServerSpec
from modelservice_operator.api.status import Condition, ModelServiceStatus, TrafficShare
from modelservice_operator.api.types.kubernetes import (
    Affinity,
    LocalObjectReference,
    ObjectMeta,
    ScalingBehavior,
    Toleration,
)
from modelservice_operator.facts.text.quantity import canonical_quantity, parse_quantity

__all__ = [
    "STRICT_NETWORK_POLICY",
    "Adapter",
    "Affinity",
    "Analysis",
    "AnalysisMetric",
    "AuthSpec",
    "Autoscaling",
    "Batching",
    "BlueGreen",
    "Canary",
    "CanaryStep",
    "ChildMetadata",
    "Condition",
    "Credentials",
    "DeviceClaim",
    "EnvVar",
    "Evaluation",
    "EvaluationData",
    "ExplainerSpec",
    "Generation",
    "GpuSpec",
    "HeaderMatch",
    "Ingress",
    "InvalidSpec",
    "LocalObjectReference",
    "MaintenanceWindow",
    "MemberSelector",
    "Metric",
    "MetricTarget",
    "ModelRuntime",
    "ModelRuntimeSpec",
    "ModelService",
    "ModelServiceSpec",
    "ModelServiceStatus",
    "ModelSpec",
    "NetworkPeer",
    "NetworkPolicySpec",
    "ObjectMeta",
    "ParentRef",
    "Pause",
    "PodMetadata",
    "Problem",
    "PrometheusSource",
    "Resources",
    "Rollout",
    "RolloutTarget",
    "Route",
    "RuntimeRollout",
    "RuntimeRolloutSpec",
    "RuntimeRolloutStatus",
    "RuntimeSpec",
    "Samples",
    "ScalingBehavior",
    "Scheduling",
    "ServerSpec",
    "TlsSpec",
    "Toleration",
    "TrafficShare",
    "Wave",
    "canonical_quantity",
    "parse_model_runtime",
    "parse_model_service",
    "parse_network_policy",
    "parse_part",
    "parse_quantity",
    "parse_runtime_rollout",
    "to_canonical",
    "unknown_fields",
]
