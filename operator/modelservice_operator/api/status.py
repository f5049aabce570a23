"""The status of a ModelService: what the operator reports. Written by the operator only."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.runtime_status import ResolvedRuntime
from modelservice_operator.api.scaling_status import AutoscalingStatus, ScalingDecision
from modelservice_operator.api.types.base import LIST_TYPE, ApiModel, between, limited, list_map
from modelservice_operator.api.types.figures import Count, Percent, RevisionName, Time


class Condition(ApiModel):
    """One aspect of the state, as in metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Ready, Available, Progressing, Degraded, Reconciling, Stalled, AutoscalingActive or RouteReady."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Annotated[int, between(0, 2**53)] | None = None
    """The generation of the ModelService that this was decided for."""
    last_transition_time: Time
    """When `status` changed last."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, as one CamelCase word."""
    message: Annotated[str, limited(32768)] = ""
    """The root cause and the remedy, for people."""


class TrafficShare(ApiModel):
    """How much of the traffic a revision gets."""

    revision: RevisionName
    """The revision."""
    desired: Percent
    """Percent that it should get."""
    actual: Percent
    """Percent of the available pods that are its own."""


class ServedBatching(ApiModel):
    """Whether requests share runs of the model."""

    max_batch_size: Annotated[int, between(1, 2**31 - 1)] | None = None
    """Rows that may share a run; 1 where none do."""
    obstacle: Annotated[str, limited(1024)] | None = None
    """Why none do: the node of the graph, or what a check by running showed."""
    source: Annotated[str, limited(253)] | None = None
    """What says that rows are independent: the model's `graph`, or its `owner`."""


class ServedTensor(ApiModel):
    """An input or output of the model."""

    name: Annotated[str, limited(253)]
    """Its name."""
    datatype: Annotated[str, limited(16)]
    """Its datatype, as the Open Inference Protocol names it."""
    shape: Annotated[tuple[Annotated[int, between(-1, 2**53)], ...], Field(max_length=32)] | None = None
    """Its dimensions, -1 for any size; left out where the model does not state how many there are."""
    optional: bool | None = None
    """Whether clients may leave it out."""


class ServedModel(ApiModel):
    """The model of the revision that serves."""

    sha256: Annotated[str, limited(64)] | None = None
    """The SHA-256 of the model file, as the revision's first pod loaded it; another one is Degraded."""
    external_data_sha256: Annotated[str, limited(64)] | None = None
    """The SHA-256 of what `sha256sum` prints for all other files that it was loaded from, sorted by name:
    external data, tokenizer, chat template; adapters under their names."""
    size_bytes: Annotated[int, between(0, 2**53)] | None = None
    """The size of its files in bytes."""
    commit: Annotated[str, limited(64)] | None = None
    """With hf://: the commit that the revision in the address stood for."""
    version: Annotated[str, limited(63)] | None = None
    """The version of spec.model."""
    batching: ServedBatching | None = None
    """Whether requests share runs, as the server said when its pod was new; it may learn from requests."""
    left_out_outputs: (
        Annotated[
            tuple[Annotated[str, limited(253)], ...],
            Field(max_length=64, json_schema_extra={LIST_TYPE: "set"}),
        ]
        | None
    ) = None
    """Outputs that no protocol can carry."""
    inputs: Annotated[tuple[ServedTensor, ...], Field(max_length=64)] | None = None
    """What clients send, as a server of the revision said; left out where a model has more than 64."""
    outputs: Annotated[tuple[ServedTensor, ...], Field(max_length=64)] | None = None
    """What clients get."""
    compared_at: Annotated[str, limited(64)] | None = None
    """The resourceVersion of the Deployment when it was recorded what its pods loaded."""


class SurgeCapacity(ApiModel):
    """What was found out about room in the cluster for more pods than are wanted."""

    revision: RevisionName
    """The revision whose pods looked for room."""
    missing_pods: Count | None = None
    """Pods of it that find none now."""
    short_since: Time | None = None
    """Since when, while that is being watched."""
    surge: Count | None = None
    """Pods above the wanted number that do have room; the rollout goes by it."""
    replicas: Count | None = None
    """The wanted number then. Where fewer are wanted now, room is looked for again."""
    decided_at: Time | None = None
    """When that was decided."""
    message: Annotated[str, limited(1024)] | None = None
    """What the scheduler or the quota says."""


class RolloutAction(ApiModel):
    """What came of the newest request in the annotation modelservice.dev/rollout-action."""

    request: Annotated[str, limited(128)]
    """The annotation's value."""
    accepted: bool = False
    """Whether it changed anything."""
    message: Annotated[str, limited(1024)] = ""
    """What was done, or why nothing was."""


class AnalysisProgress(ApiModel):
    """How far the analysis is that runs, or ran last."""

    run: Annotated[str, limited(128)]
    """Which one: the revision, the hash of the steps, the step."""
    measured: Count = 0
    """Measurements that were good."""
    failed: Count = 0
    """Measurements that crossed a bound."""
    inconclusive: Count = 0
    """Measurements that said nothing: too few requests, no data."""
    measured_at: Time | None = None
    """When the last one ended."""


