"""Objects for the tests of the pure modules, and a small world in which decisions are carried out."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.decide import decide
from modelservice_operator.decide.resources.pod.template import build_pod_template
from modelservice_operator.explain.status import compute_status
from modelservice_operator.explain.transitions import Transition, compute_transitions
from modelservice_operator.facts import labels
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.endpoints import read_slice
from modelservice_operator.facts.fields.canonical import canonicalise, fingerprint
from modelservice_operator.facts.kinds import ROUTE_KINDS
from modelservice_operator.facts.observed import (
    ApplyFailure,
    AutoscalerChild,
    Child,
    ClusterFacts,
    DeploymentChild,
    JobChild,
    Observed,
    PodReport,
    ReportedBatching,
    ReportedModel,
    RevisionChild,
    RouteChild,
    ScaledObjectChild,
    ServiceChild,
    SliceChild,
)
from modelservice_operator.facts.ports import service_ports
from modelservice_operator.facts.signature import Signature, Tensor
from modelservice_operator.facts.standby import Surroundings

if TYPE_CHECKING:
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.fleet import Assignment
    from modelservice_operator.facts.measured import Measurement

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "5f0f8c1e-0000-4000-8000-000000000001"
SHA_A, SHA_B = "a" * 64, "b" * 64

SIGNATURE = Signature((Tensor("x", "FP32", (-1, 4)),), (Tensor("y", "FP32", (-1, 2)),))

Object = dict[str, Any]


def timestamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def make_model_service(name: str = "spam", *, status: Object | None = None, **spec: Any) -> Object:
    """A ModelService as read; keyword arguments are fields of the spec."""
    obj: Object = {
        "apiVersion": labels.API_VERSION,
        "kind": "ModelService",
        "metadata": {
            "name": name,
            "namespace": "mail",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": timestamp(NOW),
        },
        "spec": {"model": {"storageUri": "oci://registry.example/models/spam:1"}, "replicas": 1, **spec},
    }
    if status is not None:
        obj["status"] = status
    return obj


def make_runtime(name: str = "onnx", *, default: bool = False, **spec: Any) -> Object:
    annotations = {labels.DEFAULT_RUNTIME: "true"} if default else {}
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "ModelRuntime",
        "metadata": {"name": name, "uid": f"uid-{name}", "annotations": annotations},
        "spec": {"image": f"registry.example/{name}:1", **spec},
    }


DEFAULT_RUNTIME = make_runtime(default=True)


def make_observed(service: Object, *runtimes: Object, **parts: Any) -> Observed:
    facts: dict[str, Any] = {"revisions": (), "deployments": (), "others": (), **parts}
    return Observed(service=service, runtimes=runtimes or (DEFAULT_RUNTIME,), **facts)


def model(tag: int | str, **fields: Any) -> Object:
    """`spec.model` of another version."""
    return {"storageUri": f"oci://registry.example/models/spam:{tag}", **fields}


def condition(status: Object, kind: str) -> Object:
    return next(one for one in status["conditions"] if one["type"] == kind)


def make_pod(revision: str, name: str = "pod-1", **status: Any) -> Object:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {labels.NAME: "spam", labels.REVISION: revision},
            "creationTimestamp": timestamp(NOW),
        },
        "spec": {
            "initContainers": [{"name": "fetch", "image": "registry.example/onnx:1"}],
            "containers": [
                {
                    "name": "server",
                    "image": "registry.example/onnx:1",
                    "resources": {"limits": {"memory": "64Mi"}},
                }
            ],
        },
        "status": {"phase": "Pending", **status},
    }


def make_ready_pod(
    revision: str, name: str = "pod-1", sha256: str | None = None, commit: str | None = None
) -> Object:
    report: Object = {"reason": "Fetched", "message": "ok", "sha256": sha256, "sizeBytes": 7}
    report |= {"commit": commit} if commit else {}
    message = json.dumps(report) if sha256 else ""
    return make_pod(
        revision,
        name,
        phase="Running",
        conditions=[{"type": "Ready", "status": "True"}],
        initContainerStatuses=[
            {"name": "fetch", "state": {"terminated": {"exitCode": 0, "message": message}}}
        ],
        containerStatuses=[{"name": "server", "state": {"running": {}}}],
    )


def make_report(
    sha256: str | None,
    *,
    external: str | None = None,
    size: int = 9,
    obstacle: str = "",
    signature: Signature | None = None,
) -> PodReport:
    """What a server says that has loaded this."""
    batching = ReportedBatching(obstacle=obstacle or None)
    model = ReportedModel(
        sha256=sha256,
        external_data_sha256=external,
        size_bytes=size,
        batching=batching,
        left_out_outputs=("probabilities",),
        inputs=signature and signature.inputs,
        outputs=signature and signature.outputs,
    )
    return PodReport(digests_complete=True, models=(model,))


class World:
    """Carries out decisions like the operator and Deployments like Kubernetes, one step at a time.

    `broken` are revisions whose pods never become available.
    """

    def __init__(self, *runtimes: Object, **spec: Any) -> None:
        self.service = make_model_service(**spec)
        self.runtimes = list(runtimes or (DEFAULT_RUNTIME,))
        self.objects: dict[tuple[str, str], Object] = {}
        self.children: dict[tuple[str, str], Child] = {}
        self.broken: set[str] = set()
        self.pods: tuple[Object, ...] | None = None
        self.pod_events: tuple[Object, ...] = ()
        self.pod_reports: dict[str, PodReport] = {}
        self.compared_at: str | None = None
        self.now = NOW
        self.build_pod = build_pod_template
        self.writes: list[tuple[str, str]] = []
        self.events: list[Transition] = []
        self.failures: tuple[ApplyFailure, ...] = ()
        self.signatures: dict[str, Signature | None] = {}
        """What revisions say that they take and give; those that are not named all say the same."""
        self.measurement: Measurement | None = None
        self.job_pods: tuple[Object, ...] = ()
        """Pods of the Job that evaluates a revision, and what keeps it from making one."""
        self.job_events: tuple[Object, ...] = ()
        self.cluster = ClusterFacts()
        self.surroundings = Surroundings()
        self.assignment: Assignment | None = None
        """What a RuntimeRollout tells it."""
        self._seen: list[object] = []

    # What people do

    def edit(self, **spec: Any) -> None:
        self.service["spec"].update(spec)
        self.service["metadata"]["generation"] += 1

    def scale(self, replicas: int) -> None:
        """Write `/scale`, as people and autoscalers do."""
        self.edit(replicas=replicas)
        self.write_replicas_by("scale")

    def write_replicas_by(self, subresource: str | None) -> None:
        """How `spec.replicas` was written last: None where `managedFields` does not tell."""
        fields = {"f:spec": {"f:replicas": {}}}
        self.service["metadata"]["managedFields"] = (
            [] if subresource is None else [{"subresource": subresource, "fieldsV1": fields}]
        )

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What the operator does

    def observe(self) -> Observed:
        children = list(self.children.values())
        return Observed(
            service=copy.deepcopy(self.service),
            runtimes=tuple(self.runtimes),
            revisions=tuple(one for one in children if isinstance(one, RevisionChild)),
            deployments=tuple(one for one in children if isinstance(one, DeploymentChild)),
            others=tuple(one for one in children if not isinstance(one, RevisionChild | DeploymentChild)),
            pods=self.pods,
            pod_events=self.pod_events,
            pod_reports=self.pod_reports,
            compared_at=self.compared_at,
            measurement=self.measurement,
            job_pods=self.job_pods if any(isinstance(one, JobChild) for one in children) else None,
            job_events=self.job_events,
            cluster=self.cluster,
            surroundings=self.surroundings,
            assignment=self.assignment,
        )

    def reconcile(self) -> Decision:
        """Reconcile; where clients are led elsewhere after that, once more: the event asks for it."""
        self.writes = []
        decision = self._reconcile_once()
        for _ in range(3):
            led_to = self._led_to()
            if led_to == self._seen:
                break
            self._seen = led_to
            decision = self._reconcile_once()
        return decision

    def _led_to(self) -> list[object]:
        name = self.service["metadata"]["name"]
        found = (self.children.get(("Service", one)) for one in (name, f"{name}-pods"))
        return [dict(one.selector) for one in found if isinstance(one, ServiceChild)]

    def _reconcile_once(self) -> Decision:
        decision = decide(self.observe(), self.now, build_pod=self.build_pod)
        if decision.begin_with is not None:
            self.writes.append(("scale", self.service["metadata"]["name"]))
        for body in decision.desired:
            self._apply(body)
        for child in decision.retire:
            del self.children[child.kind, child.name]
            self.objects.pop((child.kind, child.name))
            self.writes.append(("delete " + child.kind, child.name))
        observed = self.observe()
        decision = decide(observed, self.now, build_pod=self.build_pod)
        old = self.service.get("status") or {}
        if decision.plan and decision.plan.verifies:
            observed = self._with_servers(observed)
        status = compute_status(observed, decision, self.failures, self.now)
        if status != old:
            self.writes.append(("status", self.service["metadata"]["name"]))
            self.events += compute_transitions(old, status)
            self.service["status"] = status
        return decision

    def _with_servers(self, observed: Observed) -> Observed:
        """Ready pods, at least one of each revision that has one available, and what their servers say."""
        serving = [name for name, one in self.deployments().items() if one.available_replicas]
        pods = tuple(make_ready_pod(name, name) for name in serving) if self.pods is None else self.pods
        reports = {
            pod["metadata"]["uid"]: make_report(
                SHA_A, signature=self.signatures.get(pod["metadata"]["labels"][labels.REVISION], SIGNATURE)
            )
            for pod in pods
            if podlib.is_ready(pod)
        }
        return msgspec.structs.replace(observed, pods=pods, pod_reports={**reports, **self.pod_reports})

    def _apply(self, body: Object) -> None:
        place = body["kind"], body["metadata"]["name"]
        intended = fingerprint(canonicalise(body))
        known = self.children.get(place)
        if known is not None and known.fingerprint == intended:
            return
        self.writes.append(place)
        self.objects[place] = copy.deepcopy(body)
        self.children[place] = self._child(body, known, intended)

    def _child(self, body: Object, known: Child | None, intended: str) -> Child:
        metadata = body["metadata"]
        facts: dict[str, Any] = {
            "kind": body["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": known.uid if known else f"uid-{body['kind']}-{metadata['name']}",
            "resource_version": "1",
            "owner_uid": metadata["ownerReferences"][0]["uid"],
            "owner_name": metadata["ownerReferences"][0]["name"],
            "deleting": False,
            "created_at": known.created_at if known else timestamp(self.now),
            "labels": metadata["labels"],
            "fingerprint": intended,
        }
        if body["kind"] == "ControllerRevision":
            data = msgspec.json.encode(body["data"], order="deterministic")
            return RevisionChild(**facts, number=body["revision"], data=data)
        if body["kind"] == "Deployment":
            old = known if isinstance(known, DeploymentChild) else None
            return DeploymentChild(
                **facts,
                revision=metadata["labels"].get(labels.REVISION, ""),
                generation=old.generation + 1 if old else 1,
                observed_generation=old.observed_generation if old else 0,
                spec_replicas=body["spec"]["replicas"],
                replicas=old.replicas if old else 0,
                ready_replicas=old.ready_replicas if old else 0,
                available_replicas=old.available_replicas if old else 0,
                terminating_replicas=old.terminating_replicas if old else None,
                conditions=old.conditions if old else (),
            )
        if body["kind"] == "Service":
            spec = body["spec"]
            return ServiceChild(
                **facts,
                type="ClusterIP",
                selector=spec["selector"],
                ports=service_ports(spec),
            )
        if body["kind"] == "Job":
            return JobChild(**facts)
        if body["kind"] == "HorizontalPodAutoscaler":
            return AutoscalerChild(**facts)
        if body["kind"] == "EndpointSlice":
            return SliceChild(**facts, slice=read_slice(body))
        if body["kind"] in ROUTE_KINDS:
            return RouteChild(**facts, spec=body["spec"])
        if body["kind"] == "ScaledObject":
            return ScaledObjectChild(**facts)
        return Child(**facts)

    # What Kubernetes does

    def set_deployment(self, revision: str, **facts: Any) -> None:
        place = "Deployment", f"{self.service['metadata']['name']}-{revision}"
        self.children[place] = msgspec.structs.replace(self.children[place], **facts)

    def run_controllers(self) -> None:
        """Every Deployment gets the pods that it wants, available unless the revision is broken."""
        for deployment in self.deployments().values():
            available = 0 if deployment.revision in self.broken else deployment.spec_replicas
            self.set_deployment(
                deployment.name.removeprefix(f"{self.service['metadata']['name']}-"),
                observed_generation=deployment.generation,
                replicas=deployment.spec_replicas,
                ready_replicas=available,
                available_replicas=available,
                terminating_replicas=0,
            )

    def settle(self, steps: int = 40) -> Decision:
        """Reconcile and run the controllers until nothing is written any more."""
        for _ in range(steps):
            decision = self.reconcile()
            before = self.deployments()
            self.run_controllers()
            if not self.writes and self.deployments() == before:
                return decision
        raise AssertionError(f"no rest after {steps} steps: {self.writes}")

    # What people see

    def deployments(self) -> dict[str, DeploymentChild]:
        return {one.revision: one for one in self.children.values() if isinstance(one, DeploymentChild)}

    def replicas(self) -> dict[str, int]:
        return {name: one.spec_replicas for name, one in self.deployments().items()}

    def names(self, kind: str) -> set[str]:
        return {name for known, name in self.children if known == kind}

    @property
    def status(self) -> Object:
        status: Object = self.service["status"]
        return status

    def condition(self, kind: str) -> Object:
        return condition(self.status, kind)
