"""ModelService: one model behind one Service."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from modelservice_operator.api.spec.accelerator import CudaSpec, Switch, TensorRtSpec
from modelservice_operator.api.spec.access import TLS_RULE, AuthSpec, TlsSpec
from modelservice_operator.api.spec.autoscaling import (
    GPU_RULE,
    SIGNALS_OF_TEXTS_RULE,
    Autoscaling,
    utilization_needs_request,
)
from modelservice_operator.api.spec.explainer import EXPLAINER_RULE, ExplainerSpec
from modelservice_operator.api.spec.generation import Generation
from modelservice_operator.api.spec.gpu import GpuSpec
from modelservice_operator.api.spec.metadata import ChildMetadata, PodMetadata
from modelservice_operator.api.spec.model import ENGINES_RULE, ModelSpec
from modelservice_operator.api.spec.network import NetworkPolicySpec
from modelservice_operator.api.spec.providers import PROVIDER_RULES
from modelservice_operator.api.spec.resources import ExecutionProviders, IntraOpThreads, Resources
from modelservice_operator.api.spec.rollout import METRICS_OF_TEXTS_RULE, Rollout
from modelservice_operator.api.spec.route import CANDIDATE_RULE, Route
from modelservice_operator.api.spec.server import EnvVar, ServerSpec
from modelservice_operator.api.types.base import (
    ApiModel,
    NoneIfBlank,
    NoneIfEmpty,
    ObjectName,
    OptionalObjectName,
    between,
    list_map,
    unique_by,
)
from modelservice_operator.api.types.kubernetes import (
    Affinity,
    NodeLabels,
    ObjectMeta,
    PullSecrets,
    Toleration,
)
from modelservice_operator.api.types.rules import Rule


class RuntimeSpec(ApiModel):
    """Which runtime serves it, and how."""

    ref: ObjectName | None = None
    """A ModelRuntime. Default: the one annotated modelservice.dev/is-default-runtime: "true"."""
    execution_providers: ExecutionProviders | None = None
    """ONNX Runtime's execution providers, best first. [CUDA] fails without a working GPU, [CUDA, CPU] allows
    a slow fallback. The image must bring them. Default: CUDA with spec.gpu (MIGraphX on AMD's, OpenVINO on
    Intel's), else CPU."""
    pin: Switch = False
    """Whether RuntimeRollouts leave it alone. Default: false."""
    intra_op_threads: IntraOpThreads | None = None
    """Threads that work on one inference. Default: the CPU limit, else the CPU request, rounded up."""
    cuda: CudaSpec | None = None
    """Options of the CUDA execution provider, also where TensorRT brings it."""
    tensorrt: TensorRtSpec | None = None
    """Options of the TensorRT execution provider."""

    rules = (
        Rule(
            cel="!has(self.cuda) || !has(self.executionProviders) || self.executionProviders[0] != 'CPU'",
            message="nothing would run on CUDA: add CUDA to executionProviders, or leave cuda out",
            check=lambda self: self.cuda is None or (self.execution_providers or ("CUDA",))[0] != "CPU",
            field_path=".cuda",
        ),
        Rule(
            cel=(
                "!has(self.tensorrt) || "
                "(has(self.executionProviders) && 'TensorRT' in self.executionProviders)"
            ),
            message="nothing would run on TensorRT: add it to executionProviders, or leave tensorrt out",
            check=lambda self: self.tensorrt is None or "TensorRT" in (self.execution_providers or ()),
            field_path=".tensorrt",
        ),
    )


class Scheduling(ApiModel):
    """On which nodes the pods run."""

    node_selector: NodeLabels = Field(default_factory=dict)
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = ()
    """Taints that the pods tolerate. The GPU's own taint is tolerated without being listed."""
    affinity: Annotated[Affinity | None, NoneIfEmpty] = None
    """Affinity to nodes and to other pods, as in Kubernetes."""
    priority_class_name: Annotated[OptionalObjectName | None, NoneIfBlank] = None
    """A PriorityClass."""
    topology_spread: Literal["Preferred", "Required", "Disabled"] = "Preferred"
    """Whether the pods spread over zones and nodes. Default: Preferred."""


class Batching(ApiModel):
    """Joins requests that wait at the same time into one inference."""

    max_batch_size: Annotated[int, between(1, 4096)]
    """The most rows of one inference."""
    max_delay_milliseconds: Annotated[int, between(0, 60_000)] = 0
    """How long the first request waits for others. Default: 0, join only what waits anyway."""
    rows_are_independent: Switch = False
    """Your word that no row's answer depends on the others, for a model whose graph does not prove it. It is
    still checked by running. Default: false, only models with a proof are batched."""


class ModelServiceSpec(ApiModel):
    """What a user wants."""

    model: ModelSpec
    """Which model is served."""
    runtime: RuntimeSpec = RuntimeSpec()
    """Which runtime serves it, and how."""
    replicas: Annotated[int, between(0, 10_000), Field(json_schema_extra={"default": 1})] = 1
    """How many pods. With autoscaling leave it out: the autoscaler writes it.
    0: switched off; with autoscaling.minReplicas 0: asleep."""
    resources: Annotated[Resources | None, NoneIfEmpty] = None
    """CPU and memory of the server's container. Default: those of the ModelRuntime."""
    gpu: GpuSpec | None = None
    """GPUs for each pod."""
    scheduling: Scheduling = Scheduling()
    """On which nodes the pods run."""
    pod_metadata: PodMetadata = PodMetadata()
    """Labels and annotations for the pods."""
    child_metadata: ChildMetadata = ChildMetadata()
    """Labels and annotations for Deployments, Services and the other objects. A change restarts nothing."""
    image_pull_secrets: PullSecrets = ()
    """Secrets of the same namespace with registry credentials; those of the ModelRuntime are added."""
    service_account_name: Annotated[OptionalObjectName | None, NoneIfBlank] = None
    """A ServiceAccount, for cloud workload identity: s3:// (Amazon EKS), gs:// (GKE) and
    az:// (Azure) are fetched as it.
    Default: one of our own, without a token."""
    termination_grace_period_seconds: Annotated[int, between(1, 3600)] = 60
    """How long a pod may take to finish its requests. Default: 60."""
    autoscaling: Autoscaling | None = None
    """Replicas follow signals, down to none where nobody asks."""
    server: Annotated[ServerSpec | None, NoneIfEmpty] = None
    """Options of the server."""
    env: Annotated[tuple[EnvVar, ...], list_map("name", 32), unique_by("name")] = ()
    """Variables of the server's and the fetcher's environment, from a short list."""
    network_policy: Annotated[NetworkPolicySpec | None, NoneIfEmpty] = None
    """Who may reach the pods, where the network plug-in enforces policies."""
    auth: AuthSpec | None = None
    """What clients have to show. Default: nothing, everybody may ask who reaches the pods."""
    tls: TlsSpec | None = None
    """TLS from the client to the server. Default: none."""
    batching: Batching | None = None
    """Joins waiting requests into one inference."""
    generation: Generation | None = None
    """The model generates text, with an API as OpenAI's; {} takes the defaults."""
    rollout: Rollout = Rollout()
    """How a new revision replaces the old one."""
    route: Route | None = None
    """How requests get to it from outside the cluster."""
    explainer: ExplainerSpec | None = None
    """Pods beside the model's that say why it answers as it does."""

    rules = (
        *PROVIDER_RULES,
        utilization_needs_request("CPU"),
        utilization_needs_request("Memory"),
        GPU_RULE,
        SIGNALS_OF_TEXTS_RULE,
        METRICS_OF_TEXTS_RULE,
        CANDIDATE_RULE,
        TLS_RULE,
        ENGINES_RULE,
        EXPLAINER_RULE,
    )


_SERVICE_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"


def is_service_name(name: str) -> bool:
    """Return whether a ModelService may have this name: an RFC 1035 label of at most 52 characters.

    A Deployment's name adds `-` and a revision of ten characters, and must stay a label (63).
    """
    return len(name) <= 52 and re.fullmatch(_SERVICE_NAME, name) is not None


SERVICE_NAME_RULE = Rule(
    cel=f"self.metadata.name.size() <= 52 && self.metadata.name.matches('^{_SERVICE_NAME}$')",
    message=(
        "expected a name of at most 52 characters: lower-case letters, digits and '-', beginning "
        "with a letter and ending with a letter or digit (child objects add a suffix to it)"
    ),
    check=is_service_name,
    field_path=".name",
)
PODS_NAME_RULE = Rule(
    cel="!self.metadata.name.endsWith('-pods')",
    message=(
        "expected a name that does not end in '-pods': the Service NAME-pods leads to the pods of the "
        "ModelService NAME"
    ),
    check=lambda name: not name.endswith("-pods"),
    field_path=".name",
    spares_stored=True,
    stored_cel="true",
)
ADAPTERS_RULE = Rule(
    cel=(
        "!has(self.spec.generation) || !has(self.spec.generation.adapters) || "
        "!self.spec.generation.adapters.exists(one, "
        "one.name == (has(self.spec.model.name) ? self.spec.model.name : self.metadata.name))"
    ),
    message=(
        "an adapter has the model's name, which is the ModelService's own where spec.model.name says no "
        "other: give it another one"
    ),
    check=lambda self: (
        self.spec.generation is None
        or all(
            one.name != (self.spec.model.name or self.metadata.name) for one in self.spec.generation.adapters
        )
    ),
    field_path=".spec.generation.adapters",
)
NAME_RULES = (SERVICE_NAME_RULE, PODS_NAME_RULE)
"""Rules of `metadata.name`; in a CRD they are possible only at the root of the schema."""


def _with_service_name(metadata: ObjectMeta, info: ValidationInfo) -> ObjectMeta:
    broken = [
        (rule.field_path, rule.sentence(metadata.name))
        for rule in NAME_RULES
        if rule.applies(info) and not rule.check(metadata.name)
    ]
    if broken:
        raise PydanticCustomError("rules", "{broken}", {"broken": broken})
    return metadata


class ModelService(ApiModel):
    """Serves one model behind one Service; it can be scaled, autoscaled and rolled out."""

    metadata: Annotated[ObjectMeta, AfterValidator(_with_service_name)]
    spec: ModelServiceSpec

    rules = (ADAPTERS_RULE,)