class GateVerdict(ApiModel):
    """What one look at one gate said."""

    gate: Annotated[str, limited(64)]
    """Evaluation, Contract, Analysis or RollbackWindow."""
    metric: Annotated[str, limited(64)] | None = None
    """What was measured."""
    result: Literal["Passed", "Failed", "Inconclusive"]
    """What came of it."""
    value: Annotated[str, limited(32)] | None = None
    """The new revision's value."""
    stable: Annotated[str, limited(32)] | None = None
    """The old revision's value in the same time, or on the same rows."""
    threshold: Annotated[str, limited(32)] | None = None
    """The most that the value might be; of an Evaluation the least."""
    bound: Annotated[str, limited(32)] | None = None
    """Of an Evaluation: how much less than the old revision's value it is at most, by 95 percent."""
    rows: Count | None = None
    """Rows that it was computed on."""
    requests: Count | None = None
    """Requests to the new revision in that time."""
    time: Time
    """When."""
    message: Annotated[str, limited(1024)] | None = None
    """What differs, or why nothing can be said."""


class Scored(ApiModel):
    """What an evaluation measured; an equal one is not measured again."""

    key: Annotated[str, limited(16)]
    """Names what was measured: both models, the data, the metric and the runtime's image."""
    candidate: Annotated[str, limited(16)] | None = None
    """The same without the old model."""
    retries: Count = 0
    """How often it was asked for again by then."""
    metric: Annotated[str, limited(64)]
    """What was computed."""
    value: Annotated[str, limited(32)]
    """The new model's value."""
    stable: Annotated[str, limited(32)] | None = None
    """The old model's on the same rows."""
    bound: Annotated[str, limited(32)] | None = None
    """How much less the new one's is at most, by 95 percent."""
    rows: Count
    """Rows that they were computed on."""
    model_sha256: Annotated[str, limited(64)] | None = None
    """The SHA-256 of the new model's file."""
    stable_sha256: Annotated[str, limited(64)] | None = None
    """The SHA-256 of the old model's file."""
    data_sha256: Annotated[str, limited(64)] | None = None
    """The SHA-256 of the data's file."""
    time: Time
    """When."""


Phase = Literal["Progressing", "Paused", "Verifying", "Promoting", "Complete", "Aborted"]


class RolloutStatus(ApiModel):
    """How the new revision replaces the old one."""

    strategy: Annotated[str, limited(32)] | None = None
    """The strategy."""
    revision: RevisionName | None = None
    """The revision that is rolled out; everything here speaks of it."""
    phase: Phase | None = None
    """Progressing: pods come and go. Verifying: a gate is being looked at. Paused: waits for a time or a
    person. Promoting: all traffic goes over. Complete. Aborted: the old revision serves on."""
    weight: Percent | None = None
    """Percent of the traffic that the revision should get now."""
    step: Count | None = None
    """The step that goes on, from 0; the number of steps where all are done."""
    steps: Count | None = None
    """How many steps there are."""
    steps_hash: Annotated[str, limited(16)] | None = None
    """Names the steps: where they change, they begin anew."""
    step_since: Time | None = None
    """Since when the step goes on."""
    short_since: Time | None = None
    """Since when pods are missing that it should have by now."""
    evaluation: Literal["Passed", "Failed", "Inconclusive"] | None = None
    """What its evaluation came to; Inconclusive where nobody can say whether it is good enough."""
    evaluation_hash: Annotated[str, limited(16)] | None = None
    """Names the evaluation: where that changes, a revision that did not pass is tried again."""
    evaluation_retries: Count | None = None
    """How often the evaluation was asked for again."""
    evaluated_sha256: Annotated[str, limited(64)] | None = None
    """The SHA-256 of the file that was evaluated; pods with another one get no traffic."""
    contract: Literal["Passed", "Failed", "Unknown"] | None = None
    """Whether its inputs and outputs are those that clients use; Unknown where nobody could tell."""
    verifying_since: Time | None = None
    """Since when its pods are asked for them."""
    promoted: bool | None = None
    """Whether somebody asked to skip the remaining steps."""
    skips_steps: bool | None = None
    """Whether there are no steps, because nothing of the old revision answers."""
    stable_down_since: Time | None = None
    """Since when nothing of the old revision answers."""
    paused: Literal["PauseStep", "Requested", "Inconclusive", "AwaitingPromotion", "Preview"] | None = None
    """Why it is paused: a step, somebody's request, an analysis that could say nothing, a switch that
    a person makes, or the time before the switch."""
    paused_since: Time | None = None
    """Since when."""
    reason: Annotated[str, limited(64)] | None = None
    """Why it was aborted."""
    message: Annotated[str, limited(1024)] | None = None
    """The same as a sentence."""
    analysis: AnalysisProgress | None = None
    """The analysis that runs, or ran last."""
    verdicts: Annotated[tuple[GateVerdict, ...], Field(max_length=24)] | None = None
    """What the gates said, the newest last; older ones are forgotten."""
    previous_revision: RevisionName | None = None
    """The revision that was replaced, while it may come back on its own or its pods still run."""
    promoted_at: Time | None = None
    """When the revision became the stable one, while that matters."""
    started_at: Time | None = None
    """Since when its newest pods are being tried, where they had to wait for the end of old ones."""
    capacity: SurgeCapacity | None = None
    """Set where there is not enough room."""
    action: RolloutAction | None = None
    """What came of the newest request."""


