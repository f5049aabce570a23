"""The chain of checks: each looks at one pod and answers with a cause, or passes it on.

The order is that of a pod's life, so the first failure found is the root of the later ones. A failure
counts until the container that failed has succeeded: between two tries it neither vanishes nor flickers.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.explain.diagnose.admission import refused
from modelservice_operator.explain.diagnose.cause import Cause, Situation
from modelservice_operator.explain.diagnose.flags import in_fields, unknown_fields, values_of
from modelservice_operator.explain.diagnose.images import (
    cannot_start,
    not_pulled,
    too_old,
    wrong_architecture,
)
from modelservice_operator.explain.diagnose.missing import missing_object
from modelservice_operator.explain.diagnose.models import parse_report
from modelservice_operator.explain.diagnose.room import PREEMPTION, makes_room
from modelservice_operator.explain.diagnose.scheduling import unschedulable
from modelservice_operator.explain.diagnose.volumes import VOLUME_EVENTS, volume_not_set_up
from modelservice_operator.explain.placement import explain_placement
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.names import FETCH_CONTAINER, SERVER_CONTAINER
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelservice_operator.facts.observed import DeploymentChild

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
_SENTENCE = re.compile(r"^(?P<reason>[A-Z][A-Za-z0-9]{3,62}): (?P<message>.+)$")
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_START_REASONS = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
_FORMAT_ERROR = "exec format error"
_SIGNAL_BASE = 128
"""Exit codes above it are 128 and the number of a signal, as in shells."""


def diagnose(
    revision: str,
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    deployment: DeploymentChild | None,
    situation: Situation | None = None,
) -> Cause | None:
    """Return the root cause why pods of `revision` are not ready, None where nothing is known.

    A failure of any pod comes before a refusal to create more pods, and both before mere progress.
    """
    where = situation or Situation()
    waiting = [pod for pod in podlib.of_revision(pods, revision) if not podlib.is_ready(pod)]
    steps: list[Cause] = []
    for pod in waiting:
        for cause in _causes_of(pod, _events_of(pod, events), where):
            if cause.failing:
                return cause
            steps.append(cause)
    return _refused(deployment, where) or (
        _with_history(steps[0], podlib.last_failed(pods, revision)) if steps else None
    )


def _with_history(step: Cause, failed: Mapping[str, Any]) -> Cause:
    """Add how the pod failed that this one stands for: its loss is mended, but may come again."""
    if not failed:
        return step
    status = failed["status"]
    reason, message = status.get("reason") or "PodFailed", redact(str(status.get("message") or ""))
    sentence = f"{step.message} The pod before it failed ({reason}){': ' if message else '.'}{message}"
    return Cause(reason=step.reason, message=sentence, failing=step.failing)


def _causes_of(
    pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]], situation: Situation
) -> Iterator[Cause]:
    """Yield the first cause in the chain, if any."""
    for check in _CHECKS:
        cause = check(pod, events, situation)
        if cause is not None:
            yield cause
            return


def _events_of(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    uid = pod["metadata"].get("uid")
    mine = [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]
    return sorted(mine, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))


def _refused(deployment: DeploymentChild | None, situation: Situation) -> Cause | None:
    for condition in deployment.conditions if deployment else ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return refused(redact(str(condition.get("message") or "")), situation)
    return None


def _image_of(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    specified = podlib.container_spec(pod, str(container.get("name"))).get("image")
    return str(specified or container.get("image"))


def _image(pod: Mapping[str, Any], _events: Any, situation: Situation) -> Cause | None:
    for container in podlib.containers(pod):
        waiting = podlib.state(container, "waiting")
        if waiting.get("reason") in _IMAGE_REASONS:
            message = str(waiting.get("message") or "")
            return not_pulled(_image_of(pod, container), message, situation)
    return None


def _unschedulable(
    pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]], situation: Situation
) -> Cause | None:
    scheduled = podlib.condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    message = redact(PREEMPTION.sub("", str(scheduled.get("message") or "")))
    if scheduled.get("reason") != "Unschedulable":
        return missing_object(message) or Cause(
            reason="Scheduling", message=message or "A pod waits for a node.", failing=False
        )
    if makes_room(pod, events):
        return Cause(
            reason="Scheduling",
            message=f"A cluster autoscaler says that it adds a node for the pod. {message}",
            failing=False,
        )
    # Where old pods make room, there is a node that will do.
    if situation.nodes is None or situation.heals:
        return unschedulable(message, situation)
    return unschedulable(message, situation, explain_placement(pod.get("spec") or {}, situation.nodes))


def _not_set_up(
    pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]], situation: Situation
) -> Cause | None:
    """Volumes fail before any container runs; older events of a pod that started are history."""
    if podlib.has_started(pod):
        return None
    for event in reversed(events):
        if event.get("reason") in VOLUME_EVENTS:
            message = redact(str(event.get("message") or ""))
            samples = [*values_of("--samples", podlib.args(pod, SERVER_CONTAINER))]
            return volume_not_set_up(str(event["reason"]), message, situation, samples)
    return None


def _not_started(pod: Mapping[str, Any], _events: Any, situation: Situation) -> Cause | None:
    """A program that the node cannot run: told by the kubelet, or as the only line of its log."""
    for container in podlib.containers(pod):
        waiting, failure = podlib.state(container, "waiting"), podlib.failure(container)
        said = f"{waiting.get('message') or ''} {failure.get('message') or ''}"
        if not failure and waiting.get("reason") not in _CONFIG_REASONS:
            continue
        image = _image_of(pod, container)
        if _FORMAT_ERROR in said:
            return wrong_architecture(image, str((pod.get("spec") or {}).get("nodeName") or ""))
        for one in (failure, waiting):
            if one.get("reason") in _START_REASONS:
                return cannot_start(image, redact(str(one.get("message") or "")), situation)
    return None


def _fetch(pod: Mapping[str, Any], _events: Any, situation: Situation) -> Cause | None:
    container = podlib.fetcher(pod)
    failure = podlib.failure(container)
    if not failure:
        return None
    if failure.get("reason") == "OOMKilled":
        return _out_of_memory(pod, FETCH_CONTAINER, "The fetcher")
    report = parse_report(failure)
    if report is not None:
        return Cause(reason=report.reason, message=_with_the_way(report.reason, report.message, situation))
    args = podlib.args(pod, FETCH_CONTAINER)
    line = in_fields(_last_line(failure), args)
    return _older_image(pod, container, unknown_fields(_last_line(failure), args), situation) or Cause(
        reason="FetchFailed",
        message=f"The model could not be fetched, exit code {failure.get('exitCode')}: {line or 'no log'}",
    )


def _with_the_way(reason: str, message: str, situation: Situation) -> str:
    """Add what may be in the way where nobody answered: the fetcher cannot know of it."""
    said = redact(message)
    if reason != "DownloadFailed" or not any(sign in message for sign in ("cannot connect", "silent")):
        return said
    policy = f"NetworkPolicy {situation.service!r} (spec.networkPolicy)" if situation.has_policy else ""
    others = "other NetworkPolicies of the namespace, or a proxy that spec.env has to name (HTTPS_PROXY)"
    between = ", ".join(one for one in (policy, others) if one)
    return f"{said.rstrip('.')}. Where it answers elsewhere, look at what is between: {between}."


def _server_failure(pod: Mapping[str, Any], _events: Any, situation: Situation) -> Cause | None:
    container = podlib.server(pod)
    failure = podlib.failure(container)
    if not failure:
        return None
    if failure.get("reason") == "OOMKilled":
        return _out_of_memory(pod, SERVER_CONTAINER, "The server")
    args = podlib.args(pod, SERVER_CONTAINER)
    older = _older_image(pod, container, unknown_fields(_last_line(failure), args), situation)
    if older is not None:
        return older
    line = in_fields(_last_line(failure), args)
    sentence = _SENTENCE.match(line)
    if sentence is not None:
        return Cause(reason=sentence["reason"], message=sentence["message"])
    code = _exit_code(failure.get("exitCode"))
    return Cause(
        reason="CrashLoop",
        message=(
            f"The server ends with exit code {code}: kubectl logs --previous tells more. Its last log line: "
            f"{line or '(none)'}"
        ),
    )


def _older_image(
    pod: Mapping[str, Any], container: Mapping[str, Any], unknown: Sequence[str], situation: Situation
) -> Cause | None:
    return too_old(_image_of(pod, container), unknown, situation) if unknown else None


def _exit_code(code: object) -> str:
    """The code, with the signal that it stands for."""
    try:
        return f"{code} ({signal.Signals(int(str(code)) - _SIGNAL_BASE).name})"
    except ValueError:
        return str(code)


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


def _not_created(pod: Mapping[str, Any], _events: Any, situation: Situation) -> Cause | None:
    for container in podlib.containers(pod):
        waiting = podlib.state(container, "waiting")
        if waiting.get("reason") in _CONFIG_REASONS:
            message = redact(str(waiting.get("message") or ""))
            missing = missing_object(message)
            if missing is not None:
                return missing
            if "runAsNonRoot" in message or "non-numeric user" in message:
                advice = f"The image must name a user by a number that is not 0: {situation.correct_image}."
                message = f"{advice} {message}"
            return Cause(reason=str(waiting["reason"]), message=message)
    return None


def _progress(pod: Mapping[str, Any], _events: Any, _situation: Any) -> Cause | None:
    if podlib.is_running(podlib.server(pod)):
        return Cause(reason="Loading", message="The server is running and loads the model.", failing=False)
    if podlib.is_running(podlib.fetcher(pod)):
        return Cause(reason="Fetching", message="The model is being fetched.", failing=False)
    return Cause(reason="Starting", message="A pod is being started.", failing=False)


_Check = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]], Situation], Cause | None]
_CHECKS: tuple[_Check, ...] = (
    _image,
    _unschedulable,
    _not_set_up,
    _not_started,
    _fetch,
    _server_failure,
    _not_created,
    _progress,
)
