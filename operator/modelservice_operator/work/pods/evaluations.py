"""Reads the pods of the Job that evaluates a revision: what it says stands in their status.

Only while an evaluation goes on, and not more often than people want to know what it waits for. What the
pods' state means is said in `explain.rollout.evaluation`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modelservice_operator.decide.looks import poll_delay_seconds
from modelservice_operator.explain.rollout.evaluation import find_job
from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import CORE_EVENTS, PODS
from modelservice_operator.work.pods.reader import has_not_started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.observed import JobChild, Observed

log = logging.getLogger(__name__)

JOB_NAME = "batch.kubernetes.io/job-name"
"""Label that Kubernetes gives the pods of a Job (since 1.27)."""
Objects = tuple[dict[str, Any], ...]


async def with_job_pods(
    api: ApiClient, key: Key, observed: Observed, decision: Decision, now: datetime
) -> tuple[Observed, float | None]:
    """Add the pods of the evaluation's Job, and say when to look again; nothing where none goes on.

    Where they cannot be read nothing is known of them: that is tried again, and ends no evaluation.
    """
    evaluating = decision.evaluating
    job = find_job(observed, evaluating) if evaluating is not None else None
    if job is None:
        return observed, None
    created = datetime.fromisoformat(job.created_at).astimezone(UTC)
    delay = poll_delay_seconds((now - created).total_seconds())
    try:
        pods = await _read_pods(api, key, job)
        events = await _read_events(api, key, job, pods)
    except ApiError as error:
        log.warning("cannot read pods of job %s: %s", job.name, error.message, extra={"service": key.name})
        return observed, delay
    return replace(observed, job_pods=pods, job_events=events), None if job.ended else delay


async def _read_pods(api: ApiClient, key: Key, job: JobChild) -> Objects:
    found = await api.list_by(PODS, key.namespace, labels=f"{JOB_NAME}={job.name}")
    return tuple(pod for pod in found if _is_of(pod, job.uid))


def _is_of(pod: Mapping[str, Any], uid: str) -> bool:
    """Whether the pod is of this very Job, not of an earlier one of its name."""
    return any(one.get("uid") == uid for one in pod["metadata"].get("ownerReferences") or ())


async def _read_events(api: ApiClient, key: Key, job: JobChild, pods: Sequence[Mapping[str, Any]]) -> Objects:
    """Why there is no pod, or none that starts; nothing where that is no question."""
    if pods and not any(has_not_started(pod) for pod in pods):
        return ()
    kind, uid = ("Pod", pods[-1]["metadata"]["uid"]) if pods else ("Job", job.uid)
    fields = f"involvedObject.kind={kind},involvedObject.uid={uid}"
    events = await api.list_by(CORE_EVENTS, key.namespace, fields=fields)
    return tuple(one for one in events if one.get("type") == "Warning")
