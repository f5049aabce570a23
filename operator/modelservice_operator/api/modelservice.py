"""ModelService: one model behind one Service."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from modelservice_operator.api.accelerator import CudaSpec, TensorRtSpec
from modelservice_operator.api.base import (
    LABEL_KEYS,
    LABEL_NAME,
    ApiModel,
    IntOrPercent,
    Labels,
    NoneIfBlank,
    NoneIfEmpty,
    ObjectName,
    OptionalObjectName,
    Quantity,
    between,
    limited,
    list_map,
    quantity_between,
    unique_by,
)
from modelservice_operator.api.kubernetes import (
    Affinity,
    NodeLabels,
    ObjectMeta,
    PullSecrets,
    ScalingBehavior,
    Toleration,
)
from modelservice_operator.api.resources import ExecutionProviders, GpuSpec, IntraOpThreads, Resources
from modelservice_operator.api.rules import Rule, keys_must_not_contain, must_match
from modelservice_operator.api.storage_uri import MOUNTED_SCHEMES, StorageUri

Sha256 = Annotated[
    str,
    Field(max_length=128),
    must_match("[0-9a-f]{64}", "expected 64 hexadecimal characters, lower case, as sha256sum prints them"),
]
ModelVersion = Annotated[
    str,
    Field(max_length=63),
    must_match(LABEL_NAME, "expected letters, digits, '-', '_' and '.', in quotes, such as \"3\""),
]


class Credentials(ApiModel):
    """Where the fetcher finds credentials."""

    secret_name: ObjectName
    """A Secret of the same namespace; only the fetcher sees it, as files."""


_MODEL_SIZE = quantity_between("maxSize", "max_size", "1", "1Pi", "from 1 byte to 1Pi, such as 10Gi")


class ModelCache(ApiModel):
    """A volume on which downloaded files are kept by digest, for all pods that mount it."""

    claim_name: ObjectName
    """A PersistentVolumeClaim of the same namespace: ReadWriteMany, or one on the node of all pods."""
    max_size: Quantity | None = None
    """The most bytes to keep; the longest unused files go first. Default: 50Gi."""
    fs_group: Annotated[int, between(1, 2_147_483_647)] | None = None
    """The group that owns the volume, where new volumes belong to root: such as 65532. Leave it out where
    the cluster chooses it, as OpenShift does."""

    rules = (_MODEL_SIZE,)


_MOUNTED_CEL = "(self.storageUri.startsWith('pvc://') || self.storageUri.startsWith('configmap://'))"


class ModelSpec(ApiModel):
    """Which model is served."""

    storage_uri: StorageUri
    """Where the model is: oci://, s3://, https://, http:// (with sha256), pvc:// or configmap://."""
    sha256: Sha256 | None = None
    """The SHA-256 of the model file. Another file is refused and the old revision serves on."""
    format: Literal["onnx"] = "onnx"
    """The model's format. Default: onnx."""
    version: ModelVersion | None = None
    """A label for clients and metrics; it selects nothing."""
    max_size: Quantity | None = None
    """The most bytes that are downloaded, such as 10Gi. Default: the operator's setting."""
    credentials: Credentials | None = None
    """Credentials for the download."""
    cache: ModelCache | None = None
    """Keeps downloads, so that many pods download once. Default: every pod downloads."""

    rules = (
        Rule(
            cel="!self.storageUri.startsWith('http://') || has(self.sha256)",
            message="http:// is not encrypted and needs spec.model.sha256: add it, or use https://",
            check=lambda self: not self.storage_uri.startswith("http://") or self.sha256 is not None,
            field_path=".storageUri",
        ),
        Rule(
            cel=f"!has(self.credentials) || !{_MOUNTED_CEL}",
            message="pvc:// and configmap:// are mounted, nothing is downloaded: remove credentials",
            check=lambda self: self.credentials is None or not self.storage_uri.startswith(MOUNTED_SCHEMES),
            field_path=".credentials",
        ),
        Rule(
            cel=f"!has(self.maxSize) || !{_MOUNTED_CEL}",
            message="pvc:// and configmap:// are mounted, nothing is downloaded: remove maxSize",
            check=lambda self: self.max_size is None or not self.storage_uri.startswith(MOUNTED_SCHEMES),
            field_path=".maxSize",
        ),
        _MODEL_SIZE,
        Rule(
            cel=(
                "!has(self.cache) || self.storageUri.startsWith('oci://') || "
                f"(has(self.sha256) && !{_MOUNTED_CEL})"
            ),
            message="only downloads of known digest are kept: use oci://, or add sha256, or leave cache out",
            check=lambda self: (
                self.cache is None
                or self.storage_uri.startswith("oci://")
                or (self.sha256 is not None and not self.storage_uri.startswith(MOUNTED_SCHEMES))
            ),
            field_path=".cache",
        ),
    )