class RevisionOutcome(ApiModel):
    """What became of a revision."""

    revision: RevisionName
    """The revision."""
    outcome: Literal["Stable", "Replaced", "Aborted", "Superseded"]
    """Stable: it serves. Replaced: it served until another one did. Aborted: it was given up.
    Superseded: the spec went on before it was rolled out."""
    reason: Annotated[str, limited(64)] | None = None
    """Why, as one CamelCase word."""
    message: Annotated[str, limited(512)] | None = None
    """Why, as a sentence."""
    time: Time
    """Since when."""


class RouteBackend(ApiModel):
    """What the route says of one revision."""

    revision: RevisionName
    """The revision."""
    weight: Percent = 0
    """Percent of the requests that it gets."""
    shown: bool | None = None
    """Whether testers or copies of requests go to it."""
    answers_since: Time | None = None
    """Since when it has pods that answer."""


class RouteParentStatus(ApiModel):
    """What one Gateway says of one route."""

    kind: Literal["HTTPRoute", "GRPCRoute", "Ingress"]
    """The route's kind."""
    parent: Annotated[str, limited(512)]
    """The Gateway as namespace/name, with its listener or port; of an Ingress its class."""
    accepted: bool | None = None
    """Whether it takes the route; left out while it has not answered."""
    resolved_refs: bool | None = None
    """Whether it finds what the route leads to."""
    programmed: bool | None = None
    """Whether the Gateway itself works."""
    message: Annotated[str, limited(1024)] | None = None
    """What is wrong, and what to do."""


class RouteStatus(ApiModel):
    """How requests get to the service from outside."""

    urls: Annotated[tuple[Annotated[str, limited(1024)], ...], Field(max_length=32)] | None = None
    """Where the model answers outside the cluster."""
    parents: Annotated[tuple[RouteParentStatus, ...], Field(max_length=32)] | None = None
    """What each Gateway says."""
    backends: Annotated[tuple[RouteBackend, ...], list_map("revision", 32)] | None = None
    """How requests are split during a change by steps; without it they go to the Service."""
    since: Time | None = None
    """Since when Gateways have been told that."""


class ExplainerStatus(ApiModel):
    """The explainer."""

    url: Annotated[str, limited(512)]
    """Where it answers inside the cluster: a POST."""
    ready_replicas: Count = 0
    """Pods that are ready."""


class ModelServiceStatus(ApiModel):
    """What the operator reports."""

    observed_generation: Annotated[int, between(0, 2**53)] | None = None
    """The generation of the spec that this status speaks of."""
    url: Annotated[str, limited(512)] | None = None
    """Where the model answers inside the cluster."""
    replicas: Count | None = None
    """Pods that exist, of all revisions."""
    ready_replicas: Count | None = None
    """Pods that are ready."""
    available_replicas: Count | None = None
    """Pods that are ready and may get requests."""
    selector: Annotated[str, limited(512)] | None = None
    """The label selector of the pods, for the autoscaler."""
    stable_revision: RevisionName | None = None
    """The revision that was fully available last."""
    served_revisions: Annotated[tuple[RevisionName, ...], Field(max_length=32)] | None = None
    """Revisions that were fully available, the last one last; older ones may be missing."""
    target_revision: RevisionName | None = None
    """The revision of the current spec."""
    aborted_revisions: (
        Annotated[tuple[RevisionName, ...], Field(max_length=32, json_schema_extra={LIST_TYPE: "set"})] | None
    ) = None
    """Revisions that somebody aborted; they are tried again only when somebody asks for it."""
    outcomes: Annotated[tuple[RevisionOutcome, ...], list_map("revision", 32)] | None = None
    """What became of the revisions, the newest last."""
    missed_deadline_seconds: Annotated[int, between(1, 86_400)] | None = None
    """The progress deadline for which the target revision was given up; a longer one tries it again."""
    traffic: Annotated[
        tuple[TrafficShare, ...],
        list_map("revision", 32),
    ] = ()
    """How the traffic is split."""
    rollout: RolloutStatus | None = None
    """How the new revision replaces the old one."""
    evaluations: Annotated[tuple[Scored, ...], list_map("key", 8)] | None = None
    """What evaluations measured, the newest last."""
    model: ServedModel | None = None
    """The model that is served now."""
    runtime: ResolvedRuntime | None = None
    """The runtime that the target revision was made with."""
    autoscaling: AutoscalingStatus | None = None
    """How replicas are steered."""
    autoscaler: ScalingDecision | None = None
    """The last decision of modelservice-autoscaler."""
    route: RouteStatus | None = None
    """How requests get to it from outside."""
    explainer: ExplainerStatus | None = None
    """The explainer, where one is wanted."""
    conditions: Annotated[
        tuple[Condition, ...],
        list_map("type", 32),
    ] = ()
    """The state by aspects; Ready sums them up."""
