"""What Prometheus is told of each ModelService: one series per condition and some numbers. Pure.

The format is text version 0.0.4 (prometheus.io, "Exposition formats"). It is written here and not by
prometheus_client: objects for some fifteen series of each of thousands of services cost ten times as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator


class Family(NamedTuple):
    """One metric: a gauge."""

    name: str
    text: str


CONDITION = Family(
    "modelservice_condition",
    "1 for each condition of a ModelService, with its status (True, False, Unknown) and reason.",
)
INFO = Family("modelservice_info", "1 for each ModelService: revisions, model version and runtime.")
WANTED = Family("modelservice_replicas_wanted", "Pods that are wanted: spec.replicas.")
EXISTING = Family("modelservice_replicas_existing", "Pods that exist, of all revisions.")
READY = Family("modelservice_replicas_ready", "Pods that are ready, of all revisions.")
PHASE = Family(
    "modelservice_rollout_phase",
    "1 for the phase of the rollout, with why it is paused or was aborted.",
)
STEP = Family("modelservice_rollout_step", "The step that goes on, from 0; all of them where it is done.")
STEPS = Family("modelservice_rollout_steps", "How many steps the rollout has.")
WEIGHT = Family(
    "modelservice_rollout_weight_ratio", "Share of the traffic that the new revision should get, 0 to 1."
)
ENGINE = Family("modelservice_autoscaling_info", "1 for each autoscaled ModelService: who decides.")
FEWEST = Family("modelservice_autoscaling_replicas_min", "The fewest pods: spec.autoscaling.minReplicas.")
MOST = Family("modelservice_autoscaling_replicas_max", "The most pods: spec.autoscaling.maxReplicas.")
DESIRED = Family(
    "modelservice_autoscaling_replicas_desired", "Pods that modelservice-autoscaler asked for last."
)
DECISION = Family(
    "modelservice_autoscaling_decision_info",
    "1 for the last decision of modelservice-autoscaler: what limited it, and whether data was missing.",
)
FAMILIES = (
    *(CONDITION, INFO, WANTED, EXISTING, READY, PHASE, STEP, STEPS, WEIGHT),
    *(ENGINE, FEWEST, MOST, DESIRED, DECISION),
)


class _Metadata(msgspec.Struct, frozen=True):
    namespace: str
    name: str


class _Model(msgspec.Struct, frozen=True, rename="camel"):
    version: str = ""


class _Bounds(msgspec.Struct, frozen=True, rename="camel"):
    max_replicas: int
    min_replicas: int = 1


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    model: _Model = _Model()
    replicas: int = 1
    autoscaling: _Bounds | None = None


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str
    reason: str = ""


_NOT_REPORTED = _Condition(type="Ready", status="Unknown", reason="NotReported")
"""Of a service whose status was not written yet."""


class _Rollout(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    weight: int | None = None
    step: int = 0
    steps: int | None = None
    paused: str | None = None
    reason: str | None = None


class _Runtime(msgspec.Struct, frozen=True):
    ref: str = ""


class _Engine(msgspec.Struct, frozen=True):
    engine: str | None = None


class _Decision(msgspec.Struct, frozen=True):
    desired: int
    limit: str = ""
    missing: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    replicas: int = 0
    ready_replicas: int = 0
    stable_revision: str = ""
    target_revision: str = ""
    conditions: tuple[_Condition, ...] = ()
    rollout: _Rollout | None = None
    runtime: _Runtime = _Runtime()
    autoscaling: _Engine = _Engine()
    autoscaler: _Decision | None = None


class _Service(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec
    status: _Status = _Status()


_DECODER = msgspec.json.Decoder(_Service)


def read_states(raw: bytes) -> list[tuple[Family, str]]:
    """Return the lines of one ModelService in JSON, with the family of each.

    Raises msgspec.ValidationError where the object has other types than the CRD allows.
    """
    service = _DECODER.decode(raw)
    owner = _labels(namespace=service.metadata.namespace, name=service.metadata.name)
    return [
        (family, f"{family.name}{{{owner}{labels}}} {value}\n")
        for family, labels, value in (*_health(service), *_rollout(service.status), *_scaling(service))
    ]


def _health(service: _Service) -> Iterator[tuple[Family, str, float]]:
    status = service.status
    for one in status.conditions or (_NOT_REPORTED,):
        yield CONDITION, "," + _labels(condition=one.type, status=one.status, reason=one.reason), 1
    described = _labels(
        stable_revision=status.stable_revision,
        target_revision=status.target_revision,
        model_version=service.spec.model.version,
        runtime=status.runtime.ref,
    )
    yield INFO, f",{described}", 1
    yield WANTED, "", service.spec.replicas
    yield EXISTING, "", status.replicas
    yield READY, "", status.ready_replicas


def _rollout(status: _Status) -> Iterator[tuple[Family, str, float]]:
    rollout = status.rollout
    if rollout is None:
        return
    if rollout.phase:
        reason = rollout.paused or rollout.reason or ""
        yield PHASE, "," + _labels(phase=rollout.phase, reason=reason), 1
    if rollout.steps is not None:
        yield STEP, "", rollout.step
        yield STEPS, "", rollout.steps
    if rollout.weight is not None:
        yield WEIGHT, "", rollout.weight / 100


def _scaling(service: _Service) -> Iterator[tuple[Family, str, float]]:
    bounds, decision = service.spec.autoscaling, service.status.autoscaler
    if bounds is None:
        return
    yield ENGINE, "," + _labels(engine=service.status.autoscaling.engine or ""), 1
    yield FEWEST, "", bounds.min_replicas
    yield MOST, "", bounds.max_replicas
    if decision is not None and service.status.autoscaling.engine == "Builtin":
        yield DESIRED, "", decision.desired
        missing = "true" if decision.missing else "false"
        yield DECISION, "," + _labels(limit=decision.limit, missing=missing), 1


def _labels(**values: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
