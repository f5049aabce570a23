"""What the operator knows about one ModelService: immutable facts, projected from Kubernetes objects.

`ingest` makes them, `store` keeps them, the pure rooms (`decide`, `explain`)
read them. They hold only what a decision needs: thousands of them stay in memory. No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  msgspec reads the annotations at run time
from typing import Annotated, Any

import msgspec

from modelservice_operator.facts.endpoints import Slice  # noqa: TC001  msgspec reads it at run time
from modelservice_operator.facts.fleet import Assignment  # noqa: TC001  msgspec reads it at run time
from modelservice_operator.facts.gateways import (  # noqa: TC001  msgspec reads it at run time
    Gateway,
    GatewayClass,
    RouteParent,
)
from modelservice_operator.facts.measured import Measurement  # noqa: TC001  msgspec reads it at run time
from modelservice_operator.facts.nodes import Node  # noqa: TC001  msgspec reads it at run time
from modelservice_operator.facts.signature import Signature, Tensor, make_signature
from modelservice_operator.facts.standby import Surroundings


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """An object that a ModelService may own.

    `fingerprint` is the hash of the canonical form of exactly those fields that our field manager owns
    in the object (by `metadata.managedFields`). It equals the fingerprint of the desired object when
    there is nothing to write, and differs as soon as somebody took or changed one of our fields.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    owner_uid: str | None
    """UID of the controller owner reference, None for an orphan."""
    owner_name: str | None
    deleting: bool
    created_at: str
    """RFC 3339, as the API server wrote it."""
    labels: Mapping[str, str]
    fingerprint: str
    edited: bool = False
    """Whether a plain update set fields of its spec: a person's edit may stand in the way of our apply."""


class RevisionChild(Child, frozen=True, kw_only=True):
    """A ControllerRevision: the snapshot of one revision."""

    number: int
    """`revision` of the ControllerRevision: rises with every new or newly wanted revision."""
    data: bytes
    """The snapshot as canonical JSON (see `revision.Snapshot`)."""


class DeploymentChild(Child, frozen=True, kw_only=True):
    """A Deployment of one revision, with its observed status."""

    revision: str
    """The label `modelservice.dev/revision`."""
    generation: int
    observed_generation: int
    spec_replicas: int
    replicas: int
    ready_replicas: int
    available_replicas: int
    terminating_replicas: int | None = None
    """Pods that were told to stop and have not; None where Kubernetes does not say (before 1.35)."""
    conditions: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_moving(self) -> bool:
        """Whether its controller has not seen the newest wish, or pods are on their way."""
        is_seen = self.observed_generation >= self.generation
        counts = {self.spec_replicas, self.replicas, self.available_replicas}
        return not is_seen or len(counts) > 1


class JobChild(Child, frozen=True, kw_only=True):
    """A Job that evaluates a revision."""

    ended: str | None = None
    """`Complete` or `Failed`; None while it goes on."""
    reason: str = ""
    message: str = ""
    """Why it failed, as its controller says."""


class ServiceChild(Child, frozen=True, kw_only=True):
    """A Service, with what decides whether it leads clients to pods."""

    type: str
    selector: Mapping[str, str]
    ports: frozenset[tuple[str, int, str]]
    """(protocol, port, target port) of each."""


