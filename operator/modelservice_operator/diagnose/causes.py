"""The chain of checks: each looks at one pod and answers with a cause, or passes it on.

The order is that of a pod's life, so the first failure found is the root of the later ones. A failure
counts until the container that failed has succeeded: between two tries it neither vanishes nor flickers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.diagnose import pods as podlib
from modelservice_operator.diagnose.models import parse_report
from modelservice_operator.diagnose.redact import redact
from modelservice_operator.diagnose.remedies import missing_object, refusal, scheduling_remedy
from modelservice_operator.resources.pod import SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from modelservice_operator.observed import DeploymentChild

_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_BACK_OFF = re.compile(r"^Back-off pulling image \"[^\"]*\"(?:: \w+: ?)?")
_RPC = re.compile(r"rpc error: code = \w+ desc = ")
_PREEMPTION = re.compile(r"\s*(?:no new claims to deallocate,?\s*)?preemption: .*$", re.DOTALL)
_SENTENCE = re.compile(r"^(?P<reason>[A-Z][A-Za-z0-9]{3,62}): (?P<message>.+)$")
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a revision is not available. `failing` is False for steps that only take their time."""

    reason: str
    message: str
    failing: bool = True


def diagnose(
    revision: str,
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    deployment: DeploymentChild | None,
) -> Cause | None:
    """Return the root cause why pods of `revision` are not ready, None where nothing is known.

    A failure of any pod comes before a refusal to create more pods, and both before mere progress.
    """
    waiting = [pod for pod in podlib.of_revision(pods, revision) if not podlib.is_ready(pod)]
    causes = [cause for pod in waiting for cause in _causes_of(pod, _events_of(pod, events))]
    failures = [cause for cause in causes if cause.failing]
    refused = _refused(deployment)
    if failures:
        return failures[0]
    return refused or (_with_history(causes[0], podlib.last_failed(pods, revision)) if causes else None)


def _with_history(step: Cause, failed: Mapping[str, Any]) -> Cause:
    """Add how the pod failed that this one stands for: its loss is mended, but may come again."""
    if not failed:
        return step
    status = failed["status"]
    reason, message = status.get("reason") or "PodFailed", redact(str(status.get("message") or ""))
    sentence = f"{step.message} The pod before it failed ({reason}){': ' if message else '.'}{message}"
    return Cause(reason=step.reason, message=sentence, failing=step.failing)


