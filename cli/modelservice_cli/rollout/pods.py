"""Which pods are not ready, and why: by the operator's own diagnosis, pod by pod. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelservice_cli.rollout.facts import Facts, Object
from modelservice_operator.explain.diagnose import Situation, diagnose
from modelservice_operator.facts import labels
from modelservice_operator.facts.pods import has_started, is_ready
from modelservice_operator.facts.text.redact import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTrouble:
    """A pod that is not ready; `reason` is empty where nothing is known."""

    pod: str
    revision: str
    phase: str
    """As in `kubectl get pods`: Pending, Running, Failed, Terminating."""
    reason: str = ""
    message: str = ""


def pod_troubles(facts: Facts) -> tuple[PodTrouble, ...]:
    """Return the pods that are not ready, in the order of their names."""
    troubled = (pod for pod in facts.pods or () if not is_ready(pod) and not _has_succeeded(pod))
    return tuple(sorted((_trouble(facts, pod) for pod in troubled), key=lambda one: one.pod))


def unexplained(pods: Sequence[Object], limit: int) -> list[Object]:
    """Return pods that have no container that was started: only events may say why; the first of them."""
    waiting = (pod for pod in pods if not has_started(pod) and not _is_leaving(pod))
    return sorted(waiting, key=lambda pod: str(pod["metadata"]["name"]))[:limit]


def _trouble(facts: Facts, pod: Object) -> PodTrouble:
    metadata = pod["metadata"]
    revision = str((metadata.get("labels") or {}).get(labels.REVISION, ""))
    phase = "Terminating" if _is_leaving(pod) else str((pod.get("status") or {}).get("phase") or "Unknown")
    cause = diagnose(revision, (pod,), facts.warnings, None, _situation(facts, revision))
    status = pod.get("status") or {}
    return PodTrouble(
        pod=str(metadata["name"]),
        revision=revision,
        phase=phase,
        reason=cause.reason if cause else str(status.get("reason") or ""),
        message=cause.message if cause else redact(str(status.get("message") or "")),
    )


def _situation(facts: Facts, revision: str) -> Situation:
    """What the operator's own diagnosis knows of the revision, as far as it changes a remedy."""
    record, stable = facts.record(revision), facts.record(facts.stable)
    if record is None:
        return Situation(service=facts.name)
    runtime = record.snapshot.runtime
    return Situation(
        service=facts.name,
        runtime=runtime.name,
        keeps_runtime=stable is not None and stable.snapshot.runtime.requested == runtime.requested,
    )


def _is_leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _has_succeeded(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Succeeded"
