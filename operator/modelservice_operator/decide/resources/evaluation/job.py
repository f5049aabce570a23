"""The Job that scores a revision on rows with right answers, beside the stable one. Pure.

Its pod looks like the revision's pods: image, placement, security, account, pull secrets, CPU and memory; but
no Service leads to it, and it takes no GPU. It says what it found in the termination message of its
container, which the operator reads off the pod's status: so it needs no right to anything in the cluster.

Its name is a hash of all that is in it, so an equal one is the same one, whoever writes it how often.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.evaluation.data_source import (
    FETCH_DATA_CONTAINER,
    DataParts,
    build_data_source,
)
from modelservice_operator.decide.resources.evaluation.parts import (
    ModelParts,
    argument,
    candidate_parts,
    pod_fields,
    resources_of,
    server_of,
    stable_parts,
)
from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.facts import labels, names

if TYPE_CHECKING:
    from modelservice_operator.api import Evaluation
    from modelservice_operator.decide.revision import Revision

Object = dict[str, Any]

EVALUATION_CONTAINER = "evaluation"
CANNOT = 2
"""Exit code of what a second try would not change."""
OUT_OF_MEMORY = 137
_MORE_TRIES = 2
_GRACE_SECONDS = 5
_MODULE = "modelservice_pipeline.gate"
_METRICS = {"ExactMatch": "exact"}
"""What the Job calls a metric, where that is another word."""


class JobInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a Job is made of."""

    owner: Owner
    evaluation: Evaluation
    candidate: Revision
    stable: Revision | None
    """The one beside it; None where there is none, or its model is the same."""
    retries: int = 0
    """How often it was asked for again: each time another Job."""


def build_evaluation_job(inputs: JobInputs) -> Object:
    """Return the Job."""
    spec: Object = {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": _MORE_TRIES,
        "activeDeadlineSeconds": inputs.evaluation.deadline_seconds,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [CANNOT, OUT_OF_MEMORY]}},
            ]
        },
        "template": _template(inputs),
    }
    name = names.of_revision(inputs.owner.name, names.revision_name({"job": spec, "retries": inputs.retries}))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": build_metadata(inputs.owner, name, inputs.candidate.name),
        "spec": spec,
    }


def _template(inputs: JobInputs) -> Object:
    snapshot = inputs.candidate.snapshot
    candidate = candidate_parts(snapshot)
    stable = stable_parts(inputs.stable.snapshot) if inputs.stable else None
    models = [candidate, stable] if stable else [candidate]
    data = build_data_source(inputs.evaluation.data, snapshot)
    pod: Object = {
        **pod_fields(snapshot),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "containers": [_evaluation(inputs, candidate, stable, data)],
        "volumes": [
            *(volume for model in models for volume in model.volumes),
            *data.volumes,
            *(one for one in snapshot.template["spec"]["volumes"] if one["name"] == "tmp"),
        ],
    }
    fetch = [container for model in models for container in model.fetch]
    if data.fetch_args is not None:
        fetch.append(_fetch_data(inputs, data))
    if fetch:
        # All in the new image: what may run in this namespace was decided for it.
        image = server_of(snapshot)["image"]
        pod["initContainers"] = [{**one, "image": image} for one in fetch]
    return {"metadata": _pod_metadata(inputs), "spec": pod}


def _pod_metadata(inputs: JobInputs) -> Object:
    """No label by which a Service of ours or the user's might lead clients to it."""
    metadata = inputs.candidate.snapshot.template.get("metadata") or {}
    annotations = {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if not name.startswith("prometheus.io/")
    }
    return {
        "labels": {**inputs.owner.child_metadata.labels, labels.EVALUATION: inputs.owner.name},
        **({"annotations": annotations} if annotations else {}),
    }


def _evaluation(
    inputs: JobInputs, candidate: ModelParts, stable: ModelParts | None, data: DataParts
) -> Object:
    mounts = [candidate.mount, *([stable.mount] if stable else []), *data.mounts]
    args = ["--model", candidate.path, *(["--stable", stable.path] if stable else []), "--data", data.path]
    threads = argument(inputs.candidate.snapshot, "--intra-op-threads")
    args += ["--threads", threads] if threads else []
    return {
        **_container(EVALUATION_CONTAINER, inputs),
        "command": ["python", "-m", _MODULE],
        "args": [*args, *_said_of_data(inputs.evaluation)],
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  a path in the container
    }


def _said_of_data(evaluation: Evaluation) -> list[str]:
    """Flag and value as one argument: a name may begin with a dash."""
    data = evaluation.data
    said = [
        ("metric", _metric(evaluation.metric)),
        ("output", evaluation.output),
        ("data-sha256", data.sha256),
        ("label", data.label),
        *(("input", f"{one.name}={','.join(one.columns)}") for one in data.inputs or ()),
        *(("ignore", column) for column in data.ignore),
        *(("class", name) for name in evaluation.classes),
    ]
    return [f"--{flag}={value}" for flag, value in said if value is not None]


def _metric(name: str) -> str:
    """Return what the Job calls a metric: `f1_macro` is `F1Macro`."""
    return _METRICS.get(name, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())


def _fetch_data(inputs: JobInputs, data: DataParts) -> Object:
    return {
        **_container(FETCH_DATA_CONTAINER, inputs),
        **({"env": data.fetch_env} if data.fetch_env else {}),
        "args": data.fetch_args,
        "volumeMounts": [*data.fetch_mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  likewise
    }


def _container(name: str, inputs: JobInputs) -> Object:
    """A container with the server's image, security and resources."""
    server = server_of(inputs.candidate.snapshot)
    resources = resources_of(inputs.candidate.snapshot)
    kept = ("image", "securityContext", "terminationMessagePolicy", "env")
    own = {field: server[field] for field in kept if field in server}
    if name == FETCH_DATA_CONTAINER:
        own.pop("env", None)
    return {"name": name, **own, **({"resources": resources} if resources else {})}