def _causes_of(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Iterator[Cause]:
    """Yield the first cause in the chain, if any."""
    for check in _CHECKS:
        cause = check(pod, events)
        if cause is not None:
            yield cause
            return


def _events_of(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    uid = pod["metadata"].get("uid")
    mine = [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]
    return sorted(mine, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))


def _refused(deployment: DeploymentChild | None) -> Cause | None:
    for condition in deployment.conditions if deployment else ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = redact(str(condition.get("message") or ""))
            reason, remedy = refusal(message)
            return Cause(reason=reason, message=f"Pods cannot be created: {message}. {remedy}")
    return None


def _image(pod: Mapping[str, Any], _events: Any) -> Cause | None:
    for container in podlib.containers(pod):
        waiting = podlib.state(container, "waiting")
        if waiting.get("reason") in _IMAGE_REASONS:
            name = str(container.get("name"))
            image = podlib.container_spec(pod, name).get("image") or container.get("image")
            said = redact(_RPC.sub("", _BACK_OFF.sub("", str(waiting.get("message") or ""))))
            return Cause(
                reason="ImagePullFailed",
                message=(
                    f"Image {image} cannot be pulled{f' ({said})' if said else ''}: correct the image of the "
                    "ModelRuntime; a private registry needs spec.imagePullSecrets."
                ),
            )
    return None


def _unschedulable(pod: Mapping[str, Any], _events: Any) -> Cause | None:
    scheduled = podlib.condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    message = redact(_PREEMPTION.sub("", str(scheduled.get("message") or "")))
    missing = missing_object(message)
    if missing is not None:
        return Cause(reason=missing[0], message=missing[1])
    if scheduled.get("reason") != "Unschedulable":
        return Cause(reason="Scheduling", message=message or "A pod waits for a node.", failing=False)
    return Cause(reason="Unschedulable", message=f"{message} {scheduling_remedy(message)}".strip())


def _mount(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Cause | None:
    """Mounts fail before any container runs; older events of a pod that started are history."""
    if podlib.has_started(pod):
        return None
    for event in reversed(events):
        if event.get("reason") in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"):
            message = redact(str(event.get("message") or ""))
            missing = missing_object(message)
            if missing is not None:
                return Cause(reason=missing[0], message=missing[1])
            if "non-existent config key" in message:
                return Cause(
                    reason="ConfigMapKeyNotFound",
                    message=f"The ConfigMap has no such key, correct spec.model.storageUri: {message}",
                )
            return Cause(reason=str(event["reason"]), message=message)
    return None


def _fetch(pod: Mapping[str, Any], _events: Any) -> Cause | None:
    container = podlib.fetcher(pod)
    failure = podlib.failure(container)
    if not failure:
        return None
    if failure.get("reason") == "OOMKilled":
        return _out_of_memory(pod, str(container.get("name")), "The fetcher")
    report = parse_report(failure)
    if report is not None:
        return Cause(reason=report.reason, message=redact(report.message))
    line = _last_line(failure)
    return Cause(
        reason="FetchFailed",
        message=f"The model could not be fetched, exit code {failure.get('exitCode')}: {line or 'no log'}",
    )


def _server_failure(pod: Mapping[str, Any], _events: Any) -> Cause | None:
    failure = podlib.failure(podlib.server(pod))
    if not failure:
        return None
    if failure.get("reason") == "OOMKilled":
        return _out_of_memory(pod, SERVER_CONTAINER, "The server")
    line = _last_line(failure)
    sentence = _SENTENCE.match(line)
    if sentence is not None:
        return Cause(reason=sentence["reason"], message=sentence["message"])
    code = failure.get("exitCode")
    return Cause(
        reason="CrashLoop",
        message=f"The server ends with exit code {code}. Its last log line: {line or '(none)'}",
    )


def _out_of_memory(pod: Mapping[str, Any], container: str, who: str) -> Cause:
    resources = podlib.container_spec(pod, container).get("resources") or {}
    limit = (resources.get("limits") or {}).get("memory")
    if limit is None:
        message = f"{who} was killed because its node ran out of memory: set spec.resources.requests.memory."
    else:
        message = f"{who} was killed at its memory limit of {limit}: raise spec.resources.limits.memory."
    return Cause(reason="OutOfMemory", message=message)


def _last_line(terminated: Mapping[str, Any]) -> str:
    lines = str(terminated.get("message") or "").strip().splitlines()
    return redact(_message_of(lines[-1])) if lines else ""


def _message_of(line: str) -> str:
    """Return the message of a structured log line, any other line as it is."""
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line
    return str(record.get("message") or line) if isinstance(record, dict) else line


def _not_created(pod: Mapping[str, Any], _events: Any) -> Cause | None:
    for container in podlib.containers(pod):
        waiting = podlib.state(container, "waiting")
        if waiting.get("reason") in _CONFIG_REASONS:
            message = redact(str(waiting.get("message") or ""))
            missing = missing_object(message)
            if missing is not None:
                return Cause(reason=missing[0], message=missing[1])
            return Cause(reason=str(waiting["reason"]), message=message)
    return None


def _progress(pod: Mapping[str, Any], _events: Any) -> Cause | None:
    if podlib.is_running(podlib.server(pod)):
        return Cause(reason="Loading", message="The server is running and loads the model.", failing=False)
    if podlib.is_running(podlib.fetcher(pod)):
        return Cause(reason="Fetching", message="The model is being fetched.", failing=False)
    return Cause(reason="Starting", message="A pod is being started.", failing=False)


_CHECKS: tuple[Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], Cause | None], ...] = (
    _image,
    _unschedulable,
    _mount,
    _fetch,
    _server_failure,
    _not_created,
    _progress,
)