class RuntimeSpec(ApiModel):
    """Which runtime serves it, and how."""

    ref: ObjectName | None = None
    """A ModelRuntime. Default: the one annotated modelservice.dev/is-default-runtime: "true"."""
    execution_providers: ExecutionProviders | None = None
    """ONNX Runtime's execution providers, best first. [CUDA] fails without a working GPU, [CUDA, CPU] allows
    a slow fallback. TensorRT needs an image that brings it. Default: CUDA with spec.gpu, else CPU."""
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


_RESERVED_KEY = r"^(([^/]*\.)?modelservice\.dev/|app\.kubernetes\.io/managed-by$|pod-template-hash$)"
_RESERVED_ANNOTATION = r"^(([^/]*\.)?modelservice\.dev/|prometheus\.io/(scrape|port|path|scheme)$)"


class PodMetadata(ApiModel):
    """Labels and annotations for the pods. The ModelService's own are never copied."""

    labels: Annotated[
        Labels,
        keys_must_not_contain(
            _RESERVED_KEY,
            "labels of modelservice.dev/, app.kubernetes.io/managed-by and pod-template-hash belong to "
            "the operator: choose other keys",
        ),
    ] = Field(default_factory=dict)
    """Labels."""
    annotations: Annotated[
        dict[str, Annotated[str, limited(4096)]],
        Field(max_length=64),
        LABEL_KEYS,
        keys_must_not_contain(
            _RESERVED_ANNOTATION,
            "annotations of modelservice.dev/ and prometheus.io/ are set by the operator: choose other keys",
        ),
    ] = Field(default_factory=dict)
    """Annotations."""


class MetricTarget(ApiModel):
    """The value that the autoscaler steers to: exactly one of the fields."""

    average_utilization: Annotated[int, between(1, 10_000)] | None = None
    """Percent of the request, averaged over the pods."""
    average_value: Quantity | None = None
    """An amount per pod, such as 500m or 1Gi."""

    rules = (
        Rule(
            cel="has(self.averageUtilization) != has(self.averageValue)",
            message="expected exactly one of averageUtilization and averageValue",
            check=lambda self: (self.average_utilization is None) != (self.average_value is None),
        ),
    )


