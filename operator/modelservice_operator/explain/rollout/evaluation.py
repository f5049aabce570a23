"""What the Job of an evaluation came to: its measurement, why there is none, or what it waits for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.evaluation.job import EVALUATION_CONTAINER, OUT_OF_MEMORY
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.observed import JobChild
from modelservice_operator.facts.scored import Score, parse_refusal, parse_score
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modelservice_operator.decide.change.evaluating import Evaluating
    from modelservice_operator.facts.observed import Observed

_DEADLINE = "DeadlineExceeded"


class Outcome(msgspec.Struct, frozen=True):
    """How far an evaluation is: at its end with a `score`, or without one, else on its way."""

    score: Score | None = None
    is_over: bool = False
    message: str = ""
    """Why there is no score, or what it waits for."""


def find_outcome(observed: Observed, evaluating: Evaluating) -> Outcome:
    """Return what is known of the evaluation by now."""
    if evaluating.known is not None:
        return Outcome(evaluating.known, is_over=True)
    job = find_job(observed, evaluating)
    if job is None:
        return Outcome(message="Its Job is being made.")
    if observed.job_pods is None:
        return Outcome()
    pods = sorted(observed.job_pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    if job.ended == "Complete":
        return _of_completed(pods, evaluating)
    if job.ended == "Failed":
        return Outcome(is_over=True, message=_why_failed(job, pods, observed, evaluating))
    return Outcome(message=_what_it_waits_for(pods, observed.job_events))


def find_job(observed: Observed, evaluating: Evaluating) -> JobChild | None:
    """Return the Job that runs, or ran."""
    uid = observed.service["metadata"]["uid"]
    return next(
        (
            one
            for one in observed.others
            if isinstance(one, JobChild) and one.name == evaluating.job_name and one.owner_uid == uid
        ),
        None,
    )


def _of_completed(pods: Sequence[Mapping[str, Any]], evaluating: Evaluating) -> Outcome:
    said = [str(_ended(one).get("message") or "") for pod in pods for one in podlib.containers(pod)]
    score = next((score for score in map(parse_score, said) if score is not None), None)
    if score is not None:
        return Outcome(score.beside_itself() if evaluating.identity.is_same_model else score, is_over=True)
    return Outcome(is_over=True, message="Its Job is done, and its pod with the result is gone.")


def _why_failed(
    job: JobChild,
    pods: Sequence[Mapping[str, Any]],
    observed: Observed,
    evaluating: Evaluating,
) -> str:
    found = next((why for why in map(_why_pod_failed, reversed(pods)) if why), None)
    if found is not None:
        return found
    if job.reason != _DEADLINE:
        return f"Its Job failed: {redact(job.message or job.reason)}."
    known = _what_it_waits_for(pods, observed.job_events) or _said_before(observed)
    last = f" Last seen: {known}" if known else ""
    return (
        f"It was not done in {evaluating.wanted.deadline_seconds} s "
        f"(spec.rollout.evaluation.deadlineSeconds).{last}"
    )


def _why_pod_failed(pod: Mapping[str, Any]) -> str | None:
    """Return why a pod failed, by the first of its containers that did."""
    for container in podlib.containers(pod):
        ended = _ended(container)
        code = ended.get("exitCode", 0)
        if not code:
            continue
        if ended.get("reason") == "OOMKilled" or code == OUT_OF_MEMORY:
            return (
                f"Container {container.get('name')!r} of its Job ran out of memory: raise "
                "spec.resources.limits.memory, or take fewer rows."
            )
        text = str(ended.get("message") or "").strip()
        refusal = parse_refusal(text)
        if refusal is not None:
            return f"{refusal.reason}: {redact(refusal.message)}"
        said = f": {redact(text.splitlines()[-1])}" if text else ""
        return f"Container {container.get('name')!r} of its Job ended with exit code {code}{said}"
    return None


def _what_it_waits_for(pods: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> str:
    """Return what keeps the Job's newest pod from running, nothing where it runs."""
    refused = _last_event(events, "FailedCreate")
    if not pods:
        return f"its pod is refused: {refused}" if refused else ""
    pod = pods[-1]
    scheduled = podlib.condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"its pod finds no node: {redact(str(scheduled.get('message') or ''))}"
    for container in podlib.containers(pod):
        waiting = podlib.state(container, "waiting")
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            said = redact(str(waiting.get("message") or ""))
            return f"{waiting.get('reason')}: {said}" if said else str(waiting.get("reason"))
        if podlib.is_running(container):
            return "" if container.get("name") == EVALUATION_CONTAINER else f"{container['name']} runs."
    stuck = _last_event(events, "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    return f"its pod does not start: {stuck}" if stuck else ""


def _said_before(observed: Observed) -> str:
    """Return what was known last: the pod of a Job that took too long is gone."""
    known = (observed.service.get("status") or {}).get("rollout") or {}
    return str(known.get("message") or "")


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return podlib.state(container, "terminated")


def _last_event(events: Iterable[Mapping[str, Any]], *reasons: str) -> str:
    found = [one for one in events if one.get("reason") in reasons]
    newest = max(
        found, key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""), default=None
    )
    return redact(str(newest.get("message") or "")) if newest else ""