class AutoscalerChild(Child, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler, with what it says of itself."""

    desired: int = 0
    """The number that it decided for last; 0 before it has."""
    failing: tuple[Mapping[str, Any], ...] = ()
    """Its conditions that say that it cannot scale."""
    reasons: Mapping[str, str] = {}
    """Why it scales, and what limits it, by type of condition; those that hold only."""
    metrics: tuple[Mapping[str, Any], ...] = ()
    """What it has measured last; that alone is no news."""


class ScaledObjectChild(Child, frozen=True, kw_only=True):
    """A ScaledObject of KEDA, with its conditions."""

    conditions: tuple[Mapping[str, Any], ...] = ()


class SliceChild(Child, frozen=True, kw_only=True):
    """The EndpointSlice that leads the clients of a service that sleeps to the activator."""

    slice: Slice


class RouteChild(Child, frozen=True, kw_only=True):
    """An HTTPRoute, a GRPCRoute or an Ingress, with what those say of it who serve it."""

    spec: Mapping[str, Any]
    parents: tuple[RouteParent, ...] = ()
    addresses: tuple[str, ...] = ()
    """Where an Ingress answers."""


Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class ReportedBatching(msgspec.Struct, frozen=True, rename="camel"):
    """Whether a server lets requests share runs, and why not."""

    max_batch_size: int = 1
    obstacle: str | None = None
    source: str | None = None


class ReportedModel(msgspec.Struct, frozen=True, rename="camel"):
    """One version that a server serves; digests are None where it cannot tell, or not yet."""

    name: str = ""
    version: str = ""
    sha256: Sha256 | None = None
    external_data_sha256: Sha256 | None = None
    size_bytes: int | None = None
    batching: ReportedBatching = ReportedBatching()
    left_out_outputs: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] | None = None
    outputs: tuple[Tensor, ...] | None = None
    """None where the runtime does not say: an older one, or a model with too many tensors."""


class PodReport(msgspec.Struct, frozen=True, rename="camel"):
    """What the server of one pod says about itself; see the runtime's `/report`."""

    digests_complete: bool
    models: tuple[ReportedModel, ...]
    load_seconds: float | None = None
    """How long it took to load them, None where the runtime does not say."""
    warm_seconds: float | None = None
    """How long it took to warm them up."""

    @property
    def signature(self) -> Signature | None:
        """What its clients send and get; None where that is unknown, or not the same for all."""
        served = {(one.name, one.version) for one in self.models}
        found = {make_signature(one.inputs, one.outputs) for one in self.models}
        return found.pop() if len(served) == len(found) == 1 else None


class ClusterFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What there is in the cluster beside what a ModelService owns."""

    kinds: frozenset[str] = frozenset()
    """Those of `kinds.OPTIONAL_CHILDREN` and `kinds.GATEWAY_KINDS` that it serves."""
    forbidden: frozenset[str] = frozenset()
    """Those that it may serve, but not to us."""
    namespaces: tuple[str, ...] = ()
    """What is looked at; empty: every namespace."""
    gateways: tuple[Gateway, ...] = ()
    gateway_classes: tuple[GatewayClass, ...] = ()
    scaler_address: str = ""
    """Where modelservice-autoscaler answers KEDA; empty: it is not installed."""
    is_autoscaler_silent: bool = False
    """Whether nothing has been heard of it for a while."""
    components: tuple[Mapping[str, Any], ...] = ()
    """Peers of a NetworkPolicy: pods of ours that ask the servers; empty where that is not known."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent view of a ModelService and of everything around it."""

    service: Mapping[str, Any]
    """The ModelService as read: metadata, raw spec, raw status. Parsed only by `api`."""
    runtimes: tuple[Mapping[str, Any], ...]
    """All ModelRuntimes of the cluster, as read."""
    revisions: tuple[RevisionChild, ...]
    deployments: tuple[DeploymentChild, ...]
    others: tuple[Child, ...]
    """Every other child: Services, autoscalers, NetworkPolicies and so on."""
    cluster: ClusterFacts = ClusterFacts()
    assignment: Assignment | None = None
    """What a RuntimeRollout tells it, while it is on the way there or back."""
    pods: tuple[Mapping[str, Any], ...] | None = None
    """Pods of the live revisions, as read; None where nobody asked for them."""
    pod_events: tuple[Mapping[str, Any], ...] = ()
    """Core events (type Warning) of those pods."""
    pod_reports: Mapping[str, PodReport] = {}
    """What servers said, by the UID of their pods."""
    nodes: tuple[Node, ...] | None = None
    """All nodes, where one of the pods finds none; None where nobody asked, or they may not be read."""
    job_pods: tuple[Mapping[str, Any], ...] | None = None
    """Pods of the Job that evaluates the target, as read; None where nobody asked for them."""
    job_events: tuple[Mapping[str, Any], ...] = ()
    """Core events (type Warning) of that Job, where it has no pod, and of its pods that do not start."""
    measurement: Measurement | None = None
    """The newest measurement of an analysis, None where nobody measures or none is finished."""
    compared_at: str | None = None
    """The resourceVersion of the serving Deployment whose pods have all said what they loaded."""
    surroundings: Surroundings = Surroundings()
    """Who could stand in for the service's pods."""


class ApplyFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A write that the API server refused, or that the operator refused to make."""

    kind: str
    name: str
    reason: str
    """`NameConflict` (a foreign object holds the name), `QuotaExceeded`, `Forbidden`, `Rejected` (422/400),
    `NamespaceTerminating`, `Unavailable` (anything that a retry may heal)."""
    message: str
    """The API server's sentence, or ours."""
    transient: bool