class Metric(ApiModel):
    """What the autoscaler looks at."""

    type: Literal["CPU", "Memory"]
    """The pods' CPU or memory."""
    target: MetricTarget
    """The value to steer to."""


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler for the ModelService. Leave spec.replicas out: the autoscaler writes it."""

    min_replicas: Annotated[int, between(1, 10_000)] = 1
    """The fewest pods. Default: 1."""
    max_replicas: Annotated[int, between(1, 10_000)]
    """The most pods."""
    metrics: Annotated[tuple[Metric, ...], list_map("type", 2, minimum=1), unique_by("type")] = (
        Metric(type="CPU", target=MetricTarget(average_utilization=80)),
    )
    """What the autoscaler looks at, each type once. Default: CPU at 80 % of the request."""
    behavior: Annotated[ScalingBehavior | None, NoneIfEmpty] = None
    """How fast it scales, as in Kubernetes."""

    rules = (
        Rule(
            cel="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            message="minReplicas must not be above maxReplicas",
            check=lambda self: self.min_replicas <= self.max_replicas,
            field_path=".minReplicas",
        ),
    )


class Batching(ApiModel):
    """Joins requests that wait at the same time into one inference."""

    max_batch_size: Annotated[int, between(1, 4096)]
    """The most rows of one inference."""
    max_delay_milliseconds: Annotated[int, between(0, 60_000)] = 0
    """How long the first request waits for others. Default: 0, join only what waits anyway."""


def _is_zero(value: int | str) -> bool:
    return value in (0, "0%")


def _zero_cel(field: str, default: str) -> str:
    return f"(has(self.{field}) ? string(self.{field}) in ['0', '0%'] : {default})"


class Rollout(ApiModel):
    """How a new revision replaces the old one."""

    strategy: Literal["RollingUpdate"] = "RollingUpdate"
    """Default: RollingUpdate."""
    max_surge: IntOrPercent = 1
    """Pods above the wanted number, a count or a percentage (rounded up). Default: 1."""
    max_unavailable: IntOrPercent = 0
    """Pods below the wanted number, a count or a percentage (rounded down). Default: 0."""
    progress_deadline_seconds: Annotated[int, between(1, 86_400)] = 600
    """How long a revision may make no progress before it is given up. Default: 600."""
    revision_history_limit: Annotated[int, between(0, 100)] = 10
    """Old revisions that are kept, for rollbacks. Default: 10."""

    rules = (
        Rule(
            cel=f"!({_zero_cel('maxSurge', 'false')} && {_zero_cel('maxUnavailable', 'true')})",
            message="maxSurge and maxUnavailable (default 0) must not both be 0: no pod could be replaced",
            check=lambda self: not (_is_zero(self.max_surge) and _is_zero(self.max_unavailable)),
            field_path=".maxSurge",
        ),
    )


class ModelServiceSpec(ApiModel):
    """What a user wants."""

    model: ModelSpec
    """Which model is served."""
    runtime: RuntimeSpec = RuntimeSpec()
    """Which runtime serves it, and how."""
    replicas: Annotated[int, between(0, 10_000), Field(json_schema_extra={"default": 1})] = 1
    """How many pods. With autoscaling leave it out: the autoscaler writes it. 0 scales to zero."""
    resources: Annotated[Resources | None, NoneIfEmpty] = None
    """CPU and memory of the server's container. Default: those of the ModelRuntime."""
    gpu: GpuSpec | None = None
    """GPUs for each pod."""
    scheduling: Scheduling = Scheduling()
    """On which nodes the pods run."""
    pod_metadata: PodMetadata = PodMetadata()
    """Labels and annotations for the pods."""
    image_pull_secrets: PullSecrets = ()
    """Secrets of the same namespace with registry credentials."""
    service_account_name: Annotated[OptionalObjectName | None, NoneIfBlank] = None
    """A ServiceAccount, for cloud workload identity. Default: one of our own, without a token."""
    termination_grace_period_seconds: Annotated[int, between(1, 3600)] = 60
    """How long a pod may take to finish its requests. Default: 60."""
    autoscaling: Autoscaling | None = None
    """Scales the pods by CPU or memory."""
    batching: Batching | None = None
    """Joins waiting requests into one inference."""
    rollout: Rollout = Rollout()
    """How a new revision replaces the old one."""

    rules = (
        Rule(
            cel=(
                "!has(self.runtime) || !has(self.runtime.executionProviders) || has(self.gpu)"
                " || !('CUDA' in self.runtime.executionProviders)"
            ),
            message="CUDA needs a GPU: add spec.gpu, or leave CUDA out",
            check=lambda self: self.gpu is not None or "CUDA" not in (self.runtime.execution_providers or ()),
            field_path=".runtime.executionProviders",
        ),
        Rule(
            cel=(
                "!has(self.runtime) || !has(self.runtime.executionProviders) || has(self.gpu)"
                " || !('TensorRT' in self.runtime.executionProviders)"
            ),
            message="TensorRT needs a GPU: add spec.gpu, or leave TensorRT out",
            check=lambda self: (
                self.gpu is not None or "TensorRT" not in (self.runtime.execution_providers or ())
            ),
            field_path=".runtime.executionProviders",
        ),
        Rule(
            cel="!has(self.runtime) || !has(self.runtime.cuda) || has(self.gpu)",
            message="CUDA needs a GPU: add spec.gpu, or leave cuda out",
            check=lambda self: self.gpu is not None or self.runtime.cuda is None,
            field_path=".runtime.cuda",
        ),
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


def _with_service_name(metadata: ObjectMeta) -> ObjectMeta:
    if not SERVICE_NAME_RULE.check(metadata.name):
        broken = [(SERVICE_NAME_RULE.field_path, SERVICE_NAME_RULE.sentence(metadata.name))]
        raise PydanticCustomError("rules", "{broken}", {"broken": broken})
    return metadata


class ModelService(ApiModel):
    """Serves one model behind one Service; it can be scaled, autoscaled and rolled out."""

    metadata: Annotated[ObjectMeta, AfterValidator(_with_service_name)]
    spec: ModelServiceSpec
