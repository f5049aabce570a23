"""Every reason that a ModelService may tell is in docs/troubleshooting.md, or on the page of its condition.

Reasons are words in CamelCase of the code that explains, decides and fails. Those that mean something else
are listed here: a new one is either a reason, and told to people, or is added to that list.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from modelservice_runtime.errors import StartupError
from modelservice_runtime.fetch.errors import FetchReason

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "operator/modelservice_operator"
CODE = [file for room in ("explain", "decide", "facts", "work") for file in (OPERATOR / room).rglob("*.py")]
PAGES = ("troubleshooting", "autoscaling", "gateway")
ONE_WORD = frozenset({"Scheduling", "Starting", "Fetching", "Loading", "Scaling", "Complete", "Ready"})
"""Reasons of a single word: other words of the code are written alike."""
NOT_REASONS = {
    "kinds, their fields and values": """
        AlwaysAllow AverageValue BlueGreen ConfigMap ControllerRevision DisruptionTarget DoNotSchedule
        DoesNotExist EndpointSlice ErrorRatio ExactCount ExactMatch FailJob FallbackToLogsOnError
        GatewayClass HorizontalPodAutoscaler InterTokenLatency LoadedModel ModelRuntime ModelService
        NetworkPolicy NoExecute TimeToFirstToken
        NoSchedule NonFiniteRatio NotIn OnRootMismatch OpenVINO PathPrefix PersistentVolumeClaim
        PodDisruptionBudget PriorityClass QueueTime ReadWriteOncePod ReplaceFullPath ReplacePrefixMatch
        RequestMirror RequestRate ResourceClaimTemplate RollbackWindow RollingUpdate RuntimeDefault
        ModelServices RuntimeRollout ScaledObject ScheduleAnyway ServiceAccount TensorRT TimeSlicing
        ExternalName""",
    "phases, reasons and choices of RuntimeRollouts, which no ModelService tells": """
        AwaitingApproval AwaitingWindow FleetActionAccepted FleetActionRefused ImageNotNamed
        MemberDeadlineExceeded MemberFailed MembersFailed NoMembers
        OutsideMaintenanceWindow RollbackAll RollbackFailed RollingBack RolloutGivenUp StatusUnreadable
        TooManyFailures TooManyMembers TooManyUnavailable WaveComplete WaveInProgress WindowInvalid""",
    "states of our own planners": "FallingAsleep GivesWay NeedsLeave KeyNotFound NotReported",
    "what other controllers tell, and we translate": """
        ContainerCannotRun ContainerCreating DeadlineExceeded ErrImageNeverPull ErrImagePull
        ImageInspectError FailedAttachVolume FailedCreate FailedCreatePodSandBox FailedMount
        ImagePullBackOff InvalidImageName NotTriggerScaleUp PodFailed PodInitializing PodScheduled
        RegistryUnavailable ReplicaFailure ResolvedRefs ScaleDownLimit ScaleUpLimit ScalingActive
        ScalingDisabled ScalingLimited SignatureValidationFailed StartError TooFewReplicas TooManyReplicas
        TriggeredScaleUp""",
}


def camel_case_words() -> set[str]:
    """Words in CamelCase that the operator's code writes as text."""
    constants = (node for file in CODE for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    texts = (node.value for node in constants if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch("(?:[A-Z][a-z]+){2,}", text)}


def reasons_of_servers() -> set[str]:
    """What a pod's own containers may end with."""
    return {error.reason for error in StartupError.__subclasses__()} | {str(reason) for reason in FetchReason}


def told_reasons() -> set[str]:
    pages = ((ROOT / f"docs/{page}.md").read_text(encoding="utf-8") for page in PAGES)
    return {word for page in pages for word in re.findall("`([A-Z][A-Za-z]+)`", page)}


def other_words() -> set[str]:
    return {word for words in NOT_REASONS.values() for word in words.split()}


def test_every_reason_has_an_entry():
    reasons = (camel_case_words() - other_words()) | reasons_of_servers() | ONE_WORD
    assert sorted(reasons - told_reasons() - {"Fetched"}) == []


def test_words_that_are_no_reasons_are_still_in_the_code():
    texts = "\n".join(file.read_text(encoding="utf-8") for file in CODE)
    assert sorted(word for word in other_words() if f'{word}"' not in texts and f"{word}'" not in texts) == []
